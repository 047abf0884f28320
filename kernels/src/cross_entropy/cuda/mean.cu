// The mean of the losses of the rows that count, and how many these are, so that nothing is read back by the host.
//
// A row has a target and a loss here, against V logits in the kernels around it, so that one block is enough for few rows. A thread adds
// every 1024th loss in f64, and the threads' sums are added by a tree: the order is that of the sizes alone. Of many rows each of several
// blocks takes a part of fixed size, and one block adds what they have found.
#include "cross_entropy.cuh"

// How many of the rows from `begin` to `end` count, as far as they are those of a thread.
__device__ u32 count_rows(u64 begin, u64 end, const CrossEntropyOptions& options, const u32* targets) {
    u32 count = 0;
    for (u64 row = begin + threadIdx.x; row < end; row += blockDim.x) count += !is_ignored(options, targets[row]);
    return count;
}

// Σ of some numbers from `begin` to `end`, as far as they are those of a thread.
template <class N, class E> __device__ N sum_of(u64 begin, u64 end, const E* numbers) {
    N sum = 0;
    for (u64 i = begin + threadIdx.x; i < end; i += blockDim.x) sum += N(numbers[i]);
    return sum;
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
    double sum = block_total(sum_of<double>(0, rows, losses), sums);
    u32 count = block_total(count_rows(0, rows, options, targets), counts);
    if (threadIdx.x == 0) *mean = float(sum / double(count));
}

extern "C" __global__ void __launch_bounds__(1024)
    cross_entropy_mean_count(u32 rows, CrossEntropyOptions options, const u32* targets, u32* count) {
    __shared__ u32 counts[WARP];
    u32 total = block_total(count_rows(0, rows, options, targets), counts);
    if (threadIdx.x == 0) *count = total;
}

// The same of the part of a block: the sum of its losses, where there are losses, and how many of its rows count.
extern "C" __global__ void __launch_bounds__(256)
    cross_entropy_mean_parts(u32 rows, u32 of_part, CrossEntropyOptions options, const u32* targets, const float* losses, double* sums,
                             u32* counts) {
    __shared__ double part_sums[WARP];
    __shared__ u32 part_counts[WARP];
    u64 begin = u64(blockIdx.x) * of_part, end = begin + of_part < rows ? begin + of_part : rows;
    double sum = losses ? block_total(sum_of<double>(begin, end, losses), part_sums) : 0.0;
    u32 count = block_total(count_rows(begin, end, options, targets), part_counts);
    if (threadIdx.x == 0) {
        if (losses) sums[blockIdx.x] = sum;
        counts[blockIdx.x] = count;
    }
}

// The mean from the sums of the parts, where it is wanted, and how many rows count.
extern "C" __global__ void __launch_bounds__(1024)
    cross_entropy_mean_total(u32 parts, const double* sums, const u32* counts, float* mean, u32* count) {
    __shared__ double all_sums[WARP];
    __shared__ u32 all_counts[WARP];
    double sum = mean ? block_total(sum_of<double>(0, parts, sums), all_sums) : 0.0;
    u32 total = block_total(sum_of<u32>(0, parts, counts), all_counts);
    if (threadIdx.x == 0) {
        if (mean) *mean = float(sum / double(total));
        if (count) *count = total;
    }
}
