// Tiles of 16 queries and 16 keys in shared memory, and a softmax that is corrected from tile to tile: no scores in memory.
//
// A block of 256 threads owns 16 queries of a head and 64 columns of their output. It goes through the keys that any of its queries
// sees, 16 at a time; a thread has one score of each tile, and four numbers of O. A key that was read from memory serves 16
// queries, and the Tq·Tk scores never leave the chip. Of each row the largest score so far and the sum of the exponentials are
// kept; where the largest grows, what was added up is scaled down (Milakov and Gimelshein, "Online normalizer calculation for
// softmax", 2018; Dao et al., "FlashAttention", 2022). Any D: heads of more than 64 columns have several blocks for the same
// queries, which compute the scores once each.
#include "tile.cuh"

extern "C" __global__ void __launch_bounds__(256)
    attention_tiled_forward(Problem p, Strides qs, Strides ks, Strides vs, Strides os, u32 chunks, const float* mask,
                            const float* q, const float* k, const float* v, float* o, float* lse) {
    __shared__ Tile queries, keys;
    __shared__ float weights[TILE][TILE];
    u32 tiles = (p.tq + TILE - 1) / TILE, chunk = blockIdx.x % chunks * COLUMNS;
    u32 first = blockIdx.x / chunks % tiles * TILE, end = min(first + TILE, p.tq);
    Head head = head_of(p, blockIdx.x / chunks / tiles);
    q += head_offset(qs, head.b, head.h);
    k += head_offset(ks, head.b, head.kv);
    v += head_offset(vs, head.b, head.kv);
    u32 row = threadIdx.x / TILE, lane = threadIdx.x % TILE, i = first + row;
    float largest = -INF, sum = 0.0f, output[COLUMNS / TILE] = {};
    Range seen = keys_of_queries(p, first, end);
    for (u32 key = seen.first; key < seen.end; key += TILE) {
        float score = 0.0f;
        for (u32 x = 0; x < p.d; x += COLUMNS) {
            __syncthreads(); // the last use of the tiles is over
            load_tile(queries, q, qs.t, first, end, x, p.d);
            load_tile(keys, k, ks.t, key, seen.end, x, p.d);
            __syncthreads();
#pragma unroll 8
            for (u32 c = 0; c < COLUMNS; c++) score += queries[row][c] * keys[lane][c];
        }
        u32 j = key + lane;
        bool visible = i < end && j < seen.end && sees(p, head, mask, i, j);
        score = visible ? p.scale * score : -INF;
        float before = largest;
        largest = fmaxf(largest, row_max(score));
        float shift = shift_of(largest), weight = expf(score - shift), correction = expf(before - shift);
        sum = sum * correction + row_sum(weight);
        __syncthreads(); // the keys are read by all, and the values may take their place
        weights[row][lane] = visible ? weight * keep_factor(p, head, i, j) : 0.0f;
        load_tile(keys, v, vs.t, key, seen.end, chunk, p.d);
        __syncthreads();
#pragma unroll
        for (u32 n = 0; n < COLUMNS / TILE; n++) {
            float added = 0.0f;
            for (u32 c = 0; c < TILE; c++) added += weights[row][c] * keys[c][n * TILE + lane];
            output[n] = output[n] * correction + added;
        }
    }
    if (i >= end) return;
    o += head_offset(os, head.b, head.h) + i * os.t;
    float share = sum == 0.0f ? 0.0f : 1.0f / sum;
#pragma unroll
    for (u32 n = 0; n < COLUMNS / TILE; n++) {
        u32 x = chunk + n * TILE + lane;
        if (x < p.d) o[x] = output[n] * share;
    }
    if (chunk == 0 && lane == 0) lse[row_index(p, head, i)] = shift_of(largest) + logf(sum);
}
