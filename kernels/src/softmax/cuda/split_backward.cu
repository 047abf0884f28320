// The gradient of a long row, cut among several blocks as in split.cu: a first kernel sums the parts, a second one adds the sums of its
// row and writes its part of the gradient.
#include "softmax.cuh"

template <bool LOG> __device__ void sum_part(u32 c, u32 parts, const float* y, const float* dy, float* partial) {
    __shared__ float scratch[WARP];
    Part part = part_of(c, parts);
    y += part.row * c;
    dy += part.row * c;
    float sum = 0.0f;
    for (u32 i = part.begin + threadIdx.x; i < part.end; i += blockDim.x) sum += summand<LOG>(y[i], dy[i]);
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

template <bool LOG>
__device__ void write(u32 c, u32 parts, const float* y, const float* dy, const float* partial, float* dx) {
    __shared__ float scratch[WARP];
    Part part = part_of(c, parts);
    y += part.row * c;
    dy += part.row * c;
    dx += part.row * c;
    float sum = block_sum(threadIdx.x < parts ? partial[part.row * parts + threadIdx.x] : 0.0f, scratch);
    for (u32 i = part.begin + threadIdx.x; i < part.end; i += blockDim.x) dx[i] = gradient<LOG>(y[i], dy[i], sum);
}

extern "C" __global__ void __launch_bounds__(256)
    softmax_split_backward_sum(u32 c, u32 parts, const float* y, const float* dy, float* partial) {
    sum_part<false>(c, parts, y, dy, partial);
}
extern "C" __global__ void __launch_bounds__(256)
    softmax_split_log_backward_sum(u32 c, u32 parts, const float* y, const float* dy, float* partial) {
    sum_part<true>(c, parts, y, dy, partial);
}
extern "C" __global__ void __launch_bounds__(256) softmax_split_backward(u32 c, u32 parts, const float* y, const float* dy,
                                                                        const float* partial, float* dx) {
    write<false>(c, parts, y, dy, partial, dx);
}
extern "C" __global__ void __launch_bounds__(256)
    softmax_split_log_backward(u32 c, u32 parts, const float* y, const float* dy, const float* partial, float* dx) {
    write<true>(c, parts, y, dy, partial, dx);
}
