// The mean of the losses of the rows that count, and how many these are: one block, so that nothing is read back by the host.
//
// A row has a target and a loss here, against V logits in the kernels around it, so that one block is enough. A thread adds every
// 1024th loss in f64, and the threads' sums are added by a tree: the order is that of the sizes alone.
#include "cross_entropy.cuh"

__device__ u32 count_rows(u32 rows, const CrossEntropyOptions& options, const u32* targets) {
    u32 count = 0;
    for (u32 row = threadIdx.x; row < rows; row += blockDim.x) count += !is_ignored(options, targets[row]);
    return count;
}

template <class N> __device__ N warp_total(N value) {
#pragma unroll
    for (u32 distance = WARP / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(ALL_LANES, value, distance);
    return value;
}

// Σ over a block of whole warps, for its first warp. `scratch` is 32 numbers of shared memory that nothing else uses.
template <class N> __device__ N block_total(N value, N* scratch) {
    value = warp_total(value);
    if (lane_index() == 0) scratch[warp_index()] = value;
    __syncthreads();
    return warp_total(lane_index() < blockDim.x / WARP ? scratch[lane_index()] : N(0));
}

extern "C" __global__ void __launch_bounds__(1024)
    cross_entropy_mean_loss(u32 rows, CrossEntropyOptions options, const u32* targets, const float* losses, float* mean) {
    __shared__ double sums[WARP];
    __shared__ u32 counts[WARP];
    double sum = 0.0;
    for (u32 row = threadIdx.x; row < rows; row += blockDim.x) sum += double(losses[row]);
    sum = block_total(sum, sums);
    u32 count = block_total(count_rows(rows, options, targets), counts);
    if (threadIdx.x == 0) *mean = float(sum / double(count));
}

extern "C" __global__ void __launch_bounds__(1024)
    cross_entropy_mean_count(u32 rows, CrossEntropyOptions options, const u32* targets, u32* count) {
    __shared__ u32 counts[WARP];
    u32 total = block_total(count_rows(rows, options, targets), counts);
    if (threadIdx.x == 0) *count = total;
}
