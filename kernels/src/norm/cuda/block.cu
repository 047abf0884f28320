// A block of 256 threads a row: neighbouring threads read neighbouring elements, so that all of a transaction is used.
//
// Each sum across the block costs two barriers, and rows shorter than 256 leave threads idle.
#include "norm.cuh"

extern "C" __global__ void __launch_bounds__(256)
    norm_block_layer_forward(u32 rows, u32 c, float eps, const float* x, const float* gamma, const float* beta, float* y,
                               float* mean, float* rstd) {
    forward<256, true>(rows, c, eps, x, gamma, beta, y, mean, rstd);
}
extern "C" __global__ void __launch_bounds__(256)
    norm_block_layer_backward(u32 rows, u32 c, u32 add, const float* x, const float* gamma, const float* mean, const float* rstd,
                                const float* dy, float* dx) {
    backward<256, true>(rows, c, add, x, gamma, mean, rstd, dy, dx);
}

extern "C" __global__ void __launch_bounds__(256)
    norm_block_rms_forward(u32 rows, u32 c, float eps, const float* x, const float* gamma, const float* beta, float* y,
                               float* mean, float* rstd) {
    forward<256, false>(rows, c, eps, x, gamma, beta, y, mean, rstd);
}
extern "C" __global__ void __launch_bounds__(256)
    norm_block_rms_backward(u32 rows, u32 c, u32 add, const float* x, const float* gamma, const float* mean, const float* rstd,
                                const float* dy, float* dx) {
    backward<256, false>(rows, c, add, x, gamma, mean, rstd, dy, dx);
}
