// The bandwidth of memory: 16 bytes a thread and access, neighbouring threads side by side, four accesses of a thread on their way at
// once. The threads of the launch go through the whole array together.
#include "gradus.cuh"

constexpr u32 AHEAD = 4;

// y[i] of thread i = Σ of all that it reads of x, which has 4·quads elements.
extern "C" __global__ void __launch_bounds__(256) probe_read(u64 quads, const float4* x, float* y) {
    u64 thread = u64(blockIdx.x) * blockDim.x + threadIdx.x, threads = u64(gridDim.x) * blockDim.x;
    float sums[AHEAD] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (u64 first = thread; first < quads; first += AHEAD * threads) {
#pragma unroll
        for (u32 i = 0; i < AHEAD; i++) {
            u64 at = first + i * threads;
            if (at >= quads) continue;
            float4 quad = x[at];
            sums[i] += quad.x + quad.y + quad.z + quad.w;
        }
    }
    y[thread] = sums[0] + sums[1] + sums[2] + sums[3];
}

// y = x, of 4·quads elements.
extern "C" __global__ void __launch_bounds__(256) probe_copy(u64 quads, const float4* x, float4* y) {
    u64 thread = u64(blockIdx.x) * blockDim.x + threadIdx.x, threads = u64(gridDim.x) * blockDim.x;
    for (u64 first = thread; first < quads; first += AHEAD * threads) {
        float4 quad[AHEAD];
#pragma unroll
        for (u32 i = 0; i < AHEAD; i++)
            if (first + i * threads < quads) quad[i] = x[first + i * threads];
#pragma unroll
        for (u32 i = 0; i < AHEAD; i++)
            if (first + i * threads < quads) y[first + i * threads] = quad[i];
    }
}

// y = value, of 4·quads elements.
extern "C" __global__ void __launch_bounds__(256) probe_write(u64 quads, float value, float4* y) {
    u64 thread = u64(blockIdx.x) * blockDim.x + threadIdx.x, threads = u64(gridDim.x) * blockDim.x;
    for (u64 at = thread; at < quads; at += threads) y[at] = make_float4(value, value, value, value);
}
