// Strided operands: where the element of an index lies. The host has merged the axes that lie behind each other in all operands
// (elementwise/dims.rs), so most walks have one or two of them.
#pragma once
#include "gradus.cuh"

#define MAX_DIMS 8u

// The sizes of the axes, from outermost to innermost; what is behind their number means nothing.
struct Sizes {
    u32 of[MAX_DIMS];
};

// Of each axis the strides of K operands.
template <u32 K> struct Strides {
    u64 of[MAX_DIMS][K];
};

// Adds to `at` how far from the first the element `index`, in row-major order, lies in each operand. The loop is unrolled, so that all
// places in the arguments are constants and nothing is copied to local memory.
template <u32 K>
__device__ __forceinline__ void add_offsets(u32 index, u32 rank, const Sizes& shape, const Strides<K>& strides, u64 (&at)[K]) {
#pragma unroll
    for (u32 axis = MAX_DIMS; axis-- > 0;) {
        if (axis >= rank) continue;
        u32 outer = index / shape.of[axis], here = index - outer * shape.of[axis];
        index = outer;
#pragma unroll
        for (u32 k = 0; k < K; k++) at[k] += here * strides.of[axis][k];
    }
}
