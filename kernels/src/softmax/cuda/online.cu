// Maximum and sum in one pass: the sum is rescaled when the maximum grows (Milakov and Gimelshein, "Online normalizer calculation for
// softmax", 2018).
//
// A row is read twice instead of three times. That pays for rows that a multiprocessor's first cache does not hold, or that
// share it with those of other blocks. It costs no exponential more: one of the two factors is always 1.
#include "softmax.cuh"

template <bool LOG> __device__ void forward(u32 c, const float* x, float* y) {
    x += u64(blockIdx.x) * c;
    y += u64(blockIdx.x) * c;
    Online mine = {-INF, 0.0f};
    for (u32 i = threadIdx.x; i < c; i += blockDim.x) take(mine, x[i]);
    Online all = team_online<256>(mine);
    float shift = shift_of(all.largest), scale = scale_of(all.sum), log_sum = log_of(all.sum);
    for (u32 i = threadIdx.x; i < c; i += blockDim.x) y[i] = result<LOG>(x[i], shift, scale, log_sum);
}

extern "C" __global__ void __launch_bounds__(256) softmax_online_forward(u32 c, const float* x, float* y) {
    forward<false>(c, x, y);
}
extern "C" __global__ void __launch_bounds__(256) softmax_online_log_forward(u32 c, const float* x, float* y) {
    forward<true>(c, x, y);
}
