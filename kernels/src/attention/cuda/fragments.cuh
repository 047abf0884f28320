// Attention on tensor cores: what a warp does with the fragments of 16 queries, and shared memory for ldmatrix.
//
// The operands are bf16 in scratch memory, rows of W columns one after the other (round.cu). With g = lane / 4 and t = lane % 4, a lane
// holds of each 16×8 tile of scores those of the queries g and g + 8 and of the keys 2t and 2t + 1. Two such tiles side by side, rounded,
// are the left operand of the next product as they lie: P never leaves the registers.
#pragma once
#include "tensor_cores.cuh"
#include "attention.cuh"

__device__ __forceinline__ u32 lane_g() { return lane_index() / 4; }
__device__ __forceinline__ u32 lane_t() { return lane_index() % 4; }

// The left operands of the 16 rows from `first` on, from memory; zeros after `end`.
template <u32 W> __device__ __forceinline__ void load_left(u32 (&a)[W / 16][4], const u16* rows, u32 first, u32 end) {
#pragma unroll
    for (u32 k = 0; k < W / 16; k++) {
#pragma unroll
        for (u32 n = 0; n < 4; n++) {
            u32 row = first + lane_g() + n % 2 * 8, x = k * 16 + n / 2 * 8 + 2 * lane_t();
            a[k][n] = row < end ? *reinterpret_cast<const u32*>(rows + u64(row) * W + x) : 0;
        }
    }
}

// Two tiles side by side as a left operand.
__device__ __forceinline__ void to_left(u32 (&a)[4], const float (&first)[4], const float (&second)[4]) {
    a[0] = to_bf16_pair(first[0], first[1]);
    a[1] = to_bf16_pair(first[2], first[3]);
    a[2] = to_bf16_pair(second[0], second[1]);
    a[3] = to_bf16_pair(second[2], second[3]);
}

// The largest score and the sum of the rows g and g + 8.
struct TwoRows {
    float largest[2], sum[2];
};

// Sum and maximum over the four lanes of a row.
__device__ __forceinline__ float four_sum(float x) {
    x += __shfl_xor_sync(ALL_LANES, x, 1);
    return x + __shfl_xor_sync(ALL_LANES, x, 2);
}

__device__ __forceinline__ float four_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, 1));
    return fmaxf(x, __shfl_xor_sync(ALL_LANES, x, 2));
}

// What dropout drops of the row `half` is set to 0. The keys 16 apart have one block of random numbers; `key` is a multiple of 64.
template <u32 N>
__device__ __forceinline__ void drop(const Problem& p, const Head& head, float (&score)[N][4], u32 half, u32 i, u32 key) {
    if (p.threshold == 0) return;
#pragma unroll
    for (u32 odd = 0; odd < 2; odd++) {
        u64 element = row_index(p, head, i) * ((u64(p.tk) + 63) / 64 * 64) + key + odd * 8 + 2 * lane_t();
        uint4 block = philox_block(p.seed, p.stream, philox_counter(element));
#pragma unroll
        for (u32 n = odd; n < N; n += 2) {
#pragma unroll
            for (u32 e = 0; e < 2; e++) {
                if (philox_half(block, element + n / 2 * 16 + e) < p.threshold) score[n][half * 2 + e] = 0.0f;
            }
        }
    }
}

