// One thread an element of C, neighbouring threads along a column of C: the specification in CUDA C.
//
// The 32 threads of a warp read 32 rows of A (NN, NT), addresses that are a row apart: 32 transactions of 32 bytes for 128 bytes that
// are used; and they write to 32 rows of C.
#include "matmul.cuh"

extern "C" __global__ void __launch_bounds__(256) matmul_naive(PRODUCT) {
    u64 index = u64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (index >= u64(s.batch) * s.m * s.n) return;
    u64 i = index % s.m, j = index / s.m % s.n, batch = index / s.m / s.n;
    a += batch * at.batch + i * at.row;
    b += batch * bt.batch + j * bt.col;
    float sum = 0.0f;
    for (u64 p = 0; p < s.k; p++) sum += a[p * at.col] * b[p * bt.row];
    put(c + (batch * s.m + i) * s.n + j, sum, add);
}
