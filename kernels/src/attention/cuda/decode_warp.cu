// A warp for each query: its lanes read a row of the cache side by side.
//
// Nothing is kept in shared memory and nobody waits for anybody. But there are only B·H·Tq warps, which at B = 1 leaves most of a card
// idle.
#include "decode.cuh"

template <class C, int N>
__device__ void a_warp_a_query(const Problem& p, const Strides& qs, const Strides& ks, const Strides& vs, const Strides& os,
                               const float* mask, const float* q, const C* k, const C* v, float* o, float* lse) {
    u64 row = u64(blockIdx.x) * (blockDim.x / WARP) + warp_index();
    if (row >= u64(p.b) * p.h * p.tq) return; // a whole warp
    Range seen = keys_of(p, u32(row % p.tq));
    Query<C> query = query_of(p, qs, ks, vs, mask, q, k, v, row);
    finish(p, attend<C, N>(p, query, seen.first, seen.end, TOGETHER), output_row(p, os, o, row), lse + row);
}

template <class C>
__device__ void by_columns(const Problem& p, const Strides& qs, const Strides& ks, const Strides& vs, const Strides& os,
                           const float* mask, const float* q, const C* k, const C* v, float* o, float* lse) {
    if (p.d <= WARP) a_warp_a_query<C, 1>(p, qs, ks, vs, os, mask, q, k, v, o, lse);
    else if (p.d <= 2 * WARP) a_warp_a_query<C, 2>(p, qs, ks, vs, os, mask, q, k, v, o, lse);
    else a_warp_a_query<C, 4>(p, qs, ks, vs, os, mask, q, k, v, o, lse);
}

extern "C" __global__ void __launch_bounds__(256) attention_decode_warp(Problem p, Strides qs, Strides ks, Strides vs, Strides os, const float* mask,
                                                 const float* q, const float* k, const float* v, float* o, float* lse) {
    by_columns(p, qs, ks, vs, os, mask, q, k, v, o, lse);
}

// From a cache in bf16.
extern "C" __global__ void __launch_bounds__(256) attention_decode_warp_bf16(Problem p, Strides qs, Strides ks, Strides vs, Strides os,
                                                      const float* mask, const float* q, const u16* k, const u16* v, float* o,
                                                      float* lse) {
    by_columns(p, qs, ks, vs, os, mask, q, k, v, o, lse);
}

// x [B,H,T,D] in bf16 to f32, the rows of a head one after the other.
extern "C" __global__ void __launch_bounds__(256) attention_decode_widen(u32 h, u32 t, u32 d, Strides s, u64 count, const u16* x, float* y) {
    u64 index = u64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (index >= count) return;
    u64 row = index / d, head = row / t;
    y[index] = loaded(x + head / h * s.b + head % h * s.h + row % t * s.t + index % d);
}
