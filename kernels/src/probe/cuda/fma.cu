// The peak of multiply-adds in f32: chains that need nothing but registers.
//
// A multiply-add takes about 4 cycles until its result can be used, and a scheduler starts one for a warp in each cycle. A thread
// has 8 chains that do not depend on each other, so that already 2 warps of a scheduler would hide the wait, and there are 8 or more.
#include "gradus.cuh"

constexpr u32 CHAINS = 8;

// y[i] of thread i = Σ over its chains of what `links` steps x ← a·x + b make of the number of the chain.
extern "C" __global__ void __launch_bounds__(256) probe_fma(u32 links, float a, float b, float* y) {
    float x[CHAINS];
#pragma unroll
    for (u32 chain = 0; chain < CHAINS; chain++) x[chain] = float(chain);
#pragma unroll 4
    for (u32 link = 0; link < links; link++) {
#pragma unroll
        for (u32 chain = 0; chain < CHAINS; chain++) x[chain] = fmaf(a, x[chain], b);
    }
    float sum = 0.0f;
#pragma unroll
    for (u32 chain = 0; chain < CHAINS; chain++) sum += x[chain];
    y[u64(blockIdx.x) * blockDim.x + threadIdx.x] = sum;
}
