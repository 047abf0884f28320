// Register tiles, backward: scores, dP and the gradients of a block's rows in registers.
//
// The two passes of the recompute rung. A block owns R·16 keys, or queries, and keeps both of their operands in shared memory; the others go
// by, C·16 at a time. S and dP are R×C numbers a thread. P and dS go through shared memory once each, because the gradients' sums run
// over what the other threads of the row have; a row stays within half a warp, so nobody but the warp has to wait. Tiles that are
// hidden as a whole are skipped. R and C fall as D grows, so that a block stays within 64 KiB.
#include "register.cuh"

template <u32 D, u32 R, u32 C>
__device__ void keys_pass(const Problem& p, const Strides& qs, const Strides& ks, const Strides& vs, const Strides& gs,
                          const Strides& dks, const Strides& dvs, const float* mask, const float* q, const float* k,
                          const float* v, const float* d_o, const float* lse, const float* delta, float* dk, float* dv) {
    constexpr u32 KEYS = R * SIDE, QUERIES = C * SIDE, STEP = D + 4;
    DYNAMIC_SHARED(float, keys);
    float *values = keys + KEYS * STEP, *queries = values + KEYS * STEP, *gradients = queries + QUERIES * STEP;
    float* weights = gradients + QUERIES * STEP;
    u32 tiles = (p.tk + KEYS - 1) / KEYS, key = blockIdx.x % tiles * KEYS, kv = blockIdx.x / tiles % p.h_kv;
    u32 b = blockIdx.x / tiles / p.h_kv, group = p.h / p.h_kv;
    load_rows<D, KEYS>(keys, k + head_offset(ks, b, kv), ks.t, key, p.tk, p.d);
    load_rows<D, KEYS>(values, v + head_offset(vs, b, kv), vs.t, key, p.tk, p.d);
    float dk_sum[R][D / SIDE] = {}, dv_sum[R][D / SIDE] = {};
    Range seeing = queries_of_keys(p, key, min(key + KEYS, p.tk));
    for (u32 h = kv * group; h < (kv + 1) * group; h++) {
        Head head = {b, h, kv};
        for (u32 query = seeing.first; query < seeing.end; query += QUERIES) {
            __syncthreads(); // the last tiles are used up
            load_rows<D, QUERIES>(queries, q + head_offset(qs, b, h), qs.t, query, p.tq, p.d);
            load_rows<D, QUERIES>(gradients, d_o + head_offset(gs, b, h), gs.t, query, p.tq, p.d);
            __syncthreads();
            float score[R][C] = {}, dp[R][C] = {};
            products<D>(score, keys, queries);
            products<D>(dp, values, gradients);
            bool all = all_visible(p, query, QUERIES, key, KEYS);
#pragma unroll
            for (u32 c = 0; c < C; c++) {
                u32 i = query + thread_x() + c * SIDE, first = key + thread_y();
                u64 row = row_index(p, head, min(i, p.tq - 1));
                float row_lse = lse[row], row_delta = delta[row], keep[R];
                keep_factors(keep, p, head, i, first);
#pragma unroll
                for (u32 r = 0; r < R; r++) {
                    u32 j = first + r * SIDE;
                    bool visible = all || (i < p.tq && j < p.tk && sees(p, head, mask, i, j));
                    weigh(p, visible, score[r][c], dp[r][c], keep[r], row_lse, row_delta);
                }
            }
            store_weights(weights, score);
            __syncwarp();
            add_rows<D, QUERIES>(dv_sum, weights, gradients);
            __syncwarp();
            store_weights(weights, dp);
            __syncwarp();
            add_rows<D, QUERIES>(dk_sum, weights, queries);
        }
    }
#pragma unroll
    for (u32 r = 0; r < R; r++) {
        u32 j = key + thread_y() + r * SIDE;
        if (j >= p.tk) continue;
        store_columns(dk + head_offset(dks, b, kv) + j * dks.t, dk_sum[r], 1.0f, p.d);
        store_columns(dv + head_offset(dvs, b, kv) + j * dvs.t, dv_sum[r], 1.0f, p.d);
    }
}

