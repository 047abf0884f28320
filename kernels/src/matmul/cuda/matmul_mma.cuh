// What the tensor-core kernels of the matrix product share. Both operands are bf16 with their steps of k side by side, at multiples of
// 16 bytes, and a multiple of 8 of them (rounded.cu makes that of everything else). So there is one layout instead of four, and a
// fragment of A and one of B are read in the same way.
//
// A block of LINES × LINES elements of C, 32 steps at a time; a warp has 64 × 32 of them, 4 × 4 fragments.
#pragma once
#include "matmul.cuh"
#include "tensor_cores.cuh"

constexpr u32 STEPS = 32, CHUNK = 8, CHUNKS = STEPS / CHUNK;

// Steps in an operand from matrix to matrix and from line to line.
struct LineStrides {
    u64 batch, line;
};

#define MMA_PRODUCT Sizes s, const u16 *a, LineStrides at, const u16 *b, LineStrides bt, float *c, u32 add, u32 per_part
#define MMA_HANDED_ON s, a, at, b, bt, c, add, per_part

// What a block reads: lines of A and of B from its first on, and the steps of its part (split_k.cu).
struct Work {
    Place place;
    Panel<u16> a, b;
    u32 tiles;
};

template <u32 LINES>
__device__ __forceinline__ Work work_of(const Sizes& s, const u16* a, const LineStrides& at, const u16* b, const LineStrides& bt, u32 per_part) {
    Place place = place_of<LINES, LINES>(s, blockIdx.x);
    u32 first = blockIdx.y * per_part, steps = min(per_part, s.k - first);
    return {place,
            {a + place.batch * at.batch + place.i * at.line + first, at.line, 1, s.m - place.i, steps},
            {b + place.batch * bt.batch + place.j * bt.line + first, bt.line, 1, s.n - place.j, steps},
            steps == 0 ? 0 : tiles(steps, STEPS)};
}

// Where a line's chunk of 8 steps, 16 bytes, stands in a tile in shared memory.
enum Arrangement { PLAIN, PADDED, SWIZZLED };
template <Arrangement HOW> __device__ __forceinline__ u32 chunk_at(u32 line, u32 chunk) {
    if (HOW == PADDED) return line * (STEPS + CHUNK) + chunk * CHUNK;
    if (HOW == SWIZZLED) return line * STEPS + (chunk ^ line / 2 % CHUNKS) * CHUNK;
    return line * STEPS + chunk * CHUNK;
}
template <Arrangement HOW> __device__ constexpr u32 line_size() { return HOW == PADDED ? STEPS + CHUNK : STEPS; }

// Copies a tile of LINES lines into shared memory: through registers, or asynchronously. What is outside becomes 0.
template <u32 LINES, u32 THREADS, Arrangement HOW, bool ASYNC>
__device__ __forceinline__ void copy_tile(const Panel<u16>& x, u32 tile, u16* to) {
#pragma unroll
    for (u32 index = threadIdx.x; index < LINES * CHUNKS; index += THREADS) {
        u32 line = index / CHUNKS, chunk = index % CHUNKS, step = tile * STEPS + chunk * CHUNK;
        bool inside = line < x.lines && step < x.steps;
        const u16* from = inside ? x.data + line * x.line_stride + step : x.data;
        u16* at = to + chunk_at<HOW>(line, chunk);
        if (ASYNC) copy_async_16(at, from, inside);
        else *reinterpret_cast<uint4*>(at) = inside ? *reinterpret_cast<const uint4*>(from) : make_uint4(0, 0, 0, 0);
    }
}

// The first row and column of the warp's 64 × 32 elements within the block's.
template <u32 LINES> __device__ __forceinline__ u32 warp_row() { return warp_index() / (LINES / 32) * 64; }
template <u32 LINES> __device__ __forceinline__ u32 warp_column() { return warp_index() % (LINES / 32) * 32; }

// The fragments of 16 steps of k.
struct Fragments {
    u32 a[4][4], b[4][2];
};

// Reads them register by register: two neighbouring steps of a line each.
template <Arrangement HOW>
__device__ __forceinline__ void read_fragments(Fragments& f, const u16* a, const u16* b, u32 row, u32 column, u32 half) {
    u32 group = lane_index() / 4, pair = lane_index() % 4 * 2;
#pragma unroll
    for (u32 m = 0; m < 4; m++) {
#pragma unroll
        for (u32 r = 0; r < 4; r++) {
            u32 line = row + 16 * m + group + r % 2 * 8;
            f.a[m][r] = *reinterpret_cast<const u32*>(a + chunk_at<HOW>(line, 2 * half + r / 2) + pair);
        }
    }
#pragma unroll
    for (u32 n = 0; n < 4; n++) {
#pragma unroll
        for (u32 r = 0; r < 2; r++) {
            u32 line = column + 8 * n + group;
            f.b[n][r] = *reinterpret_cast<const u32*>(b + chunk_at<HOW>(line, 2 * half + r) + pair);
        }
    }
}

// Reads them four 8×8 matrices at a time: of A the two halves of 16 rows, first those of the lower 8 steps; of B the lower and the upper
// 8 steps of 8 columns, then those of the next 8.
template <Arrangement HOW>
__device__ __forceinline__ void load_fragments(Fragments& f, const u16* a, const u16* b, u32 row, u32 column, u32 half) {
    u32 lane = lane_index();
#pragma unroll
    for (u32 m = 0; m < 4; m++) load_matrices(f.a[m], a + chunk_at<HOW>(row + 16 * m + lane % 16, 2 * half + lane / 16));
#pragma unroll
    for (u32 n = 0; n < 4; n += 2) {
        u32 four[4];
        load_matrices(four, b + chunk_at<HOW>(column + 8 * n + lane / 16 * 8 + lane % 8, 2 * half + lane / 8 % 2));
        f.b[n][0] = four[0];
        f.b[n][1] = four[1];
        f.b[n + 1][0] = four[2];
        f.b[n + 1][1] = four[3];
    }
}

