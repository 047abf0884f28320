// A warp a row, eight rows in a block: sums by shuffles alone, without barriers or shared memory.
//
// The loads of a warp are as coalesced as those of a block, and more rows are under way at the same time.
#include "norm.cuh"

extern "C" __global__ void __launch_bounds__(256)
    norm_warp_layer_forward(u32 rows, u32 c, float eps, const float* x, const float* gamma, const float* beta, float* y,
                               float* mean, float* rstd) {
    forward<WARP, true>(rows, c, eps, x, gamma, beta, y, mean, rstd);
}
extern "C" __global__ void __launch_bounds__(256)
    norm_warp_layer_backward(u32 rows, u32 c, u32 add, const float* x, const float* gamma, const float* mean, const float* rstd,
                                const float* dy, float* dx) {
    backward<WARP, true>(rows, c, add, x, gamma, mean, rstd, dy, dx);
}

extern "C" __global__ void __launch_bounds__(256)
    norm_warp_rms_forward(u32 rows, u32 c, float eps, const float* x, const float* gamma, const float* beta, float* y,
                               float* mean, float* rstd) {
    forward<WARP, false>(rows, c, eps, x, gamma, beta, y, mean, rstd);
}
extern "C" __global__ void __launch_bounds__(256)
    norm_warp_rms_backward(u32 rows, u32 c, u32 add, const float* x, const float* gamma, const float* mean, const float* rstd,
                                const float* dy, float* dx) {
    backward<WARP, false>(rows, c, add, x, gamma, mean, rstd, dy, dx);
}