template <u32 D, u32 R, u32 C>
__device__ void queries_pass(const Problem& p, const Strides& qs, const Strides& ks, const Strides& vs, const Strides& gs,
                             const Strides& dqs, const float* mask, const float* q, const float* k, const float* v,
                             const float* d_o, const float* lse, const float* delta, float* dq) {
    constexpr u32 QUERIES = R * SIDE, KEYS = C * SIDE, STEP = D + 4;
    DYNAMIC_SHARED(float, queries);
    float *gradients = queries + QUERIES * STEP, *keys = gradients + QUERIES * STEP, *values = keys + KEYS * STEP;
    float* weights = values + KEYS * STEP;
    u32 tiles = (p.tq + QUERIES - 1) / QUERIES, query = (tiles - 1 - blockIdx.x % tiles) * QUERIES;
    Head head = head_of(p, blockIdx.x / tiles);
    load_rows<D, QUERIES>(queries, q + head_offset(qs, head.b, head.h), qs.t, query, p.tq, p.d);
    load_rows<D, QUERIES>(gradients, d_o + head_offset(gs, head.b, head.h), gs.t, query, p.tq, p.d);
    k += head_offset(ks, head.b, head.kv);
    v += head_offset(vs, head.b, head.kv);
    float sum[R][D / SIDE] = {};
    Range seen = keys_of_queries(p, query, min(query + QUERIES, p.tq));
    for (u32 key = seen.first / KEYS * KEYS; key < seen.end; key += KEYS) {
        __syncthreads(); // the last tiles are used up
        load_rows<D, KEYS>(keys, k, ks.t, key, p.tk, p.d);
        load_rows<D, KEYS>(values, v, vs.t, key, p.tk, p.d);
        __syncthreads();
        float score[R][C] = {}, dp[R][C] = {};
        products<D>(score, queries, keys);
        products<D>(dp, gradients, values);
        bool all = all_visible(p, query, QUERIES, key, KEYS);
#pragma unroll
        for (u32 r = 0; r < R; r++) {
            u32 i = query + thread_y() + r * SIDE, first = key + thread_x();
            u64 row = row_index(p, head, min(i, p.tq - 1));
            float row_lse = lse[row], row_delta = delta[row], keep[C];
            keep_factors(keep, p, head, i, first);
#pragma unroll
            for (u32 c = 0; c < C; c++) {
                u32 j = first + c * SIDE;
                bool visible = all || (i < p.tq && j < p.tk && sees(p, head, mask, i, j));
                weigh(p, visible, score[r][c], dp[r][c], keep[c], row_lse, row_delta);
            }
        }
        store_weights(weights, dp);
        __syncwarp();
        add_rows<D, KEYS>(sum, weights, keys);
    }
#pragma unroll
    for (u32 r = 0; r < R; r++) {
        u32 i = query + thread_y() + r * SIDE;
        if (i < p.tq) store_columns(dq + head_offset(dqs, head.b, head.h) + i * dqs.t, sum[r], 1.0f, p.d);
    }
}

extern "C" __global__ void __launch_bounds__(256, 1)
    attention_register_dk_dv_16(Problem p, Strides qs, Strides ks, Strides vs, Strides gs, Strides dks, Strides dvs,
                                const float* mask, const float* q, const float* k, const float* v, const float* d_o,
                                const float* lse, const float* delta, float* dk, float* dv) {
    keys_pass<16, 4, 4>(p, qs, ks, vs, gs, dks, dvs, mask, q, k, v, d_o, lse, delta, dk, dv);
}
extern "C" __global__ void __launch_bounds__(256, 1)
    attention_register_dq_16(Problem p, Strides qs, Strides ks, Strides vs, Strides gs, Strides dqs, const float* mask,
                             const float* q, const float* k, const float* v, const float* d_o, const float* lse,
                             const float* delta, float* dq) {
    queries_pass<16, 4, 4>(p, qs, ks, vs, gs, dqs, mask, q, k, v, d_o, lse, delta, dq);
}
extern "C" __global__ void __launch_bounds__(256, 1)
    attention_register_dk_dv_32(Problem p, Strides qs, Strides ks, Strides vs, Strides gs, Strides dks, Strides dvs,
                                const float* mask, const float* q, const float* k, const float* v, const float* d_o,
                                const float* lse, const float* delta, float* dk, float* dv) {
    keys_pass<32, 4, 4>(p, qs, ks, vs, gs, dks, dvs, mask, q, k, v, d_o, lse, delta, dk, dv);
}
extern "C" __global__ void __launch_bounds__(256, 1)
    attention_register_dq_32(Problem p, Strides qs, Strides ks, Strides vs, Strides gs, Strides dqs, const float* mask,
                             const float* q, const float* k, const float* v, const float* d_o, const float* lse,
                             const float* delta, float* dq) {
    queries_pass<32, 4, 4>(p, qs, ks, vs, gs, dqs, mask, q, k, v, d_o, lse, delta, dq);
}
extern "C" __global__ void __launch_bounds__(256, 1)
    attention_register_dk_dv_64(Problem p, Strides qs, Strides ks, Strides vs, Strides gs, Strides dks, Strides dvs,
                                const float* mask, const float* q, const float* k, const float* v, const float* d_o,
                                const float* lse, const float* delta, float* dk, float* dv) {
    keys_pass<64, 4, 2>(p, qs, ks, vs, gs, dks, dvs, mask, q, k, v, d_o, lse, delta, dk, dv);
}
extern "C" __global__ void __launch_bounds__(256, 1)
    attention_register_dq_64(Problem p, Strides qs, Strides ks, Strides vs, Strides gs, Strides dqs, const float* mask,
                             const float* q, const float* k, const float* v, const float* d_o, const float* lse,
                             const float* delta, float* dq) {
    queries_pass<64, 4, 2>(p, qs, ks, vs, gs, dqs, mask, q, k, v, d_o, lse, delta, dq);
}
extern "C" __global__ void __launch_bounds__(256, 1)
    attention_register_dk_dv_128(Problem p, Strides qs, Strides ks, Strides vs, Strides gs, Strides dks, Strides dvs,
                                const float* mask, const float* q, const float* k, const float* v, const float* d_o,
                                const float* lse, const float* delta, float* dk, float* dv) {
    keys_pass<128, 2, 1>(p, qs, ks, vs, gs, dks, dvs, mask, q, k, v, d_o, lse, delta, dk, dv);
}
extern "C" __global__ void __launch_bounds__(256, 1)
    attention_register_dq_128(Problem p, Strides qs, Strides ks, Strides vs, Strides gs, Strides dqs, const float* mask,
                             const float* q, const float* k, const float* v, const float* d_o, const float* lse,
                             const float* delta, float* dq) {
    queries_pass<128, 2, 1>(p, qs, ks, vs, gs, dqs, mask, q, k, v, d_o, lse, delta, dq);
}
