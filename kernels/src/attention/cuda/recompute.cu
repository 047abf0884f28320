// Backward in tiles of 16 queries and 16 keys: scores and dP are computed again, and every gradient has one owner.
//
// δ = Σ dO·O of each row is a kernel of its own. Then a block owns 16 keys and 64 columns of their dK and dV, and goes through the
// queries that see any of them, of all heads that read its key head; and in a second pass a block owns 16 queries and 64 columns of their
// dQ, and goes through the keys. So P and dS, Tq·Tk numbers a head, never leave the chip (Dao et al., "FlashAttention", 2022), and
// no two blocks add to one number: the same bits from run to run, without atomics. It costs two products of seven more than one pass
// with atomic additions to dQ would.
#include "tile.cuh"

// δ of each row, a warp for each.
extern "C" __global__ void __launch_bounds__(256) attention_recompute_delta(Problem p, Strides os, Strides gs, const float* o, const float* d_o,
                                                     float* delta) {
    u64 row = u64(blockIdx.x) * (blockDim.x / WARP) + warp_index();
    bool inside = row < u64(p.b) * p.h * p.tq;
    float sum = 0.0f;
    if (inside) {
        u32 i = u32(row % p.tq);
        Head head = head_of(p, u32(row / p.tq));
        o += head_offset(os, head.b, head.h) + i * os.t;
        d_o += head_offset(gs, head.b, head.h) + i * gs.t;
        for (u32 x = lane_index(); x < p.d; x += WARP) sum += d_o[x] * o[x];
    }
    sum = warp_sum(sum);
    if (inside && lane_index() == 0) delta[row] = sum;
}

// What a block reads: the heads of its tiles.
struct Operands {
    const float *q, *k, *v, *d_o, *mask, *lse, *delta;
    u64 q_step, k_step, v_step, d_o_step;
};

struct Weights {
    float dropped, ds; // D∘P, and scale · dS
};

// A thread's weights in the tile at (query, key): its query is number `row` of the tile, its key number `lane`.
__device__ __forceinline__ Weights weights_of(const Problem& p, const Head& head, const Operands& a, Tile& left, Tile& right,
                                              u32 query, u32 key, u32 row, u32 lane) {
    float score = 0.0f, dp = 0.0f;
    for (u32 x = 0; x < p.d; x += COLUMNS) {
        __syncthreads(); // the last use of the tiles is over
        load_tile(left, a.q, a.q_step, query, p.tq, x, p.d);
        load_tile(right, a.k, a.k_step, key, p.tk, x, p.d);
        __syncthreads();
#pragma unroll 8
        for (u32 c = 0; c < COLUMNS; c++) score += left[row][c] * right[lane][c];
        __syncthreads();
        load_tile(left, a.d_o, a.d_o_step, query, p.tq, x, p.d);
        load_tile(right, a.v, a.v_step, key, p.tk, x, p.d);
        __syncthreads();
#pragma unroll 8
        for (u32 c = 0; c < COLUMNS; c++) dp += left[row][c] * right[lane][c];
    }
    u32 i = query + row, j = key + lane;
    if (i >= p.tq || j >= p.tk || !sees(p, head, a.mask, i, j)) return {0.0f, 0.0f};
    u64 index = row_index(p, head, i);
    float probable = probability(p.scale * score, a.lse[index]), keep = keep_factor(p, head, i, j);
    return {probable * keep, probable * (keep * dp - a.delta[index]) * p.scale};
}

