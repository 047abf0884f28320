// The peak of tensor cores on bf16 by mma.sync: products that need nothing but registers.
//
// A warp has 8 accumulators that do not depend on each other, as in a tile of a product. From compute capability 9.0 on the tensor cores
// have another instruction for whole warp groups (wgmma), which is faster than mma.sync; the kernels here do not use it. So on such
// cards this is the limit of the kernels, and below that of the card.
#include "tensor_cores.cuh"

constexpr u32 TILES = 8;

// y[i] of thread i = Σ of what it holds of its tiles after `links` steps C ← C + A·B, where all of A are a and all of B are b:
// 4 · TILES · 16 · links · a·b.
extern "C" __global__ void __launch_bounds__(256) probe_mma(u32 links, float a, float b, float* y) {
    u32 of_a = to_bf16_pair(a, a), of_b = to_bf16_pair(b, b);
    u32 left[4] = {of_a, of_a, of_a, of_a}, right[2] = {of_b, of_b};
    float c[TILES][4];
#pragma unroll
    for (u32 tile = 0; tile < TILES; tile++)
#pragma unroll
        for (u32 i = 0; i < 4; i++) c[tile][i] = 0.0f;
#pragma unroll 2
    for (u32 link = 0; link < links; link++) {
#pragma unroll
        for (u32 tile = 0; tile < TILES; tile++) mma_16x8x16(c[tile], left, right);
    }
    float sum = 0.0f;
#pragma unroll
    for (u32 tile = 0; tile < TILES; tile++)
#pragma unroll
        for (u32 i = 0; i < 4; i++) sum += c[tile][i];
    y[u64(blockIdx.x) * blockDim.x + threadIdx.x] = sum;
}
