// What the rungs of reductions share: the operations, where elements lie, and the chunk of the elements of a result that a thread works on.
#pragma once
#include "strides.cuh"
#include "team.cuh"

#define SUM 0u
#define MEAN 1u
#define MAX 2u
#define MIN 3u
// The sum of the squared distances from a mean.
#define VARIANCE 4u

__device__ __forceinline__ u64 offset_of(u32 index, u32 rank, const Sizes& shape, const Strides<1>& strides) {
    if (rank == 1) return index * strides.of[0][0];
    u64 at[1] = {};
    add_offsets(index, rank, shape, strides, at);
    return at[0];
}

__device__ __forceinline__ float start_of(u32 op) { return op == MAX ? -INF : op == MIN ? INF : 0.0f; }

// Two accumulators in one. A NaN stays: no comparison with it is true.
__device__ __forceinline__ float joined(u32 op, float all, float x) {
    if (op == MAX) return x > all || x != x ? x : all;
    if (op == MIN) return x < all || x != x ? x : all;
    return all + x;
}

// The accumulator with one more element.
__device__ __forceinline__ float with(u32 op, float all, float x, float mean) {
    return joined(op, all, op == VARIANCE ? (x - mean) * (x - mean) : x);
}

// The largest element so far, and where it was: the first of equal ones; NaN counts as the largest.
struct Best {
    float value;
    u32 at;
};

// Behind all elements, so that one of −∞ comes before it.
__device__ __forceinline__ Best no_best() { return {-INF, 0xffffffffu}; }

__device__ __forceinline__ Best better(Best a, Best b) {
    bool a_is_nan = a.value != a.value, b_is_nan = b.value != b.value;
    bool is_equal = a.value == b.value || (a_is_nan && b_is_nan);
    bool is_b = is_equal ? b.at < a.at : b_is_nan || b.value > a.value;
    return is_b ? b : a;
}

// The elements of a result are cut into chunks: the result and the chunk that a warp or a block works on, and the elements of the chunk. Past the last
// result there are none.
struct Share {
    u64 result;
    u32 chunk, begin, end;
};

__device__ __forceinline__ u32 chunk_end(u32 n, u32 begin, u32 of_chunk) { return n - begin < of_chunk ? n : begin + of_chunk; }
