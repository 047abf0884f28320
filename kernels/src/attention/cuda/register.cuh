// Register tiles: 256 threads in 16 rows of 16, each with R rows and C columns of a product.
//
// Thread (y, x) has the rows y + 16·r and the columns x + 16·c. For each four numbers along the sum it reads R + C vectors of 16
// bytes from shared memory and does 4·R·C multiply-adds with them; with one score a thread it would be two reads for one. A half
// of a warp has whole rows, so maxima and sums of a row are shuffles, and weights that go through shared memory stay in the warp.
//
// Kernels ask for two blocks a multiprocessor, that is at most 128 registers a thread: one waits at a barrier for its tile while the other
// computes. A few numbers that only the softmax needs may be spilled for it.
//
// A row in shared memory is four numbers longer than D. Eight lanes that read 16 bytes each, of rows one after the other, then fall
// into different banks.
#pragma once
#include "attention.cuh"

#define SIDE 16u

__device__ __forceinline__ u32 thread_y() { return threadIdx.x / SIDE; }
__device__ __forceinline__ u32 thread_x() { return threadIdx.x % SIDE; }

// COUNT rows from `first` on to shared memory, zeros after `end` and after column d.
template <u32 D, u32 COUNT>
__device__ __forceinline__ void load_rows(float* tile, const float* rows, u64 stride, u32 first, u32 end, u32 d) {
    for (u32 e = threadIdx.x; e < COUNT * D; e += blockDim.x) {
        u32 row = e / D, x = e % D;
        tile[row * (D + 4) + x] = first + row < end && x < d ? rows[(first + row) * stride + x] : 0.0f;
    }
}

// sums[r][c] += Σ a[row r]·b[row c] over D.
template <u32 D, u32 R, u32 C> __device__ __forceinline__ void products(float (&sums)[R][C], const float* a, const float* b) {
    a += thread_y() * (D + 4);
    b += thread_x() * (D + 4);
#pragma unroll 2
    for (u32 x = 0; x < D; x += 4) {
        float4 left[R], right[C];
#pragma unroll
        for (u32 r = 0; r < R; r++) left[r] = *reinterpret_cast<const float4*>(a + r * SIDE * (D + 4) + x);
#pragma unroll
        for (u32 c = 0; c < C; c++) right[c] = *reinterpret_cast<const float4*>(b + c * SIDE * (D + 4) + x);
#pragma unroll
        for (u32 r = 0; r < R; r++) {
#pragma unroll
            for (u32 c = 0; c < C; c++) {
                sums[r][c] += left[r].x * right[c].x;
                sums[r][c] += left[r].y * right[c].y;
                sums[r][c] += left[r].z * right[c].z;
                sums[r][c] += left[r].w * right[c].w;
            }
        }
    }
}

// The column of an output that a thread's number n is: vectors of four where there are so many.
template <u32 N> __device__ __forceinline__ u32 column_of(u32 n) {
    return N >= 4 ? n / 4 * 4 * SIDE + thread_x() * 4 + n % 4 : thread_x() * N + n;
}

template <u32 N> __device__ __forceinline__ void load_columns(float (&x)[N], const float* row) {
    if constexpr (N >= 4) {
#pragma unroll
        for (u32 n = 0; n < N; n += 4) {
            float4 four = *reinterpret_cast<const float4*>(row + column_of<N>(n));
            x[n] = four.x, x[n + 1] = four.y, x[n + 2] = four.z, x[n + 3] = four.w;
        }
    } else {
#pragma unroll
        for (u32 n = 0; n < N; n++) x[n] = row[column_of<N>(n)];
    }
}

// sums[r][n] += Σ weights[row r][k] · tile[k][column n] over K rows of the tile.
template <u32 D, u32 K, u32 R>
__device__ __forceinline__ void add_rows(float (&sums)[R][D / SIDE], const float* weights, const float* tile) {
    weights += thread_y() * (K + 4);
#pragma unroll 2
    for (u32 k = 0; k < K; k += 4) {
        float four[R][4];
#pragma unroll
        for (u32 r = 0; r < R; r++) {
            float4 w = *reinterpret_cast<const float4*>(weights + r * SIDE * (K + 4) + k);
            four[r][0] = w.x, four[r][1] = w.y, four[r][2] = w.z, four[r][3] = w.w;
        }
#pragma unroll
        for (u32 i = 0; i < 4; i++) {
            float row[D / SIDE];
            load_columns(row, tile + (k + i) * (D + 4));
#pragma unroll
            for (u32 r = 0; r < R; r++) {
#pragma unroll
                for (u32 n = 0; n < D / SIDE; n++) sums[r][n] += four[r][i] * row[n];
            }
        }
    }
}

// Writes a thread's weights where `add_rows` reads them.
template <u32 R, u32 C> __device__ __forceinline__ void store_weights(float* weights, const float (&x)[R][C]) {
#pragma unroll
    for (u32 r = 0; r < R; r++) {
#pragma unroll
        for (u32 c = 0; c < C; c++) weights[(thread_y() + r * SIDE) * (C * SIDE + 4) + thread_x() + c * SIDE] = x[r][c];
    }
}

// Writes a thread's part of row `row` of an output.
template <u32 N> __device__ __forceinline__ void store_columns(float* row, const float (&x)[N], float factor, u32 d) {
#pragma unroll
    for (u32 n = 0; n < N; n++)
        if (column_of<N>(n) < d) row[column_of<N>(n)] = x[n] * factor;
}

// The factors of dropout of (i, j), (i, j + 16), …, which lie in one group of 64 and have one block of random numbers.
template <u32 N>
__device__ __forceinline__ void keep_factors(float (&keep)[N], const Problem& p, const Head& head, u32 i, u32 j) {
    if (p.threshold == 0) {
#pragma unroll
        for (u32 n = 0; n < N; n++) keep[n] = 1.0f;
        return;
    }
    u64 element = row_index(p, head, i) * ((u64(p.tk) + 63) / 64 * 64) + j;
    uint4 block = philox_block(p.seed, p.stream, philox_counter(element));
#pragma unroll
    for (u32 n = 0; n < N; n++)
        keep[n] = philox_half(block, element + n * SIDE) >= p.threshold ? p.keep_scale : 0.0f;
}
