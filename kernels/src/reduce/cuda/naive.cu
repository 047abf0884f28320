// A thread a result: it goes through its elements one after the other, at the strides that the host has merged.
//
// It is the specification in CUDA C. Where the kept axes are contiguous a warp reads whole transactions; where the reduced ones are, 32 rows at
// a time and an element of each transaction. Results are all the parallelism there is.
#include "strides.cuh"

__device__ __forceinline__ u64 offset_of(u32 index, u32 rank, const Sizes& shape, const Strides<1>& strides) {
    u64 at[1] = {};
    add_offsets(index, rank, shape, strides, at);
    return at[0];
}

#define SUM 0u
#define MEAN 1u
#define MAX 2u
#define MIN 3u
#define VARIANCE 4u

__device__ __forceinline__ float start_of(u32 op) { return op == MAX ? -INF : op == MIN ? INF : 0.0f; }

// The accumulator with one more element. A NaN stays: no comparison with it is true.
__device__ __forceinline__ float with(u32 op, float all, float x) {
    if (op == MAX) return x > all || x != x ? x : all;
    if (op == MIN) return x < all || x != x ? x : all;
    return all + x;
}

extern "C" __global__ void __launch_bounds__(256)
    reduce_naive_reduce(u32 op, u32 results, u32 n, float divisor, u32 kept_rank, Sizes kept, Strides<1> kept_strides,
                        u32 reduced_rank, Sizes reduced, Strides<1> reduced_strides, const float* x, float* y) {
    u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= results) return;
    if (n > 0) x += offset_of(i, kept_rank, kept, kept_strides);
    float all = start_of(op);
    for (u32 j = 0; j < n; j++) all = with(op, all, x[offset_of(j, reduced_rank, reduced, reduced_strides)]);
    if (op == VARIANCE) {
        float mean = all / float(n), squares = 0.0f;
        for (u32 j = 0; j < n; j++) {
            float distance = x[offset_of(j, reduced_rank, reduced, reduced_strides)] - mean;
            squares += distance * distance;
        }
        all = squares;
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
    float best = -INF;
    u32 at = 0;
    for (u32 j = 0; j < n; j++) {
        float here = x[offset_of(j, reduced_rank, reduced, reduced_strides)];
        bool is_better = here > best || (here != here && best == best);
        at = is_better ? j : at;
        best = is_better ? here : best;
    }
    y[i] = at;
}
