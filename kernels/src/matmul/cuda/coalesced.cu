// One thread an element of C, neighbouring threads along a row of C.
//
// The threads of a warp read the same element of A, one transaction for all of them, and neighbouring elements of B where it lies by
// rows (NN, TN): 128 bytes side by side in one transaction, all of which are used. So are those that are written to C.
#include "matmul.cuh"

extern "C" __global__ void __launch_bounds__(256) matmul_coalesced(PRODUCT) {
    u64 index = u64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (index >= u64(s.batch) * s.m * s.n) return;
    u64 j = index % s.n, i = index / s.n % s.m, batch = index / s.n / s.m;
    a += batch * at.batch + i * at.row;
    b += batch * bt.batch + j * bt.col;
    float sum = 0.0f;
    for (u64 p = 0; p < s.k; p++) sum += a[p * at.col] * b[p * bt.row];
    put(c + index, sum, add);
}
