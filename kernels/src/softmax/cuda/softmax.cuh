// What the rungs of softmax share.
#pragma once
#include "online.cuh"

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