// The scores of 16 queries and 8·N keys to weights, in place; what has been added up is multiplied with `correction`.
template <u32 N>
__device__ __forceinline__ void soften(const Problem& p, const Head& head, const float* mask, u32 query, u32 key,
                                       float (&score)[N][4], TwoRows& rows, float (&correction)[2]) {
    bool all = all_visible(p, query, 16, key, N * 8);
#pragma unroll
    for (u32 half = 0; half < 2; half++) {
        u32 i = query + lane_g() + half * 8;
        float before = rows.largest[half], largest = -INF;
#pragma unroll
        for (u32 n = 0; n < N; n++) {
#pragma unroll
            for (u32 e = 0; e < 2; e++) {
                u32 j = key + n * 8 + 2 * lane_t() + e;
                bool visible = all || (i < p.tq && j < p.tk && sees(p, head, mask, i, j));
                float& s = score[n][half * 2 + e];
                s = visible ? p.scale * s : -INF;
                largest = fmaxf(largest, s);
            }
        }
        rows.largest[half] = fmaxf(before, four_max(largest));
        float shift = shift_of(rows.largest[half]), sum = 0.0f;
#pragma unroll
        for (u32 n = 0; n < N; n++) {
#pragma unroll
            for (u32 e = 0; e < 2; e++) sum += score[n][half * 2 + e] = expf(score[n][half * 2 + e] - shift);
        }
        correction[half] = expf(before - shift);
        rows.sum[half] = rows.sum[half] * correction[half] + four_sum(sum);
        drop(p, head, score, half, i, key);
    }
}

// Multiplies the rows of 16×W sums.
template <u32 TILES> __device__ __forceinline__ void scale_rows(float (&sums)[TILES][4], const float (&factor)[2]) {
#pragma unroll
    for (u32 n = 0; n < TILES; n++) {
#pragma unroll
        for (u32 e = 0; e < 4; e++) sums[n][e] *= factor[e / 2];
    }
}

// Writes 16×W sums to the rows first .. of a tensor whose head begins at `out`.
template <u32 TILES>
__device__ __forceinline__ void store_rows(float* out, u64 step, u32 first, u32 end, u32 d, const float (&sums)[TILES][4]) {
#pragma unroll
    for (u32 n = 0; n < TILES; n++) {
#pragma unroll
        for (u32 e = 0; e < 4; e++) {
            u32 row = first + lane_g() + e / 2 * 8, x = n * 8 + 2 * lane_t() + e % 2;
            if (row < end && x < d) out[row * step + x] = sums[n][e];
        }
    }
}

// O and lse of 16 queries.
template <u32 TILES>
__device__ __forceinline__ void finish(const Problem& p, const Head& head, const Strides& os, u32 query, float (&output)[TILES][4],
                                       const TwoRows& rows, float* o, float* lse) {
    float share[2];
#pragma unroll
    for (u32 half = 0; half < 2; half++) {
        u32 i = query + lane_g() + half * 8;
        share[half] = rows.sum[half] == 0.0f ? 0.0f : p.keep_scale / rows.sum[half];
        if (i < p.tq && lane_t() == 0) lse[row_index(p, head, i)] = shift_of(rows.largest[half]) + logf(rows.sum[half]);
    }
    scale_rows(output, share);
    store_rows(o + head_offset(os, head.b, head.h), os.t, query, p.tq, p.d, output);
}

// ---- Swizzled tiles ---------------------------------------------------------------------------------------------------

// Where 16 bytes, number `part` of row `row`, lie in a tile of rows of W. Their number is changed by the row, so that the same
// part of eight rows, which ldmatrix reads at once, lies in all of the banks; without padding, so that a copy of 16 bytes stays one.
template <u32 W> __device__ __forceinline__ u32 swizzled(u32 row, u32 part) {
    constexpr u32 PARTS = W / 8 < 8 ? W / 8 : 8, ROWS = 8 / PARTS;
    return row * W + (part ^ row / ROWS % PARTS) * 8;
}

// Left operand number k of the 16 rows from `row` on.
template <u32 W> __device__ __forceinline__ void left_of(u32 (&a)[4], const u16* tile, u32 row, u32 k) {
    u32 matrix = lane_index() / 8;
    load_matrices(a, tile + swizzled<W>(row + matrix % 2 * 8 + lane_index() % 8, k * 2 + matrix / 2));
}

