// A thread a result: it goes through its elements one after the other, at the strides that the host has merged.
//
// It is the specification in CUDA C. Where the kept axes are contiguous a warp reads whole transactions; where the reduced ones are, 32 rows at
// a time and an element of each transaction. Results are all the parallelism there is.
#include "reduce.cuh"

extern "C" __global__ void __launch_bounds__(256)
    reduce_naive_reduce(u32 op, u32 results, u32 n, float divisor, u32 kept_rank, Sizes kept, Strides<1> kept_strides,
                        u32 reduced_rank, Sizes reduced, Strides<1> reduced_strides, const float* x, float* y) {
    u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= results) return;
    if (n > 0) x += offset_of(i, kept_rank, kept, kept_strides);
    float all = start_of(op);
    for (u32 j = 0; j < n; j++) all = joined(op, all, x[offset_of(j, reduced_rank, reduced, reduced_strides)]);
    if (op == VARIANCE) {
        float mean = all / float(n);
        all = 0.0f;
        for (u32 j = 0; j < n; j++) all = with(op, all, x[offset_of(j, reduced_rank, reduced, reduced_strides)], mean);
    }
    y[i] = op == MEAN || op == VARIANCE ? all / divisor : all;
}

// The first of the largest; NaN counts as the largest.
extern "C" __global__ void __launch_bounds__(256)
    reduce_naive_argmax(u32 results, u32 n, u32 kept_rank, Sizes kept, Strides<1> kept_strides, u32 reduced_rank, Sizes reduced,
                        Strides<1> reduced_strides, const float* x, u32* y) {
    u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= results) return;
    x += offset_of(i, kept_rank, kept, kept_strides);
    Best best = no_best();
    for (u32 j = 0; j < n; j++) best = better(best, {x[offset_of(j, reduced_rank, reduced, reduced_strides)], j});
    y[i] = best.at;
}
