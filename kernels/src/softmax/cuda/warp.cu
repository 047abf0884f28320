// A warp a row, eight rows in a block: sums and maxima by shuffles alone.
//
// A row of a few hundred elements leaves most of a block of 256 threads idle, and each of its sums costs two barriers. A warp needs
// neither a barrier nor shared memory, its loads are as coalesced, and eight rows are under way where there was one.
#include "softmax.cuh"

// A warp past the last row works on a row of no elements, so that all lanes take part in the shuffles.
template <bool LOG> __device__ void forward(u32 rows, u32 c, const float* x, float* y) {
    u64 row = team_row<WARP>();
    u32 n = row < rows ? c : 0;
    x += row * c;
    y += row * c;
    float largest = -INF;
    for (u32 i = lane_index(); i < n; i += WARP) largest = fmaxf(largest, x[i]);
    float shift = shift_of(warp_max(largest)), sum = 0.0f;
    for (u32 i = lane_index(); i < n; i += WARP) sum += expf(x[i] - shift);
    sum = warp_sum(sum);
    float scale = scale_of(sum), log_sum = log_of(sum);
    for (u32 i = lane_index(); i < n; i += WARP) y[i] = result<LOG>(x[i], shift, scale, log_sum);
}

template <bool LOG> __device__ void backward(u32 rows, u32 c, const float* y, const float* dy, float* dx) {
    u64 row = team_row<WARP>();
    u32 n = row < rows ? c : 0;
    y += row * c;
    dy += row * c;
    dx += row * c;
    float sum = 0.0f;
    for (u32 i = lane_index(); i < n; i += WARP) sum += summand<LOG>(y[i], dy[i]);
    sum = warp_sum(sum);
    for (u32 i = lane_index(); i < n; i += WARP) dx[i] = gradient<LOG>(y[i], dy[i], sum);
}

extern "C" __global__ void __launch_bounds__(256) softmax_warp_forward(u32 rows, u32 c, const float* x, float* y) {
    forward<false>(rows, c, x, y);
}
extern "C" __global__ void __launch_bounds__(256) softmax_warp_log_forward(u32 rows, u32 c, const float* x, float* y) {
    forward<true>(rows, c, x, y);
}
extern "C" __global__ void __launch_bounds__(256)
    softmax_warp_backward(u32 rows, u32 c, const float* y, const float* dy, float* dx) {
    backward<false>(rows, c, y, dy, dx);
}
extern "C" __global__ void __launch_bounds__(256)
    softmax_warp_log_backward(u32 rows, u32 c, const float* y, const float* dy, float* dx) {
    backward<true>(rows, c, y, dy, dx);
}
