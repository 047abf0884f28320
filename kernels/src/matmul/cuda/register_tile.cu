// Each thread computes 8 × 8 elements of C in registers, a block 128 × 128.
//
// A thread reads 16 numbers from shared memory for 64 multiply-adds, instead of 2 for one: shared memory, which gives a warp one number
// a lane and cycle or two, no longer limits the product. The elements of a thread are 16 rows and 16 columns apart, so that
// neighbouring threads read neighbouring numbers of B, without bank conflicts, and write neighbouring elements of C.
#include "matmul.cuh"

constexpr u32 BLOCK = 128, STEPS = 8, THREADS = 256;

// Rows of A and columns of B are stored as lines of 8 steps, one float longer, so that a column is spread over the banks.
__device__ __forceinline__ void load(const Panel<float>& x, u32 first, float (*tile)[STEPS + 1]) {
    for (u32 index = threadIdx.x; index < BLOCK * STEPS; index += THREADS) {
        bool along_steps = x.step_stride == 1;
        u32 line = along_steps ? index / STEPS : index % BLOCK, step = along_steps ? index % STEPS : index / BLOCK;
        tile[line][step] = element(x, line, first + step);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) matmul_register_tile(PRODUCT) {
    __shared__ float a_tile[BLOCK][STEPS + 1], b_tile[BLOCK][STEPS + 1]; // [line][step]
    Place place = place_of<BLOCK, BLOCK>(s, blockIdx.x);
    Panel<float> of_a = panel_of_a(s, a, at, place, 0, s.k), of_b = panel_of_b(s, b, bt, place, 0, s.k);
    u32 i = threadIdx.x / 16, j = threadIdx.x % 16;
    float sum[8][8] = {}, a_part[8], b_part[8];
    for (u32 first = 0, left = s.k; left > 0; first += STEPS, left -= min(left, STEPS)) {
        load(of_a, first, a_tile);
        load(of_b, first, b_tile);
        __syncthreads();
#pragma unroll
        for (u32 p = 0; p < STEPS; p++) {
#pragma unroll
            for (u32 r = 0; r < 8; r++) {
                a_part[r] = a_tile[i + 16 * r][p];
                b_part[r] = b_tile[j + 16 * r][p];
            }
            multiply_eight(sum, a_part, b_part);
        }
        __syncthreads();
    }
    c += (u64(place.batch) * s.m + place.i) * s.n + place.j;
#pragma unroll
    for (u32 r = 0; r < 8; r++) {
#pragma unroll
        for (u32 q = 0; q < 8; q++) {
            u32 row = i + 16 * r, column = j + 16 * q;
            if (row < of_a.lines && column < of_b.lines) put(c + u64(row) * s.n + column, sum[r][q], add);
        }
    }
}
