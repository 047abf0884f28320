// Register tiles of scores and outputs, and tiles that no query of a block sees are skipped.
//
// A block has 64 queries of a head and goes through the keys 64 at a time, or 32 where D is above 64. Each thread has 4×4 (or 4×2) scores
// and 4×D/16 numbers of O in registers: sixteen multiply-adds for two reads of shared memory, where the tiled rung has two reads
// for one. A key that was read from memory serves 64 queries. Under the causal rule the keys after the last query of a block are not
// computed, almost half of all, and whether a key is seen is asked only in tiles that lie across the edge.
#include "register.cuh"

#define QUERIES 64u

// The state of a thread's rows.
template <u32 R> struct Rows {
    float largest[R], sum[R];
};

// Scores to weights, in place; `correction` is what earlier sums and outputs are multiplied with.
template <u32 R, u32 C>
__device__ __forceinline__ void soften(const Problem& p, const Head& head, const float* mask, u32 query, u32 key,
                                       float (&score)[R][C], Rows<R>& rows, float (&correction)[R]) {
    bool all = all_visible(p, query, R * SIDE, key, C * SIDE);
#pragma unroll
    for (u32 r = 0; r < R; r++) {
        u32 i = query + thread_y() + r * SIDE, first = key + thread_x();
        float before = rows.largest[r], largest = -INF;
#pragma unroll
        for (u32 c = 0; c < C; c++) {
            u32 j = first + c * SIDE;
            bool visible = all || (i < p.tq && j < p.tk && sees(p, head, mask, i, j));
            score[r][c] = visible ? p.scale * score[r][c] : -INF;
            largest = fmaxf(largest, score[r][c]);
        }
        rows.largest[r] = fmaxf(before, row_max(largest));
        float shift = shift_of(rows.largest[r]), sum = 0.0f, keep[C];
        keep_factors(keep, p, head, i, first);
#pragma unroll
        for (u32 c = 0; c < C; c++) {
            float weight = expf(score[r][c] - shift);
            sum += weight;
            score[r][c] = weight * keep[c];
        }
        correction[r] = expf(before - shift);
        rows.sum[r] = rows.sum[r] * correction[r] + row_sum(sum);
    }
}

template <u32 D, u32 KEYS>
__device__ void forward(const Problem& p, const Strides& qs, const Strides& ks, const Strides& vs, const Strides& os,
                        const float* mask, const float* q, const float* k, const float* v, float* o, float* lse) {
    constexpr u32 R = QUERIES / SIDE, C = KEYS / SIDE;
    DYNAMIC_SHARED(float, queries);
    float *tile = queries + QUERIES * (D + 4), *weights = tile + KEYS * (D + 4);
    u32 tiles = (p.tq + QUERIES - 1) / QUERIES, query = (tiles - 1 - blockIdx.x % tiles) * QUERIES;
    Head head = head_of(p, blockIdx.x / tiles);
    load_rows<D, QUERIES>(queries, q + head_offset(qs, head.b, head.h), qs.t, query, p.tq, p.d);
    k += head_offset(ks, head.b, head.kv);
    v += head_offset(vs, head.b, head.kv);
    Rows<R> rows;
    float output[R][D / SIDE] = {};
#pragma unroll
    for (u32 r = 0; r < R; r++) rows.largest[r] = -INF, rows.sum[r] = 0.0f;
    Range seen = keys_of_queries(p, query, min(query + QUERIES, p.tq));
    for (u32 key = seen.first / KEYS * KEYS; key < seen.end; key += KEYS) {
        float score[R][C] = {}, correction[R];
        __syncthreads(); // the values are used up
        load_rows<D, KEYS>(tile, k, ks.t, key, p.tk, p.d);
        __syncthreads();
        products<D>(score, queries, tile);
        soften(p, head, mask, query, key, score, rows, correction);
        store_weights(weights, score);
        __syncthreads(); // the keys are used up
        load_rows<D, KEYS>(tile, v, vs.t, key, p.tk, p.d);
        __syncthreads();
#pragma unroll
        for (u32 r = 0; r < R; r++) {
#pragma unroll
            for (u32 n = 0; n < D / SIDE; n++) output[r][n] *= correction[r];
        }
        add_rows<D, KEYS>(output, weights, tile);
    }
#pragma unroll
    for (u32 r = 0; r < R; r++) {
        u32 i = query + thread_y() + r * SIDE;
        if (i >= p.tq) continue;
        float share = rows.sum[r] == 0.0f ? 0.0f : 1.0f / rows.sum[r];
        store_columns(o + head_offset(os, head.b, head.h) + i * os.t, output[r], share, p.d);
        if (thread_x() == 0) lse[row_index(p, head, i)] = shift_of(rows.largest[r]) + logf(rows.sum[r]);
    }
}

extern "C" __global__ void __launch_bounds__(256, 1)
    attention_register_forward_16(Problem p, Strides qs, Strides ks, Strides vs, Strides os, const float* mask, const float* q,
                                  const float* k, const float* v, float* o, float* lse) {
    forward<16, 64>(p, qs, ks, vs, os, mask, q, k, v, o, lse);
}
extern "C" __global__ void __launch_bounds__(256, 1)
    attention_register_forward_32(Problem p, Strides qs, Strides ks, Strides vs, Strides os, const float* mask, const float* q,
                                  const float* k, const float* v, float* o, float* lse) {
    forward<32, 64>(p, qs, ks, vs, os, mask, q, k, v, o, lse);
}
extern "C" __global__ void __launch_bounds__(256, 1)
    attention_register_forward_64(Problem p, Strides qs, Strides ks, Strides vs, Strides os, const float* mask, const float* q,
                                  const float* k, const float* v, float* o, float* lse) {
    forward<64, 64>(p, qs, ks, vs, os, mask, q, k, v, o, lse);
}
extern "C" __global__ void __launch_bounds__(256, 1)
    attention_register_forward_128(Problem p, Strides qs, Strides ks, Strides vs, Strides os, const float* mask, const float* q,
                                   const float* k, const float* v, float* o, float* lse) {
    forward<128, 32>(p, qs, ks, vs, os, mask, q, k, v, o, lse);
}