extern "C" __global__ void __launch_bounds__(256)
    attention_recompute_dk_dv(Problem p, Strides qs, Strides ks, Strides vs, Strides gs, Strides dks, Strides dvs, u32 chunks,
                              const float* mask, const float* q, const float* k, const float* v, const float* d_o,
                              const float* lse, const float* delta, float* dk, float* dv) {
    __shared__ Tile left, right;
    __shared__ float dropped[TILE][TILE + 1], ds[TILE][TILE + 1];
    u32 tiles = (p.tk + TILE - 1) / TILE, chunk = blockIdx.x % chunks * COLUMNS;
    u32 key = blockIdx.x / chunks % tiles * TILE, kv = blockIdx.x / chunks / tiles % p.h_kv;
    u32 b = blockIdx.x / chunks / tiles / p.h_kv, group = p.h / p.h_kv;
    u32 row = threadIdx.x / TILE, lane = threadIdx.x % TILE;
    float dk_sum[COLUMNS / TILE] = {}, dv_sum[COLUMNS / TILE] = {};
    Range seeing = queries_of_keys(p, key, min(key + TILE, p.tk));
    for (u32 h = kv * group; h < (kv + 1) * group; h++) {
        Head head = {b, h, kv};
        Operands a = {q + head_offset(qs, b, h),  k + head_offset(ks, b, kv), v + head_offset(vs, b, kv),
                      d_o + head_offset(gs, b, h), mask, lse, delta, qs.t, ks.t, vs.t, gs.t};
        for (u32 query = seeing.first; query < seeing.end; query += TILE) {
            Weights mine = weights_of(p, head, a, left, right, query, key, row, lane);
            __syncthreads();
            dropped[row][lane] = mine.dropped;
            ds[row][lane] = mine.ds;
            load_tile(left, a.q, a.q_step, query, p.tq, chunk, p.d);
            load_tile(right, a.d_o, a.d_o_step, query, p.tq, chunk, p.d);
            __syncthreads();
            // From here on the row of a thread is a key.
#pragma unroll
            for (u32 n = 0; n < COLUMNS / TILE; n++) {
                for (u32 c = 0; c < TILE; c++) {
                    dk_sum[n] += ds[c][row] * left[c][n * TILE + lane];
                    dv_sum[n] += dropped[c][row] * right[c][n * TILE + lane];
                }
            }
        }
    }
    if (key + row >= p.tk) return;
    dk += head_offset(dks, b, kv) + (key + row) * dks.t;
    dv += head_offset(dvs, b, kv) + (key + row) * dvs.t;
#pragma unroll
    for (u32 n = 0; n < COLUMNS / TILE; n++) {
        u32 x = chunk + n * TILE + lane;
        if (x < p.d) dk[x] = dk_sum[n], dv[x] = dv_sum[n];
    }
}

extern "C" __global__ void __launch_bounds__(256)
    attention_recompute_dq(Problem p, Strides qs, Strides ks, Strides vs, Strides gs, Strides dqs, u32 chunks, const float* mask,
                           const float* q, const float* k, const float* v, const float* d_o, const float* lse,
                           const float* delta, float* dq) {
    __shared__ Tile left, right;
    __shared__ float ds[TILE][TILE];
    u32 tiles = (p.tq + TILE - 1) / TILE, chunk = blockIdx.x % chunks * COLUMNS;
    u32 query = blockIdx.x / chunks % tiles * TILE;
    Head head = head_of(p, blockIdx.x / chunks / tiles);
    Operands a = {q + head_offset(qs, head.b, head.h),  k + head_offset(ks, head.b, head.kv), v + head_offset(vs, head.b, head.kv),
                  d_o + head_offset(gs, head.b, head.h), mask, lse, delta, qs.t, ks.t, vs.t, gs.t};
    u32 row = threadIdx.x / TILE, lane = threadIdx.x % TILE;
    float sum[COLUMNS / TILE] = {};
    Range seen = keys_of_queries(p, query, min(query + TILE, p.tq));
    for (u32 key = seen.first; key < seen.end; key += TILE) {
        Weights mine = weights_of(p, head, a, left, right, query, key, row, lane);
        __syncthreads();
        ds[row][lane] = mine.ds;
        load_tile(right, a.k, a.k_step, key, p.tk, chunk, p.d);
        __syncthreads();
#pragma unroll
        for (u32 n = 0; n < COLUMNS / TILE; n++) {
            for (u32 c = 0; c < TILE; c++) sum[n] += ds[row][c] * right[c][n * TILE + lane];
        }
    }
    if (query + row >= p.tq) return;
    dq += head_offset(dqs, head.b, head.h) + (query + row) * dqs.t;
#pragma unroll
    for (u32 n = 0; n < COLUMNS / TILE; n++) {
        u32 x = chunk + n * TILE + lane;
        if (x < p.d) dq[x] = sum[n];
    }
}
