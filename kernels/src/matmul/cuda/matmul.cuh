// What the kernels of the matrix product share: their arguments, which tile of C a block has, and panels of the operands.
#pragma once
#include "gradus.cuh"

// The sizes of a batch of products; C is contiguous [batch, m, n].
struct Sizes {
    u32 batch, m, n, k;
};

// Steps in an operand, in elements: element (b, i, j) stands at b·batch + i·row + j·col.
struct Strides {
    u64 batch, row, col;
};

// The matrix of the batch that a block works on, and the first row and column of its tile of C.
struct Place {
    u32 batch, i, j;
};

__device__ __forceinline__ u32 tiles(u32 size, u32 tile) { return (size - 1) / tile + 1; }

// The place of a block of ROWS × COLUMNS. Neighbouring blocks have neighbouring columns, so that they read the same rows of A.
template <u32 ROWS, u32 COLUMNS> __device__ __forceinline__ Place place_of(const Sizes& s, u32 block) {
    u32 across = tiles(s.n, COLUMNS), down = tiles(s.m, ROWS);
    return {block / across / down, block / across % down * ROWS, block % across * COLUMNS};
}

// What a block reads of an operand: lines, which are rows of A or columns of B, of `steps` steps of k each. Element (line, step)
// stands at data[line · line_stride + step · step_stride]. So A and B are the same to everything below.
template <class T> struct Panel {
    const T* data;
    u64 line_stride, step_stride;
    u32 lines, steps;
};

// The steps from `first` on, at most `count`, of the rows of A from the block's first on.
template <class T>
__device__ __forceinline__ Panel<T> panel_of_a(const Sizes& s, const T* a, const Strides& at, const Place& place, u32 first, u32 count) {
    const T* data = a + place.batch * at.batch + place.i * at.row + first * at.col;
    return {data, at.row, at.col, s.m - place.i, min(count, s.k - first)};
}

template <class T>
__device__ __forceinline__ Panel<T> panel_of_b(const Sizes& s, const T* b, const Strides& bt, const Place& place, u32 first, u32 count) {
    const T* data = b + place.batch * bt.batch + place.j * bt.col + first * bt.row;
    return {data, bt.col, bt.row, s.n - place.j, min(count, s.k - first)};
}

// An element, or 0 outside. Both operands are 0 past the last step, so that what is there adds 0·0, not 0·∞.
__device__ __forceinline__ float element(const Panel<float>& x, u32 line, u32 step) {
    return line < x.lines && step < x.steps ? x.data[line * x.line_stride + step * x.step_stride] : 0.0f;
}

// Writes or adds to an element of C.
__device__ __forceinline__ void put(float* c, float value, bool add) { *c = add ? *c + value : value; }

// Whether 4 floats side by side, from a multiple of 4 on in each line of this stride, are at a multiple of 16 bytes.
__device__ __forceinline__ bool is_aligned(const float* data, u64 stride) {
    return reinterpret_cast<u64>(data) % 16 == 0 && stride % 4 == 0;
}

// The 4 elements from (line, step) on, along the steps or along the lines: by one load of 16 bytes where they lie side by side
// at a multiple of 16 bytes (`vectors`) and all are inside, else one by one.
template <bool ALONG_STEPS>
__device__ __forceinline__ float4 load_quad(const Panel<float>& x, bool vectors, u32 line, u32 step) {
    constexpr u32 L = ALONG_STEPS ? 0 : 1, S = ALONG_STEPS ? 1 : 0;
    if (vectors && line < x.lines && step < x.steps && (ALONG_STEPS ? x.steps - step : x.lines - line) >= 4)
        return *reinterpret_cast<const float4*>(x.data + line * x.line_stride + step * x.step_stride);
    return make_float4(element(x, line, step), element(x, line + L, step + S), element(x, line + 2 * L, step + 2 * S),
                       element(x, line + 3 * L, step + 3 * S));
}