// The warp's sums: of each fragment 4 elements a lane.
struct Sums {
    float of[4][4][4];
};

// Multiplies the tiles' 32 steps, 16 at a time.
template <u32 LINES, Arrangement HOW, bool MATRICES>
__device__ __forceinline__ void multiply_tile(Sums& sums, const u16* a, const u16* b) {
    u32 row = warp_row<LINES>(), column = warp_column<LINES>();
    Fragments f;
#pragma unroll
    for (u32 half = 0; half < STEPS / 16; half++) {
        if (MATRICES) load_fragments<HOW>(f, a, b, row, column, half);
        else read_fragments<HOW>(f, a, b, row, column, half);
#pragma unroll
        for (u32 m = 0; m < 4; m++) {
#pragma unroll
            for (u32 n = 0; n < 4; n++) mma_16x8x16(sums.of[m][n], f.a[m], f.b[n]);
        }
    }
}

// Writes the block's part of C, pairs of columns by 8 bytes where C allows it.
template <u32 LINES> __device__ __forceinline__ void put_sums(const Sizes& s, const Work& work, float* c, const Sums& sums, bool add) {
    const Place& place = work.place;
    c += blockIdx.y * (u64(s.batch) * s.m * s.n) + (u64(place.batch) * s.m + place.i) * s.n + place.j;
    bool pairs = !add && s.n % 2 == 0 && reinterpret_cast<u64>(c) % 8 == 0;
#pragma unroll
    for (u32 m = 0; m < 4; m++) {
#pragma unroll
        for (u32 e = 0; e < 2; e++) {
            u32 i = warp_row<LINES>() + 16 * m + 8 * e + lane_index() / 4;
            if (i >= work.a.lines) continue;
#pragma unroll
            for (u32 n = 0; n < 4; n++) {
                u32 j = warp_column<LINES>() + 8 * n + lane_index() % 4 * 2;
                float* to = c + u64(i) * s.n + j;
                float low = sums.of[m][n][2 * e], high = sums.of[m][n][2 * e + 1];
                if (pairs && j < work.b.lines) { // with an even number of columns the second is there too
                    *reinterpret_cast<float2*>(to) = make_float2(low, high);
                    continue;
                }
                if (j < work.b.lines) put(to, low, add);
                if (j + 1 < work.b.lines) put(to + 1, high, add);
            }
        }
    }
}

// The rungs with one tile of each operand in shared memory: copy, wait, multiply, wait.
template <Arrangement HOW, bool ASYNC, bool MATRICES> __device__ void one_stage(u16* shared, MMA_PRODUCT) {
    constexpr u32 LINES = 128, THREADS = 256;
    Work work = work_of<LINES>(s, a, at, b, bt, per_part);
    u16 *a_tile = shared, *b_tile = shared + LINES * line_size<HOW>();
    Sums sums = {};
    for (u32 tile = 0; tile < work.tiles; tile++) {
        copy_tile<LINES, THREADS, HOW, ASYNC>(work.a, tile, a_tile);
        copy_tile<LINES, THREADS, HOW, ASYNC>(work.b, tile, b_tile);
        if (ASYNC) {
            copy_async_commit();
            copy_async_wait<0>();
        }
        __syncthreads();
        multiply_tile<LINES, HOW, MATRICES>(sums, a_tile, b_tile);
        __syncthreads(); // the tiles are overwritten
    }
    put_sums<LINES>(s, work, c, sums, add);
}

// The rungs with several: while one is multiplied, the copies of the next STAGES − 1 are on their way.
template <u32 LINES, u32 STAGES> __device__ void staged(u16* shared, MMA_PRODUCT) {
    constexpr u32 THREADS = LINES * LINES / 64, TILE = LINES * STEPS;
    Work work = work_of<LINES>(s, a, at, b, bt, per_part);
    Sums sums = {};
#pragma unroll
    for (u32 tile = 0; tile < STAGES - 1; tile++) {
        if (tile < work.tiles) {
            copy_tile<LINES, THREADS, SWIZZLED, true>(work.a, tile, shared + 2 * tile * TILE);
            copy_tile<LINES, THREADS, SWIZZLED, true>(work.b, tile, shared + (2 * tile + 1) * TILE);
        }
        copy_async_commit(); // a group for each tile, also where it is empty, so that they can be counted
    }
    for (u32 tile = 0; tile < work.tiles; tile++) {
        copy_async_wait<STAGES - 2>();
        __syncthreads(); // all copies of this tile are there, and nobody reads the one before it any more
        u32 next = tile + STAGES - 1, stage = next % STAGES * 2;
        if (next < work.tiles) {
            copy_tile<LINES, THREADS, SWIZZLED, true>(work.a, next, shared + stage * TILE);
            copy_tile<LINES, THREADS, SWIZZLED, true>(work.b, next, shared + (stage + 1) * TILE);
        }
        copy_async_commit();
        stage = tile % STAGES * 2;
        multiply_tile<LINES, SWIZZLED, true>(sums, shared + stage * TILE, shared + (stage + 1) * TILE);
    }
    put_sums<LINES>(s, work, c, sums, add);
}
