// A block of 256 threads a row: neighbouring threads read neighbouring elements.
//
// The loads of a warp are then 128 bytes side by side, one transaction, all of which is used: up to eight times the bandwidth of the
// naive rung. What it costs are sums across the threads, by warp shuffles and one exchange through shared memory.
#include "softmax.cuh"

template <bool LOG> __device__ void forward(u32 c, const float* x, float* y) {
    __shared__ float scratch[WARP];
    x += u64(blockIdx.x) * c;
    y += u64(blockIdx.x) * c;
    float largest = -INF;
    for (u32 i = threadIdx.x; i < c; i += blockDim.x) largest = fmaxf(largest, x[i]);
    largest = block_max(largest, scratch);
    float shift = largest == -INF ? 0.0f : largest, sum = 0.0f;
    for (u32 i = threadIdx.x; i < c; i += blockDim.x) sum += expf(x[i] - shift);
    sum = block_sum(sum, scratch);
    float scale = sum == 0.0f ? 0.0f : 1.0f / sum, log_sum = log_of(sum);
    for (u32 i = threadIdx.x; i < c; i += blockDim.x)
        y[i] = LOG ? x[i] - shift - log_sum : expf(x[i] - shift) * scale;
}

template <bool LOG> __device__ void backward(u32 c, const float* y, const float* dy, float* dx) {
    __shared__ float scratch[WARP];
    y += u64(blockIdx.x) * c;
    dy += u64(blockIdx.x) * c;
    dx += u64(blockIdx.x) * c;
    float sum = 0.0f;
    for (u32 i = threadIdx.x; i < c; i += blockDim.x) sum += LOG ? dy[i] : y[i] * dy[i];
    sum = block_sum(sum, scratch);
    for (u32 i = threadIdx.x; i < c; i += blockDim.x) dx[i] = LOG ? dy[i] - expf(y[i]) * sum : y[i] * (dy[i] - sum);
}

extern "C" __global__ void __launch_bounds__(256) softmax_block_forward(u32 c, const float* x, float* y) { forward<false>(c, x, y); }
extern "C" __global__ void __launch_bounds__(256) softmax_block_log_forward(u32 c, const float* x, float* y) { forward<true>(c, x, y); }
extern "C" __global__ void __launch_bounds__(256) softmax_block_backward(u32 c, const float* y, const float* dy, float* dx) {
    backward<false>(c, y, dy, dx);
}
extern "C" __global__ void __launch_bounds__(256) softmax_block_log_backward(u32 c, const float* y, const float* dy, float* dx) {
    backward<true>(c, y, dy, dx);
}
