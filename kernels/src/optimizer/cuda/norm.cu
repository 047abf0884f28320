// Σ g² in f64, in an order that the number of elements alone decides: the same bits from run to run, and on every card.
//
// The naive rung is one block, which adds what each of its threads has. In the other one so many blocks that the card is full have a part
// each and write it to scratch memory, and one block adds these up. A float is squared in f64 exactly, so no square overflows; on cards with
// few units for f64 that is still less work than the 4 bytes of an element take from memory.
#include "gradus.cuh"

__device__ __forceinline__ double warp_sum(double value) {
#pragma unroll
    for (u32 distance = WARP / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(ALL_LANES, value, distance);
    return value;
}

// For the first warp of a block of whole warps; `scratch` is 32 numbers of shared memory.
__device__ __forceinline__ double block_sum(double value, double* scratch) {
    value = warp_sum(value);
    if (lane_index() == 0) scratch[warp_index()] = value;
    __syncthreads();
    return warp_sum(lane_index() < blockDim.x / WARP ? scratch[lane_index()] : 0.0);
}

// A block's part of Σ g²: partial[block] becomes the sum over every gridDim.x-th stretch of as many elements as it has threads.
extern "C" __global__ void __launch_bounds__(256) optimizer_norm_partial(u64 n, const float* g, double* partial) {
    __shared__ double scratch[WARP];
    double sum = 0.0;
    for (u64 i = u64(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += u64(gridDim.x) * blockDim.x)
        sum += double(g[i]) * double(g[i]);
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

extern "C" __global__ void __launch_bounds__(256) optimizer_norm_finish(u32 count, const double* partial, double* sum) {
    __shared__ double scratch[WARP];
    double mine = 0.0;
    for (u32 i = threadIdx.x; i < count; i += blockDim.x) mine += partial[i];
    mine = block_sum(mine, scratch);
    if (threadIdx.x == 0) *sum = mine;
}
