// For tests alone: one instruction with operands that are given register by register, so that the layouts of the fragments can be held
// against a table (fragments.rs).
#include "tensor_cores.cuh"

// c = A·B, for one warp: 4 registers of A, 2 of B and 4 of C a lane.
extern "C" __global__ void __launch_bounds__(32) test_fragments_mma(const u32* a, const u32* b, float* c) {
    u32 lane = threadIdx.x, of_a[4], of_b[2];
    float of_c[4] = {};
    for (u32 i = 0; i < 4; i++) of_a[i] = a[4 * lane + i];
    for (u32 i = 0; i < 2; i++) of_b[i] = b[2 * lane + i];
    mma_16x8x16(of_c, of_a, of_b);
    for (u32 i = 0; i < 4; i++) c[4 * lane + i] = of_c[i];
}

// r = the fragments of four 8 × 8 matrices that lie one after the other, for one warp: 4 registers a lane.
extern "C" __global__ void __launch_bounds__(32) test_fragments_matrices(const u16* matrices, u32* r, u32 transposed) {
    __shared__ __align__(16) u16 rows[32][8];
    u32 lane = threadIdx.x, of_r[4];
    for (u32 i = 0; i < 8; i++) rows[lane][i] = matrices[8 * lane + i];
    __syncthreads();
    if (transposed) load_matrices_transposed(of_r, rows[lane]);
    else load_matrices(of_r, rows[lane]);
    for (u32 i = 0; i < 4; i++) r[4 * lane + i] = of_r[i];
}
