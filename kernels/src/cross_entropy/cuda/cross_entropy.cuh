// What the rungs of cross-entropy share: which rows count, and the loss and the gradient of one of them.
//
// A target that is no class and not ignored reads nothing: its loss and its gradient are NaN.
#pragma once
#include "gradus.cuh"

// Which rows count, and how much the targets are smoothed. `is_ignoring` is 0 or 1.
struct CrossEntropyOptions {
    u32 is_ignoring, ignore_index;
};

__device__ __forceinline__ bool is_ignored(const CrossEntropyOptions& options, u32 target) {
    return options.is_ignoring && target == options.ignore_index;
}

// ln Σ exp(x − largest) of a row from its largest logit and that sum. A largest of ±∞ has no distance to itself, so all is NaN then.
__device__ __forceinline__ float log_sum_of(u32 v, float largest, float sum) {
    bool is_infinite = v > 0 && (largest == INF || largest == -INF);
    return is_infinite ? __uint_as_float(0x7fffffffu) : logf(sum);
}

// L − x = ln Σ exp(x − largest) − (x − largest): the small numbers first, for L is rounded to the size of the largest.
__device__ __forceinline__ float loss_of(float x, float largest, float log_sum) { return log_sum - (x - largest); }

// The loss of a row; `sum_of_losses` is that over all classes, and counts where there is smoothing.
__device__ __forceinline__ float row_loss(const CrossEntropyOptions& options, u32 v, float smoothing, const float* x, u32 target,
                                          float largest, float log_sum, float sum_of_losses) {
    if (is_ignored(options, target)) return 0.0f;
    if (target >= v) return __uint_as_float(0x7fffffffu);
    float loss = (1.0f - smoothing) * loss_of(x[target], largest, log_sum);
    return smoothing > 0.0f ? loss + smoothing * sum_of_losses / float(v) : loss;
}

// What the gradient of a row needs; a row past the last one has no logits.
struct RowGradient {
    u32 target;
    bool is_ignored;
    float lse, factor, smoothing, share;
};

__device__ __forceinline__ RowGradient row_gradient(u64 row, u32 rows, u32 v, const CrossEntropyOptions& options, float smoothing,
                                                    const u32* targets, const float* lse, const float* d_loss, const u32* count) {
    if (row >= rows) return {};
    u32 target = targets[row];
    float factor = target < v ? *d_loss / float(*count) : __uint_as_float(0x7fffffffu);
    return {target, is_ignored(options, target), lse[row], factor, smoothing, smoothing / float(v)};
}

// The gradient of logit j.
__device__ __forceinline__ float gradient_of(const RowGradient& row, u32 j, float x) {
    float expected = j == row.target ? 1.0f - row.smoothing + row.share : row.share;
    return row.is_ignored ? 0.0f : row.factor * (expf(x - row.lse) - expected);
}