template <bool ALONG_STEPS> __device__ __forceinline__ bool has_vectors(const Panel<float>& x) {
    return ALONG_STEPS ? x.step_stride == 1 && is_aligned(x.data, x.line_stride)
                       : x.line_stride == 1 && is_aligned(x.data, x.step_stride);
}

// Where quad `index` of a tile of LINES × STEPS begins; neighbouring quads lie side by side in memory.
template <u32 LINES, u32 STEPS, bool ALONG_STEPS> __device__ __forceinline__ void quad_at(u32 index, u32& line, u32& step) {
    if (ALONG_STEPS) {
        step = index % (STEPS / 4) * 4;
        line = index / (STEPS / 4);
    } else {
        line = index % (LINES / 4) * 4;
        step = index / (LINES / 4);
    }
}

// Stores a quad to a tile in shared memory that has a row of lines for each step.
template <bool ALONG_STEPS, u32 WIDTH>
__device__ __forceinline__ void store_quad(float (*tile)[WIDTH], u32 line, u32 step, float4 x) {
    if (ALONG_STEPS) {
        tile[step][line] = x.x;
        tile[step + 1][line] = x.y;
        tile[step + 2][line] = x.z;
        tile[step + 3][line] = x.w;
    } else {
        *reinterpret_cast<float4*>(&tile[step][line]) = x;
    }
}

// Reads 8 lines of a step: 4 from the first on, and 4 a distance further.
template <u32 DISTANCE> __device__ __forceinline__ void read_eight(float (&to)[8], const float* from) {
#pragma unroll
    for (u32 half = 0; half < 2; half++) {
        float4 quad = *reinterpret_cast<const float4*>(from + half * DISTANCE);
        to[4 * half] = quad.x;
        to[4 * half + 1] = quad.y;
        to[4 * half + 2] = quad.z;
        to[4 * half + 3] = quad.w;
    }
}

// sum[r][q] += a[r]·b[q]: 64 multiply-adds for 16 numbers.
__device__ __forceinline__ void multiply_eight(float (&sum)[8][8], const float (&a)[8], const float (&b)[8]) {
#pragma unroll
    for (u32 r = 0; r < 8; r++) {
#pragma unroll
        for (u32 q = 0; q < 8; q++) sum[r][q] += a[r] * b[q];
    }
}

// Writes 8 × 8 elements: 4 rows from `row` on and 4 rows DOWN below, of each 4 columns from `column` on and 4 columns ACROSS further.
template <u32 DOWN, u32 ACROSS>
__device__ __forceinline__ void put_eight(const Sizes& s, const Place& place, float* c, u32 row, u32 column, const float (&sum)[8][8], bool add) {
    c += (u64(place.batch) * s.m + place.i) * s.n + place.j;
    bool vectors = is_aligned(c, s.n);
#pragma unroll
    for (u32 r = 0; r < 8; r++) {
        u32 i = row + r % 4 + r / 4 * DOWN;
        if (i >= s.m - place.i) continue;
#pragma unroll
        for (u32 half = 0; half < 2; half++) {
            u32 j = column + half * ACROSS, left = s.n - place.j;
            float* to = c + u64(i) * s.n + j;
            if (vectors && !add && j < left && left - j >= 4) {
                const float* from = &sum[r][4 * half];
                *reinterpret_cast<float4*>(to) = make_float4(from[0], from[1], from[2], from[3]);
                continue;
            }
#pragma unroll
            for (u32 q = 0; q < 4; q++)
                if (j + q < left) put(to + q, sum[r][4 * half + q], add);
        }
    }
}

// The arguments of a kernel, and the same handed on. Where a kernel is a template over the layouts, there are four of it, _nn, _nt, _tn
// and _tt: whether the steps of k lie side by side in A (n, rows as they stand) and in B (t, stored by columns). Strides that are
// nowhere 1 go through the one whose stride is smaller.
#define PRODUCT Sizes s, const float *a, Strides at, const float *b, Strides bt, float *c, u32 add
#define HANDED_ON s, a, at, b, bt, c, add
