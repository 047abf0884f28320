// Two stages: while a tile of keys and values is multiplied, the next one is on its way into shared memory.
//
// cp.async copies 16 bytes from memory to shared memory without a register between, and the thread goes on. In the swizzled rung all
// warps of a block wait at a barrier for each tile to arrive, and only other blocks can use the tensor cores meanwhile; here the
// arithmetic of one tile covers the time that the next one takes. It costs twice the shared memory: 64 KiB where W is 128.
#include "fragments.cuh"

#define KEYS 64u
#define QUERIES 64u

// Begins to copy the rows first .. first + KEYS to a swizzled tile; zeros after `end`.
template <u32 W> __device__ __forceinline__ void begin_tile(u16* tile, const u16* rows, u32 first, u32 end) {
    for (u32 e = threadIdx.x; e < KEYS * (W / 8); e += blockDim.x) {
        u32 row = e / (W / 8), part = e % (W / 8);
        bool inside = first + row < end;
        copy_async_16(tile + swizzled<W>(row, part), rows + (inside ? u64(first + row) * W + part * 8 : 0), inside);
    }
}

template <u32 W>
__device__ void forward(const Problem& p, const Strides& os, const float* mask, const u16* q, const u16* k, const u16* v, float* o,
                        float* lse) {
    DYNAMIC_SHARED(u16, stages); // twice keys and values
    u32 tiles = (p.tq + QUERIES - 1) / QUERIES, block = (tiles - 1 - blockIdx.x % tiles) * QUERIES;
    Head head = head_of(p, blockIdx.x / tiles);
    u32 query = block + warp_index() * 16;
    k += (u64(head.b) * p.h_kv + head.kv) * p.tk * W;
    v += (u64(head.b) * p.h_kv + head.kv) * p.tk * W;
    Range seen = keys_of_queries(p, block, min(block + QUERIES, p.tq));
    u32 first = seen.first / KEYS * KEYS;
    if (first < seen.end) {
        begin_tile<W>(stages, k, first, p.tk);
        begin_tile<W>(stages + KEYS * W, v, first, p.tk);
    }
    copy_async_commit();
    u32 left[W / 16][4];
    load_left<W>(left, q + row_index(p, head, 0) * W, query, p.tq);
    TwoRows rows = {{-INF, -INF}, {0.0f, 0.0f}};
    float output[W / 8][4] = {};
    u32 stage = 0;
    for (u32 key = first; key < seen.end; key += KEYS, stage ^= 1) {
        u16 *now = stages + stage * 2 * KEYS * W, *next = stages + (stage ^ 1) * 2 * KEYS * W;
        if (key + KEYS < seen.end) {
            begin_tile<W>(next, k, key + KEYS, p.tk);
            begin_tile<W>(next + KEYS * W, v, key + KEYS, p.tk);
        }
        copy_async_commit();
        copy_async_wait<1>(); // all groups but the one that was just begun
        __syncthreads();
        float score[KEYS / 8][4] = {}, correction[2];
        multiply_rows<W, KEYS>(score, left, now);
        soften(p, head, mask, query, key, score, rows, correction);
        scale_rows(output, correction);
        multiply_columns<W, KEYS>(output, score, now + KEYS * W);
        __syncthreads(); // this tile is used up, and the one after the next may take its place
    }
    finish(p, head, os, query, output, rows, o, lse);
}

extern "C" __global__ void __launch_bounds__(128, 1)
    attention_staged_forward_16(Problem p, Strides os, const float* mask, const u16* q, const u16* k, const u16* v, float* o,
                               float* lse) {
    forward<16>(p, os, mask, q, k, v, o, lse);
}
extern "C" __global__ void __launch_bounds__(128, 1)
    attention_staged_forward_32(Problem p, Strides os, const float* mask, const u16* q, const u16* k, const u16* v, float* o,
                               float* lse) {
    forward<32>(p, os, mask, q, k, v, o, lse);
}
extern "C" __global__ void __launch_bounds__(128, 1)
    attention_staged_forward_64(Problem p, Strides os, const float* mask, const u16* q, const u16* k, const u16* v, float* o,
                               float* lse) {
    forward<64>(p, os, mask, q, k, v, o, lse);
}
extern "C" __global__ void __launch_bounds__(128, 1)
    attention_staged_forward_128(Problem p, Strides os, const float* mask, const u16* q, const u16* k, const u16* v, float* o,
                               float* lse) {
    forward<128>(p, os, mask, q, k, v, o, lse);
}
