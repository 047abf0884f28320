// What the rungs of softmax share.
#pragma once
#include "gradus.cuh"

// What is subtracted from a row before the exponential: its maximum, or 0 where all is −∞, for −∞ − (−∞) is NaN.
__device__ __forceinline__ float shift_of(float largest) { return largest == -INF ? 0.0f : largest; }

// The logarithm of the sum, 0 of a row of −∞ alone, whose logarithms stay −∞.
__device__ __forceinline__ float log_of(float sum) { return sum == 0.0f ? 0.0f : logf(sum); }

// What the exponentials are multiplied by; a row of −∞ alone becomes zeros.
__device__ __forceinline__ float scale_of(float sum) { return sum == 0.0f ? 0.0f : 1.0f / sum; }

// An element of the result.
template <bool LOG> __device__ __forceinline__ float result(float x, float shift, float scale, float log_sum) {
    return LOG ? x - shift - log_sum : expf(x - shift) * scale;
}

// An element of what is summed for the gradient, and an element of the gradient.
template <bool LOG> __device__ __forceinline__ float summand(float y, float dy) { return LOG ? dy : y * dy; }
template <bool LOG> __device__ __forceinline__ float gradient(float y, float dy, float sum) {
    return LOG ? dy - expf(y) * sum : y * (dy - sum);
}

// The maximum of some elements, and the sum of their exponentials once it is subtracted.
struct Online {
    float largest, sum;
};

// Takes in one more element with one exponential: of the larger and the smaller of x and the maximum so far, the larger one has 1.
// −∞ adds nothing. NaN makes the sum NaN, because both comparisons fail.
__device__ __forceinline__ void take(Online& of, float x) {
    if (x == -INF) return;
    float e = expf(-fabsf(x - of.largest));
    if (x > of.largest) {
        of.sum = of.sum * e + 1.0f;
        of.largest = x;
    } else {
        of.sum += e;
    }
}

// The sum as it is for another maximum that is at least as large. ∞ has no difference to itself: the sum becomes NaN.
__device__ __forceinline__ float rescaled(Online of, float largest) {
    return of.largest == -INF ? of.sum : of.sum * expf(of.largest - largest);
}

// Maximum and sum of all threads of a block.
__device__ __forceinline__ Online block_online(Online of, float* scratch) {
    float largest = block_max(of.largest, scratch);
    return {largest, block_sum(rescaled(of, largest), scratch)};
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
