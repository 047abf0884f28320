// Four neighbouring elements of a thread, with accesses of 16 bytes where the address allows it.
//
// A warp then moves 512 bytes with one instruction instead of 128, so a kernel that is bound by memory issues a quarter of the
// loads, stores and index computations, and has more bytes under way for the same number of warps. Where an address is no multiple
// of 16, as in a slice from an odd element on, or fewer than four are left, the elements go one by one.
#pragma once
#include "gradus.cuh"

struct Quad {
    float of[4];
};

// The index of a thread in the whole grid.
__device__ __forceinline__ u64 thread_index() { return u64(blockIdx.x) * blockDim.x + threadIdx.x; }

// How many of the four elements from `first` on are below `end`, which is above `first`.
__device__ __forceinline__ u32 quad_count(u64 first, u64 end) { return end - first < 4 ? u32(end - first) : 4; }

__device__ __forceinline__ bool is_whole_quad(const void* at, u32 count) {
    return count == 4 && reinterpret_cast<u64>(at) % 16 == 0;
}

// `count` elements, and zeros after them.
__device__ __forceinline__ Quad load_quad(const float* at, u32 count) {
    if (is_whole_quad(at, count)) {
        float4 all = *reinterpret_cast<const float4*>(at);
        return {{all.x, all.y, all.z, all.w}};
    }
    Quad quad = {};
#pragma unroll
    for (u32 k = 0; k < 4; k++)
        if (k < count) quad.of[k] = at[k];
    return quad;
}

// `count` elements that are `step` apart, and zeros after them.
__device__ __forceinline__ Quad load_quad(const float* at, u64 step, u32 count) {
    if (step == 1) return load_quad(at, count);
    Quad quad = {};
#pragma unroll
    for (u32 k = 0; k < 4; k++)
        if (k < count) quad.of[k] = at[k * step];
    return quad;
}

__device__ __forceinline__ void store_quad(float* at, u32 count, const Quad& quad) {
    if (is_whole_quad(at, count)) {
        *reinterpret_cast<float4*>(at) = make_float4(quad.of[0], quad.of[1], quad.of[2], quad.of[3]);
        return;
    }
#pragma unroll
    for (u32 k = 0; k < 4; k++)
        if (k < count) at[k] = quad.of[k];
}
