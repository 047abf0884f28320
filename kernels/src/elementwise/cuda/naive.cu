// An element a thread. What has strides computes the place of its element by a division for each axis, for every operand at once.
//
// Neighbouring threads write neighbouring elements, so stores are whole transactions, and so are loads where an operand lies as the
// result does. It is the specification in CUDA C: 4 bytes a load, and as many divisions as elements times axes.
#include "functions.cuh"
#include "quad.cuh"
#include "strides.cuh"

extern "C" __global__ void __launch_bounds__(256) elementwise_naive_unary(u32 function, u64 n, const float* x, float* y) {
    u64 i = thread_index();
    if (i < n) y[i] = unary_of(function, x[i]);
}

// `saved` may be null, and dx may be dy.
__device__ __forceinline__ void backward(u32 function, u64 n, const float* saved, const float* dy, float* dx) {
    u64 i = thread_index();
    if (i < n) dx[i] = unary_backward_of(function, saved ? saved[i] : 0.0f, dy[i]);
}

extern "C" __global__ void __launch_bounds__(256) elementwise_naive_unary_backward(u32 function, u64 n, const float* saved, const float* dy, float* dx) {
    backward(function, n, saved, dy, dx);
}

extern "C" __global__ void __launch_bounds__(256) elementwise_naive_unary_in_place(u32 function, u64 n, const float* saved, float* d) {
    backward(function, n, saved, d, d);
}

extern "C" __global__ void __launch_bounds__(256) elementwise_naive_binary(u32 function, u32 n, u32 rank, Sizes shape, Strides<2> strides,
                                                    const float* a, const float* b, float* y) {
    u64 i = thread_index(), at[2] = {};
    if (i >= n) return;
    add_offsets(u32(i), rank, shape, strides, at);
    y[i] = binary_of(function, a[at[0]], b[at[1]]);
}

extern "C" __global__ void __launch_bounds__(256) elementwise_naive_select(u32 n, u32 rank, Sizes shape, Strides<3> strides, const float* condition,
                                                    const float* a, const float* b, float* y) {
    u64 i = thread_index(), at[3] = {};
    if (i >= n) return;
    add_offsets(u32(i), rank, shape, strides, at);
    y[i] = condition[at[0]] == 0.0f ? b[at[2]] : a[at[1]];
}

template <class E>
__device__ __forceinline__ void copy(u32 n, u32 rank, const Sizes& shape, const Strides<2>& strides, const E* x, E* y) {
    u64 i = thread_index(), at[2] = {};
    if (i >= n) return;
    add_offsets(u32(i), rank, shape, strides, at);
    y[at[1]] = x[at[0]];
}

extern "C" __global__ void __launch_bounds__(256) elementwise_naive_copy_2(u32 n, u32 rank, Sizes shape, Strides<2> strides, const u16* x, u16* y) {
    copy(n, rank, shape, strides, x, y);
}
extern "C" __global__ void __launch_bounds__(256) elementwise_naive_copy_4(u32 n, u32 rank, Sizes shape, Strides<2> strides, const u32* x, u32* y) {
    copy(n, rank, shape, strides, x, y);
}
extern "C" __global__ void __launch_bounds__(256) elementwise_naive_copy_8(u32 n, u32 rank, Sizes shape, Strides<2> strides, const u64* x, u64* y) {
    copy(n, rank, shape, strides, x, y);
}

extern "C" __global__ void __launch_bounds__(256) elementwise_naive_axpy(u64 n, float k, const float* x, float* y) {
    u64 i = thread_index();
    if (i < n) y[i] += k * x[i];
}

extern "C" __global__ void __launch_bounds__(256) elementwise_naive_scale(u64 n, float k, float* y) {
    u64 i = thread_index();
    if (i < n) y[i] *= k;
}
