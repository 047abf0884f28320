// One thread a row, three passes over it: the maximum, the sum of the exponentials, the result.
//
// Neighbouring threads read addresses that are a row apart, so each of their loads is a transaction of its own with the memory, of
// which 4 bytes in 32 are used. It is the specification in CUDA C, and the slowest rung.
#include "softmax.cuh"

template <bool LOG> __device__ void forward(u32 rows, u32 c, const float* x, float* y) {
    u32 row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    x += u64(row) * c;
    y += u64(row) * c;
    float largest = -INF;
    for (u32 i = 0; i < c; i++) largest = fmaxf(largest, x[i]);
    float shift = shift_of(largest), sum = 0.0f;
    for (u32 i = 0; i < c; i++) sum += expf(x[i] - shift);
    for (u32 i = 0; i < c; i++) {
        if (LOG) y[i] = x[i] - shift - log_of(sum);
        else y[i] = sum == 0.0f ? 0.0f : expf(x[i] - shift) / sum;
    }
}

template <bool LOG> __device__ void backward(u32 rows, u32 c, const float* y, const float* dy, float* dx) {
    u32 row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    y += u64(row) * c;
    dy += u64(row) * c;
    dx += u64(row) * c;
    float sum = 0.0f;
    for (u32 i = 0; i < c; i++) sum += LOG ? dy[i] : y[i] * dy[i];
    for (u32 i = 0; i < c; i++) dx[i] = LOG ? dy[i] - expf(y[i]) * sum : y[i] * (dy[i] - sum);
}

extern "C" __global__ void __launch_bounds__(256) softmax_naive_forward(u32 rows, u32 c, const float* x, float* y) { forward<false>(rows, c, x, y); }
extern "C" __global__ void __launch_bounds__(256) softmax_naive_log_forward(u32 rows, u32 c, const float* x, float* y) {
    forward<true>(rows, c, x, y);
}
extern "C" __global__ void __launch_bounds__(256) softmax_naive_backward(u32 rows, u32 c, const float* y, const float* dy, float* dx) {
    backward<false>(rows, c, y, dy, dx);
}
extern "C" __global__ void __launch_bounds__(256) softmax_naive_log_backward(u32 rows, u32 c, const float* y, const float* dy, float* dx) {
    backward<true>(rows, c, y, dy, dx);
}
