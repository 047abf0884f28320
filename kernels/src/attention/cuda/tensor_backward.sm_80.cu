// Backward on tensor cores: all five products with bf16 operands and sums in f32.
//
// The two passes of the recompute rung, with one owner for every gradient. A block of four warps owns 64 keys, or queries, a warp 16 of
// them; the others go by, 32 at a time, in swizzled tiles that ldmatrix reads. In the pass over the queries a warp computes S and dP
// transposed, keys by queries: then P and dS, rounded, are the left operands of dV and dK as they lie in registers (the accumulators
// of one product are the left operand of the next), and in the other pass dS is that of dQ. No weight goes through shared memory.
#include "fragments.cuh"

#define OWN 64u
#define OTHERS 32u

template <u32 W>
__device__ void keys_pass(const Problem& p, const Strides& dks, const Strides& dvs, const float* mask, const u16* q, const u16* k,
                          const u16* v, const u16* d_o, const float* lse, const float* delta, float* dk, float* dv) {
    DYNAMIC_SHARED(u16, keys);
    u16 *values = keys + OWN * W, *queries = values + OWN * W, *gradients = queries + OTHERS * W;
    u32 tiles = (p.tk + OWN - 1) / OWN, block = blockIdx.x % tiles * OWN, kv = blockIdx.x / tiles % p.h_kv;
    u32 b = blockIdx.x / tiles / p.h_kv, group = p.h / p.h_kv, own = warp_index() * 16, key = block + own;
    u64 first_key = (u64(b) * p.h_kv + kv) * p.tk * W;
    load_swizzled<W, OWN>(keys, k + first_key, block, p.tk);
    load_swizzled<W, OWN>(values, v + first_key, block, p.tk);
    float dk_sum[W / 8][4] = {}, dv_sum[W / 8][4] = {};
    Range seeing = queries_of_keys(p, block, min(block + OWN, p.tk));
    for (u32 h = kv * group; h < (kv + 1) * group; h++) {
        Head head = {b, h, kv};
        u64 first_query = row_index(p, head, 0);
        for (u32 query = seeing.first; query < seeing.end; query += OTHERS) {
            __syncthreads(); // the last tiles are used up
            load_swizzled<W, OTHERS>(queries, q + first_query * W, query, p.tq);
            load_swizzled<W, OTHERS>(gradients, d_o + first_query * W, query, p.tq);
            __syncthreads();
            float score[OTHERS / 8][4] = {}, dp[OTHERS / 8][4] = {};
            multiply_tiles<W, OTHERS>(score, keys, own, queries);
            multiply_tiles<W, OTHERS>(dp, values, own, gradients);
            bool all = all_visible(p, query, OTHERS, key, 16);
#pragma unroll
            for (u32 n = 0; n < OTHERS / 8; n++) {
#pragma unroll
                for (u32 e = 0; e < 4; e++) {
                    u32 i = query + n * 8 + 2 * lane_t() + e % 2, j = key + lane_g() + e / 2 * 8;
                    u64 row = first_query + min(i, p.tq - 1);
                    bool visible = all || (i < p.tq && j < p.tk && sees(p, head, mask, i, j));
                    float keep = visible ? keep_factor(p, head, i, j) : 0.0f;
                    weigh(p, visible, score[n][e], dp[n][e], keep, lse[row], delta[row]);
                }
            }
            multiply_columns<W, OTHERS>(dv_sum, score, gradients);
            multiply_columns<W, OTHERS>(dk_sum, dp, queries);
        }
    }
    store_rows(dk + head_offset(dks, b, kv), dks.t, key, p.tk, p.d, dk_sum);
    store_rows(dv + head_offset(dvs, b, kv), dvs.t, key, p.tk, p.d, dv_sum);
}

