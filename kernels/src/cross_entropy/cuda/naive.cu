// A thread a row, pass after pass: the largest logit, the sum of the exponentials, and with smoothing the sum of all losses.
//
// Neighbouring threads are a row apart, so a transaction of 32 bytes serves one element each time, and rows are all the parallelism there is.
#include "cross_entropy.cuh"

extern "C" __global__ void __launch_bounds__(256)
    cross_entropy_naive_forward(u32 rows, u32 v, CrossEntropyOptions options, float smoothing, const float* logits, const u32* targets,
                                float* losses, float* lse) {
    u32 row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    const float* x = logits + u64(row) * v;
    float largest = -INF, sum = 0.0f, sum_of_losses = 0.0f;
    for (u32 j = 0; j < v; j++) largest = fmaxf(largest, x[j]);
    for (u32 j = 0; j < v; j++) sum += expf(x[j] - largest);
    float log_sum = log_sum_of(v, largest, sum);
    for (u32 j = 0; smoothing > 0.0f && j < v; j++) sum_of_losses += loss_of(x[j], largest, log_sum);
    lse[row] = largest + log_sum;
    losses[row] = row_loss(options, v, smoothing, x, targets[row], largest, log_sum, sum_of_losses);
}

extern "C" __global__ void __launch_bounds__(256)
    cross_entropy_naive_backward(u32 rows, u32 v, CrossEntropyOptions options, float smoothing, const float* logits, const u32* targets,
                                 const float* lse, const float* d_loss, const u32* count, float* dlogits) {
    u32 row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    const float* x = logits + u64(row) * v;
    float* dx = dlogits + u64(row) * v;
    RowGradient of = row_gradient(row, rows, v, options, smoothing, targets, lse, d_loss, count);
    for (u32 j = 0; j < v; j++) dx[j] = gradient_of(of, j, x[j]);
}
