// The gradients of the parameters by blocks of rows: each block sums its rows into scratch memory, and a second kernel adds these sums,
// always in the same order.
//
// One thread a column leaves a card idle where there are fewer columns than threads, and its chain is as long as there are rows. Here
// rows and columns are both cut, a warp reads 32 neighbouring columns, and eight warps take turns at the rows of their block.
#include "norm.cuh"

#define WARPS 8u

// Of the rows of block `chunk`, and of 32 columns, Σ dy·x̂ and Σ dy.
extern "C" __global__ void __launch_bounds__(256)
    norm_partial_sums(u32 rows, u32 c, u32 of_chunk, const float* x, const float* mean, const float* rstd, const float* dy,
                      float* dgamma, float* dbeta) {
    __shared__ float sums[2][WARPS][WARP];
    u32 strips = c / WARP + (c % WARP != 0), chunk = blockIdx.x / strips;
    u64 i = u64(blockIdx.x % strips) * WARP + lane_index();
    u64 begin = u64(chunk) * of_chunk, end = begin + of_chunk < rows ? begin + of_chunk : rows;
    float gamma_sum = 0.0f, beta_sum = 0.0f;
    for (u64 row = begin + warp_index(); row < end && i < c; row += WARPS) {
        float mu = mean ? mean[row] : 0.0f, d = dy[row * c + i];
        gamma_sum += d * ((x[row * c + i] - mu) * rstd[row]);
        beta_sum += d;
    }
    sums[0][warp_index()][lane_index()] = gamma_sum;
    sums[1][warp_index()][lane_index()] = beta_sum;
    __syncthreads();
    if (warp_index() < 2 && i < c) {
        float sum = 0.0f;
        for (u32 w = 0; w < WARPS; w++) sum += sums[warp_index()][w][lane_index()];
        float* to = warp_index() == 0 ? dgamma : dbeta;
        if (to) to[u64(chunk) * c + i] = sum;
    }
}

// The sums of all chunks, one thread a column.
extern "C" __global__ void __launch_bounds__(256) norm_partial_total(u32 chunks, u32 c, const float* partial, float* total) {
    u64 i = u64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= c) return;
    float sum = 0.0f;
    for (u32 chunk = 0; chunk < chunks; chunk++) sum += partial[u64(chunk) * c + i];
    total[i] = sum;
}