template <u32 W>
__device__ void queries_pass(const Problem& p, const Strides& dqs, const float* mask, const u16* q, const u16* k, const u16* v,
                             const u16* d_o, const float* lse, const float* delta, float* dq) {
    DYNAMIC_SHARED(u16, queries);
    u16 *gradients = queries + OWN * W, *keys = gradients + OWN * W, *values = keys + OTHERS * W;
    u32 tiles = (p.tq + OWN - 1) / OWN, block = (tiles - 1 - blockIdx.x % tiles) * OWN;
    Head head = head_of(p, blockIdx.x / tiles);
    u32 own = warp_index() * 16, query = block + own;
    u64 first_query = row_index(p, head, 0), first_key = (u64(head.b) * p.h_kv + head.kv) * p.tk * W;
    load_swizzled<W, OWN>(queries, q + first_query * W, block, p.tq);
    load_swizzled<W, OWN>(gradients, d_o + first_query * W, block, p.tq);
    float sum[W / 8][4] = {}, row_lse[2], row_delta[2];
#pragma unroll
    for (u32 half = 0; half < 2; half++) {
        u64 row = first_query + min(query + lane_g() + half * 8, p.tq - 1);
        row_lse[half] = lse[row], row_delta[half] = delta[row];
    }
    Range seen = keys_of_queries(p, block, min(block + OWN, p.tq));
    for (u32 key = seen.first / OTHERS * OTHERS; key < seen.end; key += OTHERS) {
        __syncthreads(); // the last tiles are used up
        load_swizzled<W, OTHERS>(keys, k + first_key, key, p.tk);
        load_swizzled<W, OTHERS>(values, v + first_key, key, p.tk);
        __syncthreads();
        float score[OTHERS / 8][4] = {}, dp[OTHERS / 8][4] = {};
        multiply_tiles<W, OTHERS>(score, queries, own, keys);
        multiply_tiles<W, OTHERS>(dp, gradients, own, values);
        bool all = all_visible(p, query, 16, key, OTHERS);
#pragma unroll
        for (u32 n = 0; n < OTHERS / 8; n++) {
#pragma unroll
            for (u32 e = 0; e < 4; e++) {
                u32 i = query + lane_g() + e / 2 * 8, j = key + n * 8 + 2 * lane_t() + e % 2;
                bool visible = all || (i < p.tq && j < p.tk && sees(p, head, mask, i, j));
                float keep = visible ? keep_factor(p, head, i, j) : 0.0f;
                weigh(p, visible, score[n][e], dp[n][e], keep, row_lse[e / 2], row_delta[e / 2]);
            }
        }
        multiply_columns<W, OTHERS>(sum, dp, keys);
    }
    store_rows(dq + head_offset(dqs, head.b, head.h), dqs.t, query, p.tq, p.d, sum);
}

extern "C" __global__ void __launch_bounds__(128, 1)
    attention_tensor_dk_dv_16(Problem p, Strides dks, Strides dvs, const float* mask, const u16* q, const u16* k, const u16* v,
                              const u16* d_o, const float* lse, const float* delta, float* dk, float* dv) {
    keys_pass<16>(p, dks, dvs, mask, q, k, v, d_o, lse, delta, dk, dv);
}
extern "C" __global__ void __launch_bounds__(128, 1)
    attention_tensor_dq_16(Problem p, Strides dqs, const float* mask, const u16* q, const u16* k, const u16* v, const u16* d_o,
                           const float* lse, const float* delta, float* dq) {
    queries_pass<16>(p, dqs, mask, q, k, v, d_o, lse, delta, dq);
}
extern "C" __global__ void __launch_bounds__(128, 1)
    attention_tensor_dk_dv_32(Problem p, Strides dks, Strides dvs, const float* mask, const u16* q, const u16* k, const u16* v,
                              const u16* d_o, const float* lse, const float* delta, float* dk, float* dv) {
    keys_pass<32>(p, dks, dvs, mask, q, k, v, d_o, lse, delta, dk, dv);
}
extern "C" __global__ void __launch_bounds__(128, 1)
    attention_tensor_dq_32(Problem p, Strides dqs, const float* mask, const u16* q, const u16* k, const u16* v, const u16* d_o,
                           const float* lse, const float* delta, float* dq) {
    queries_pass<32>(p, dqs, mask, q, k, v, d_o, lse, delta, dq);
}
extern "C" __global__ void __launch_bounds__(128, 1)
    attention_tensor_dk_dv_64(Problem p, Strides dks, Strides dvs, const float* mask, const u16* q, const u16* k, const u16* v,
                              const u16* d_o, const float* lse, const float* delta, float* dk, float* dv) {
    keys_pass<64>(p, dks, dvs, mask, q, k, v, d_o, lse, delta, dk, dv);
}
extern "C" __global__ void __launch_bounds__(128, 1)
    attention_tensor_dq_64(Problem p, Strides dqs, const float* mask, const u16* q, const u16* k, const u16* v, const u16* d_o,
                           const float* lse, const float* delta, float* dq) {
    queries_pass<64>(p, dqs, mask, q, k, v, d_o, lse, delta, dq);
}
extern "C" __global__ void __launch_bounds__(128, 1)
    attention_tensor_dk_dv_128(Problem p, Strides dks, Strides dvs, const float* mask, const u16* q, const u16* k, const u16* v,
                              const u16* d_o, const float* lse, const float* delta, float* dk, float* dv) {
    keys_pass<128>(p, dks, dvs, mask, q, k, v, d_o, lse, delta, dk, dv);
}
extern "C" __global__ void __launch_bounds__(128, 1)
    attention_tensor_dq_128(Problem p, Strides dqs, const float* mask, const u16* q, const u16* k, const u16* v, const u16* d_o,
                           const float* lse, const float* delta, float* dq) {
    queries_pass<128>(p, dqs, mask, q, k, v, d_o, lse, delta, dq);
}
