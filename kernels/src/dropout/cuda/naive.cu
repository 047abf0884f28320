// An element a thread, and a block of Philox for each: 128 random bits, of which 16 are used. Ten rounds with two products of 64 bits are
// some 60 instructions of integers for 8 bytes of memory traffic, which on most cards take longer than the memory does.
#include "philox.cuh"

// The elements are those of the mask from `first` on.
extern "C" __global__ void __launch_bounds__(256) dropout_naive_apply(u64 seed, u64 stream, u32 threshold, float scale, u64 first, u64 n, const float* x,
                                               float* y) {
    u64 i = u64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < n) y[i] = dropout_keeps(seed, stream, threshold, first + i) ? x[i] * scale : 0.0f;
}
