// One thread a row for the result and its gradient, and one thread a column for the gradients of the parameters.
//
// The threads of a warp read addresses that are a row apart: of each transaction of 32 bytes 4 are used. It is the specification in CUDA
// C. The columns are read side by side, but by a single chain of additions over all rows.
#include "norm.cuh"

extern "C" __global__ void __launch_bounds__(256)
    norm_naive_layer_forward(u32 rows, u32 c, float eps, const float* x, const float* gamma, const float* beta, float* y,
                               float* mean, float* rstd) {
    forward<1, true>(rows, c, eps, x, gamma, beta, y, mean, rstd);
}
extern "C" __global__ void __launch_bounds__(256)
    norm_naive_layer_backward(u32 rows, u32 c, u32 add, const float* x, const float* gamma, const float* mean, const float* rstd,
                                const float* dy, float* dx) {
    backward<1, true>(rows, c, add, x, gamma, mean, rstd, dy, dx);
}

extern "C" __global__ void __launch_bounds__(256)
    norm_naive_rms_forward(u32 rows, u32 c, float eps, const float* x, const float* gamma, const float* beta, float* y,
                               float* mean, float* rstd) {
    forward<1, false>(rows, c, eps, x, gamma, beta, y, mean, rstd);
}
extern "C" __global__ void __launch_bounds__(256)
    norm_naive_rms_backward(u32 rows, u32 c, u32 add, const float* x, const float* gamma, const float* mean, const float* rstd,
                                const float* dy, float* dx) {
    backward<1, false>(rows, c, add, x, gamma, mean, rstd, dy, dx);
}

// dγ = Σ dy·x̂ and dβ = Σ dy, where they are wanted; without means μ is 0.
extern "C" __global__ void __launch_bounds__(256)
    norm_naive_parameters(u32 rows, u32 c, const float* x, const float* mean, const float* rstd, const float* dy, float* dgamma,
                          float* dbeta) {
    u64 i = u64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= c) return;
    float gamma_sum = 0.0f, beta_sum = 0.0f;
    for (u32 row = 0; row < rows; row++) {
        u64 at = u64(row) * c + i;
        gamma_sum += dy[at] * ((x[at] - parameter(mean, row, 0.0f)) * rstd[row]);
        beta_sum += dy[at];
    }
    if (dgamma) dgamma[i] = gamma_sum;
    if (dbeta) dbeta[i] = beta_sum;
}
