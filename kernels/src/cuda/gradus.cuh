// What kernels share: names of types, sums and maxima across a warp and a block. It includes nothing, because NVRTC has no headers.
//
// A warp is 32 threads that run in step; a block is up to 1024 threads that share memory and can wait for each other.
#pragma once

typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define WARP 32u
#define ALL_LANES 0xffffffffu
#define INF __uint_as_float(0x7f800000u)

#ifndef GRADUS_EMULATOR
// Shared memory whose size the launch decides: `type* name`.
#define DYNAMIC_SHARED(type, name)                                                                                    \
    extern __shared__ __align__(128) unsigned char dynamic_shared[];                                                  \
    type* name = reinterpret_cast<type*>(dynamic_shared)
#endif

// The number of the lane within its warp and of the warp within its block, where threads are counted along x alone.
__device__ __forceinline__ u32 lane_index() { return threadIdx.x % WARP; }
__device__ __forceinline__ u32 warp_index() { return threadIdx.x / WARP; }

// Σ of a value over the lanes of a warp. In each step a lane adds what the lane at the other end of a distance has; after
// five steps all lanes have the same sum, to the last bit, because a + b = b + a.
__device__ __forceinline__ float warp_sum(float value) {
#pragma unroll
    for (u32 distance = WARP / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(ALL_LANES, value, distance);
    return value;
}

// The largest of a value over the lanes of a warp.
__device__ __forceinline__ float warp_max(float value) {
#pragma unroll
    for (u32 distance = WARP / 2; distance > 0; distance /= 2)
        value = fmaxf(value, __shfl_xor_sync(ALL_LANES, value, distance));
    return value;
}

// Σ of a value over a block of whole warps, for all of its threads. `scratch` is 32 floats of shared memory, which hold nothing
// that is still read.
__device__ __forceinline__ float block_sum(float value, float* scratch) {
    value = warp_sum(value);
    __syncthreads(); // the last use of the scratch is over
    if (lane_index() == 0) scratch[warp_index()] = value;
    __syncthreads();
    return warp_sum(lane_index() < blockDim.x / WARP ? scratch[lane_index()] : 0.0f);
}

// The largest of a value over a block of whole warps, for all of its threads.
__device__ __forceinline__ float block_max(float value, float* scratch) {
    value = warp_max(value);
    __syncthreads();
    if (lane_index() == 0) scratch[warp_index()] = value;
    __syncthreads();
    return warp_max(lane_index() < blockDim.x / WARP ? scratch[lane_index()] : -INF);
}
