// Rows that a team of threads shares: one thread, a warp, or a block of 256.
#pragma once
#include "gradus.cuh"

// Σ of a value over a team.
template <u32 TEAM> __device__ __forceinline__ float team_sum(float value) {
    if constexpr (TEAM == 1) {
        return value;
    } else if constexpr (TEAM == WARP) {
        return warp_sum(value);
    } else {
        __shared__ float scratch[WARP];
        return block_sum(value, scratch);
    }
}

// The largest of a value over a team.
template <u32 TEAM> __device__ __forceinline__ float team_max(float value) {
    if constexpr (TEAM == 1) {
        return value;
    } else if constexpr (TEAM == WARP) {
        return warp_max(value);
    } else {
        __shared__ float scratch[WARP];
        return block_max(value, scratch);
    }
}

// The row of a thread's team. It may be past the last one: then it has no elements, but takes part in all sums.
template <u32 TEAM> __device__ __forceinline__ u64 team_row() {
    return (u64(blockIdx.x) * blockDim.x + threadIdx.x) / TEAM;
}

// A row is cut among `parts` blocks: the elements of a row that a block works on.
struct Part {
    u64 row;
    u32 begin, end;
};

__device__ __forceinline__ Part part_of(u32 c, u32 parts) {
    u32 part = blockIdx.x % parts, length = c / parts + (c % parts != 0);
    u64 begin = u64(part) * length, end = begin + length;
    return {blockIdx.x / parts, u32(begin < c ? begin : c), u32(end < c ? end : c)};
}
