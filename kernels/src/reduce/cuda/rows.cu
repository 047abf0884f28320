// A warp a result: neighbouring lanes read neighbouring elements, where the reduced axes are contiguous.
//
// A transaction is then used as a whole, and a result has 32 accumulators, joined by shuffles, where there was one chain. With chunks several
// warps share a result: each writes what it has found of its chunk, and this kernel is launched once more on that. So few long rows keep all
// multiprocessors busy too.
#include "reduce.cuh"

__device__ __forceinline__ Share share_of_warp(u32 results, u32 n, u32 chunks, u32 of_chunk) {
    u64 warp = team_row<WARP>(), result = warp / chunks;
    u32 chunk = u32(warp % chunks), begin = chunk * of_chunk;
    return {result, chunk, begin, result < results ? chunk_end(n, begin, of_chunk) : begin};
}

__device__ __forceinline__ Best warp_best(Best best) {
#pragma unroll
    for (u32 distance = WARP / 2; distance > 0; distance /= 2) {
        float value = __shfl_xor_sync(ALL_LANES, best.value, distance);
        u32 at = __shfl_xor_sync(ALL_LANES, best.at, distance);
        best = better(best, {value, at});
    }
    return best;
}

// y = the reduction of each chunk over `divisor`; a row of all results for each chunk. `means`: those that distances are taken from.
extern "C" __global__ void __launch_bounds__(256)
    reduce_rows_reduce(u32 op, u32 results, u32 n, u32 chunks, u32 of_chunk, float divisor, u32 kept_rank, Sizes kept,
                       Strides<1> kept_strides, u32 reduced_rank, Sizes reduced, Strides<1> reduced_strides, const float* means,
                       const float* x, float* y) {
    Share share = share_of_warp(results, n, chunks, of_chunk);
    float all = start_of(op), mean = means && share.result < results ? means[share.result] : 0.0f;
    u64 start = share.begin < share.end ? offset_of(u32(share.result), kept_rank, kept, kept_strides) : 0;
#pragma unroll 4
    for (u64 j = share.begin + u64(lane_index()); j < share.end; j += WARP)
        all = with(op, all, x[start + offset_of(u32(j), reduced_rank, reduced, reduced_strides)], mean);
#pragma unroll
    for (u32 distance = WARP / 2; distance > 0; distance /= 2)
        all = joined(op, all, __shfl_xor_sync(ALL_LANES, all, distance));
    if (share.result < results && lane_index() == 0) y[u64(share.chunk) * results + share.result] = all / divisor;
}

// The first of the largest of each chunk: into `bests`, where there are, or as the result.
extern "C" __global__ void __launch_bounds__(256)
    reduce_rows_argmax(u32 results, u32 n, u32 chunks, u32 of_chunk, u32 kept_rank, Sizes kept, Strides<1> kept_strides,
                       u32 reduced_rank, Sizes reduced, Strides<1> reduced_strides, const float* x, Best* bests, u32* y) {
    Share share = share_of_warp(results, n, chunks, of_chunk);
    Best best = no_best();
    u64 start = share.begin < share.end ? offset_of(u32(share.result), kept_rank, kept, kept_strides) : 0;
    for (u64 j = share.begin + u64(lane_index()); j < share.end; j += WARP)
        best = better(best, {x[start + offset_of(u32(j), reduced_rank, reduced, reduced_strides)], u32(j)});
    best = warp_best(best);
    if (share.result >= results || lane_index() != 0) return;
    if (bests) bests[u64(share.chunk) * results + share.result] = best;
    else y[share.result] = best.at;
}

// The first of the largest of all chunks.
extern "C" __global__ void __launch_bounds__(256) reduce_rows_argmax_total(u32 results, u32 chunks, const Best* bests, u32* y) {
    u64 result = team_row<WARP>();
    Best best = no_best();
    for (u32 chunk = lane_index(); result < results && chunk < chunks; chunk += WARP)
        best = better(best, bests[u64(chunk) * results + result]);
    best = warp_best(best);
    if (result < results && lane_index() == 0) y[result] = best.at;
}
