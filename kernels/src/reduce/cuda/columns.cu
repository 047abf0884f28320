// 32 results a block, whose eight warps take turns at their elements: neighbouring lanes have neighbouring results.
//
// Where the kept axes are contiguous, as in a sum over rows, a warp a result would use 4 bytes of each transaction. Here all of it is used,
// and a result has eight chains where a thread a result has one. The accumulators of the warps are joined in one order.
#include "reduce.cuh"

#define WARPS 8u

__device__ __forceinline__ Share share_of_lane(u32 results, u32 n, u32 chunks, u32 of_chunk) {
    u32 chunk = blockIdx.x % chunks, begin = chunk * of_chunk;
    u64 result = u64(blockIdx.x / chunks) * WARP + lane_index();
    return {result, chunk, begin, result < results ? chunk_end(n, begin, of_chunk) : begin};
}

// As reduce_rows_reduce.
extern "C" __global__ void __launch_bounds__(256)
    reduce_columns_reduce(u32 op, u32 results, u32 n, u32 chunks, u32 of_chunk, float divisor, u32 kept_rank, Sizes kept,
                          Strides<1> kept_strides, u32 reduced_rank, Sizes reduced, Strides<1> reduced_strides, const float* means,
                          const float* x, float* y) {
    __shared__ float found[WARPS][WARP];
    Share share = share_of_lane(results, n, chunks, of_chunk);
    float all = start_of(op), mean = means && share.result < results ? means[share.result] : 0.0f;
    u64 start = share.begin < share.end ? offset_of(u32(share.result), kept_rank, kept, kept_strides) : 0;
#pragma unroll 4
    for (u64 j = share.begin + u64(warp_index()); j < share.end; j += WARPS)
        all = with(op, all, x[start + offset_of(u32(j), reduced_rank, reduced, reduced_strides)], mean);
    found[warp_index()][lane_index()] = all;
    __syncthreads();
    if (warp_index() != 0 || share.result >= results) return;
    for (u32 warp = 1; warp < WARPS; warp++) all = joined(op, all, found[warp][lane_index()]);
    y[u64(share.chunk) * results + share.result] = all / divisor;
}

// As reduce_rows_argmax.
extern "C" __global__ void __launch_bounds__(256)
    reduce_columns_argmax(u32 results, u32 n, u32 chunks, u32 of_chunk, u32 kept_rank, Sizes kept, Strides<1> kept_strides,
                          u32 reduced_rank, Sizes reduced, Strides<1> reduced_strides, const float* x, Best* bests, u32* y) {
    __shared__ Best found[WARPS][WARP];
    Share share = share_of_lane(results, n, chunks, of_chunk);
    Best best = no_best();
    u64 start = share.begin < share.end ? offset_of(u32(share.result), kept_rank, kept, kept_strides) : 0;
    for (u64 j = share.begin + u64(warp_index()); j < share.end; j += WARPS)
        best = better(best, {x[start + offset_of(u32(j), reduced_rank, reduced, reduced_strides)], u32(j)});
    found[warp_index()][lane_index()] = best;
    __syncthreads();
    if (warp_index() != 0 || share.result >= results) return;
    for (u32 warp = 1; warp < WARPS; warp++) best = better(best, found[warp][lane_index()]);
    if (bests) bests[u64(share.chunk) * results + share.result] = best;
    else y[share.result] = best.at;
}