// Right operands whose columns are rows of the tile, sums over its columns: those of the rows `row` .. + 16, number k, two of them.
template <u32 W> __device__ __forceinline__ void right_of_rows(u32 (&b)[2][2], const u16* tile, u32 row, u32 k) {
    u32 matrix = lane_index() / 8, r[4];
    load_matrices(r, tile + swizzled<W>(row + matrix / 2 * 8 + lane_index() % 8, k * 2 + matrix % 2));
    b[0][0] = r[0], b[0][1] = r[1], b[1][0] = r[2], b[1][1] = r[3];
}

// Right operands whose rows are rows of the tile, sums over 16 of its rows: columns 16·n .. + 16, two of them.
template <u32 W> __device__ __forceinline__ void right_of_columns(u32 (&b)[2][2], const u16* tile, u32 row, u32 n) {
    u32 matrix = lane_index() / 8, r[4];
    load_matrices_transposed(r, tile + swizzled<W>(row + matrix % 2 * 8 + lane_index() % 8, n * 2 + matrix / 2));
    b[0][0] = r[0], b[0][1] = r[1], b[1][0] = r[2], b[1][1] = r[3];
}

// Step k of sums += left · (N rows of the tile)ᵀ.
template <u32 W, u32 N>
__device__ __forceinline__ void multiply_step(float (&sums)[N / 8][4], const u32 (&a)[4], const u16* tile, u32 k) {
#pragma unroll
    for (u32 row = 0; row < N; row += 16) {
        u32 b[2][2];
        right_of_rows<W>(b, tile, row, k);
        mma_16x8x16(sums[row / 8], a, b[0]);
        mma_16x8x16(sums[row / 8 + 1], a, b[1]);
    }
}

// sums += left · (N rows of the tile)ᵀ, with the left operands in registers.
template <u32 W, u32 N>
__device__ __forceinline__ void multiply_rows(float (&sums)[N / 8][4], const u32 (&left)[W / 16][4], const u16* tile) {
#pragma unroll
    for (u32 k = 0; k < W / 16; k++) multiply_step<W, N>(sums, left[k], tile, k);
}

// The same with 16 rows of another tile as the left operand.
template <u32 W, u32 N>
__device__ __forceinline__ void multiply_tiles(float (&sums)[N / 8][4], const u16* own, u32 row, const u16* tile) {
#pragma unroll
    for (u32 k = 0; k < W / 16; k++) {
        u32 a[4];
        left_of<W>(a, own, row, k);
        multiply_step<W, N>(sums, a, tile, k);
    }
}

// sums += weights, rounded, · N rows of the tile.
template <u32 W, u32 N>
__device__ __forceinline__ void multiply_columns(float (&sums)[W / 8][4], const float (&weights)[N / 8][4], const u16* tile) {
#pragma unroll
    for (u32 row = 0; row < N; row += 16) {
        u32 a[4];
        to_left(a, weights[row / 8], weights[row / 8 + 1]);
#pragma unroll
        for (u32 n = 0; n < W / 16; n++) {
            u32 b[2][2];
            right_of_columns<W>(b, tile, row, n);
            mma_16x8x16(sums[2 * n], a, b[0]);
            mma_16x8x16(sums[2 * n + 1], a, b[1]);
        }
    }
}

// The rows first .. first + COUNT to a swizzled tile, 16 bytes at a time; zeros after `end`.
template <u32 W, u32 COUNT> __device__ __forceinline__ void load_swizzled(u16* tile, const u16* rows, u32 first, u32 end) {
    for (u32 e = threadIdx.x; e < COUNT * (W / 8); e += blockDim.x) {
        u32 row = e / (W / 8), part = e % (W / 8);
        uint4 numbers = make_uint4(0, 0, 0, 0);
        if (first + row < end) numbers = *reinterpret_cast<const uint4*>(rows + u64(first + row) * W + part * 8);
        *reinterpret_cast<uint4*>(tile + swizzled<W>(row, part)) = numbers;
    }
}
