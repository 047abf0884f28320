// The loss of a row that a team of threads shares, from one pass over its logits.
//
// With smoothing the loss needs Σⱼ (L − xⱼ) too, before L is known. A thread adds the distances of its logits to the first of them
// instead: of k logits Σ (L − xⱼ) = k·(L − first) − Σ (xⱼ − first). That is as exact as the sum itself, for these distances are as small.
#pragma once
#include "cross_entropy.cuh"
#include "online.cuh"

// What a thread has seen of a row.
struct Seen {
    Online online;
    float first, distances;
    u32 count;
};

// Nothing yet; `first` is the logit that distances are taken to. −∞ is none, and makes the loss ∞ by its distance to any other number.
__device__ __forceinline__ Seen seen_from(float first) { return {{-INF, 0.0f}, first == -INF ? 0.0f : first, 0.0f, 0}; }

__device__ __forceinline__ void see(Seen& seen, float x) {
    take(seen.online, x);
    seen.distances += x - seen.first;
    seen.count++;
}

__device__ __forceinline__ void see(Seen& seen, const Quad& x, u32 count) {
    take(seen.online, x, count);
#pragma unroll
    for (u32 k = 0; k < 4; k++)
        if (k < count) seen.distances += x.of[k] - seen.first;
    seen.count += count;
}

// Σ (L − xⱼ) over the logits that a thread has seen.
__device__ __forceinline__ float losses_of(const Seen& seen, float largest, float log_sum) {
    return seen.count == 0 ? 0.0f : float(seen.count) * loss_of(seen.first, largest, log_sum) - seen.distances;
}

// Writes the loss and the log-sum-exp of a row of logits x from what the threads of its team have seen.
template <u32 TEAM>
__device__ __forceinline__ void write_row(const Seen& seen, u64 row, u32 rows, u32 v, const CrossEntropyOptions& options, float smoothing,
                                          const float* x, const u32* targets, float* losses, float* lse) {
    Online all = team_online<TEAM>(seen.online);
    float log_sum = log_sum_of(v, all.largest, all.sum), sum_of_losses = 0.0f;
    if (smoothing > 0.0f) sum_of_losses = team_sum<TEAM>(losses_of(seen, all.largest, log_sum));
    if (row >= rows || threadIdx.x % TEAM != 0) return;
    lse[row] = all.largest + log_sum;
    losses[row] = row_loss(options, v, smoothing, x, targets[row], all.largest, log_sum, sum_of_losses);
}
