// The keys of a query are split among warps, and among blocks.
//
// The warps of a block take turns at four keys each and put together what they found in shared memory, one after the other. Where there
// are fewer queries than the card has room for, a query has several blocks, each for a part of the keys; they write their largest score,
// sum and unfinished output to scratch memory, and a second kernel puts these together (Dao et al., "Flash-Decoding for long-context
// inference", 2023). The order is fixed in both, so the bits are the same from run to run. A long cache is then read by all of the card,
// not by B·H warps of it.
#include "decode.cuh"

#define WARPS 8u

// The keys of part `part` of `parts`.
__device__ __forceinline__ Range part_of(Range seen, u32 part, u32 parts) {
    u32 size = ((seen.end - seen.first + parts - 1) / parts + TOGETHER - 1) / TOGETHER * TOGETHER;
    u64 first = seen.first + u64(part) * size, end = first + size;
    return {u32(first < seen.end ? first : seen.end), u32(end < seen.end ? end : seen.end)};
}

// The unfinished results of a query's parts: of each the largest score, the sum, and D numbers.
template <int N> __device__ __forceinline__ void store(const Problem& p, const Partial<N>& all, float* partial) {
#pragma unroll
    for (int n = 0; n < N; n++)
        if (lane_index() + n * WARP < p.d) partial[2 + lane_index() + n * WARP] = all.o[n];
    if (lane_index() == 0) partial[0] = all.largest, partial[1] = all.sum;
}

template <int N> __device__ __forceinline__ Partial<N> load(const Problem& p, const float* partial) {
    Partial<N> all;
    all.largest = partial[0];
    all.sum = partial[1];
    load_row(all.o, partial + 2 + lane_index(), p.d);
    return all;
}

template <class C, int N>
__device__ void a_block_a_part(const Problem& p, const Strides& qs, const Strides& ks, const Strides& vs, const Strides& os,
                               u32 parts, const float* mask, const float* q, const C* k, const C* v, float* partials, float* o,
                               float* lse) {
    __shared__ float found[WARPS][2 + 4 * WARP];
    u64 row = blockIdx.x / parts;
    Range seen = part_of(keys_of(p, u32(row % p.tq)), blockIdx.x % parts, parts);
    Query<C> query = query_of(p, qs, ks, vs, mask, q, k, v, row);
    u32 first = u32(min(u64(seen.first) + warp_index() * TOGETHER, u64(seen.end)));
    Partial<N> all = attend<C, N>(p, query, first, seen.end, WARPS * TOGETHER);
    store(p, all, found[warp_index()]);
    __syncthreads();
    if (warp_index() != 0) return;
    for (u32 warp = 1; warp < WARPS; warp++) merge(all, load<N>(p, found[warp]));
    if (parts == 1) finish(p, all, output_row(p, os, o, row), lse + row);
    else store(p, all, partials + u64(blockIdx.x) * (2 + p.d));
}

template <class C>
__device__ void by_columns(const Problem& p, const Strides& qs, const Strides& ks, const Strides& vs, const Strides& os,
                           u32 parts, const float* mask, const float* q, const C* k, const C* v, float* partials, float* o,
                           float* lse) {
    if (p.d <= WARP) a_block_a_part<C, 1>(p, qs, ks, vs, os, parts, mask, q, k, v, partials, o, lse);
    else if (p.d <= 2 * WARP) a_block_a_part<C, 2>(p, qs, ks, vs, os, parts, mask, q, k, v, partials, o, lse);
    else a_block_a_part<C, 4>(p, qs, ks, vs, os, parts, mask, q, k, v, partials, o, lse);
}

extern "C" __global__ void __launch_bounds__(256, 1)
    attention_decode_split(Problem p, Strides qs, Strides ks, Strides vs, Strides os, u32 parts, const float* mask,
                           const float* q, const float* k, const float* v, float* partials, float* o, float* lse) {
    by_columns(p, qs, ks, vs, os, parts, mask, q, k, v, partials, o, lse);
}

// From a cache in bf16.
extern "C" __global__ void __launch_bounds__(256, 1)
    attention_decode_split_bf16(Problem p, Strides qs, Strides ks, Strides vs, Strides os, u32 parts, const float* mask,
                                const float* q, const u16* k, const u16* v, float* partials, float* o, float* lse) {
    by_columns(p, qs, ks, vs, os, parts, mask, q, k, v, partials, o, lse);
}

// The parts of each query put together, by a warp.
extern "C" __global__ void __launch_bounds__(256) attention_decode_combine(Problem p, Strides os, u32 parts, const float* partials, float* o,
                                                    float* lse) {
    u64 row = u64(blockIdx.x) * (blockDim.x / WARP) + warp_index();
    if (row >= u64(p.b) * p.h * p.tq) return; // a whole warp
    Partial<4> all = nothing<4>();
    for (u32 part = 0; part < parts; part++) merge(all, load<4>(p, partials + (row * parts + part) * (2 + p.d)));
    finish(p, all, output_row(p, os, o, row), lse + row);
}
