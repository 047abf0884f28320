// Four neighbouring elements a thread, in loads and stores of 16 bytes (quad.cuh): a quarter of the memory instructions and of the index
// computations for the same bytes.
//
// What has strides is cut into rows, the innermost axis, and these into fours, the last of which may be short. An operand that is
// broadcast along the row is one load for all four elements; one with another stride is read element by element.
#include "functions.cuh"
#include "quad.cuh"
#include "strides.cuh"

extern "C" __global__ void __launch_bounds__(256) elementwise_vector_unary(u32 function, u64 n, const float* x, float* y) {
    u64 i = 4 * thread_index();
    if (i >= n) return;
    u32 count = quad_count(i, n);
    Quad quad = load_quad(x + i, count);
#pragma unroll
    for (u32 k = 0; k < 4; k++) quad.of[k] = unary_of(function, quad.of[k]);
    store_quad(y + i, count, quad);
}

// `saved` may be null, and dx may be dy.
__device__ __forceinline__ void backward(u32 function, u64 n, const float* saved, const float* dy, float* dx) {
    u64 i = 4 * thread_index();
    if (i >= n) return;
    u32 count = quad_count(i, n);
    Quad quad = load_quad(dy + i, count), from = {};
    if (saved) from = load_quad(saved + i, count);
#pragma unroll
    for (u32 k = 0; k < 4; k++) quad.of[k] = unary_backward_of(function, from.of[k], quad.of[k]);
    store_quad(dx + i, count, quad);
}

extern "C" __global__ void __launch_bounds__(256) elementwise_vector_unary_backward(u32 function, u64 n, const float* saved, const float* dy,
                                                             float* dx) {
    backward(function, n, saved, dy, dx);
}

extern "C" __global__ void __launch_bounds__(256) elementwise_vector_unary_in_place(u32 function, u64 n, const float* saved, float* d) {
    backward(function, n, saved, d, d);
}

// The four elements of this thread: those from `first` on of a row, `count` of them.
struct Part {
    u64 row, first;
    u32 count;
};

// Whether there is one; `parts` of `row_parts` a row, and rows of `row_len` elements.
__device__ __forceinline__ bool find_part(u32 parts, u32 row_parts, u64 row_len, Part& part) {
    u64 i = thread_index();
    if (i >= parts) return false;
    part.row = u32(i) / row_parts;
    part.first = 4 * (i - part.row * row_parts);
    part.count = quad_count(part.first, row_len);
    return true;
}

// The axes are those outside of a row; `steps` are the strides within one.
extern "C" __global__ void __launch_bounds__(256) elementwise_vector_binary(u32 function, u32 parts, u32 row_parts, u64 row_len, u32 rank,
                                                     Sizes shape, Strides<2> strides, u64 a_step, u64 b_step,
                                                     const float* a, const float* b, float* y) {
    Part part;
    u64 at[2] = {};
    if (!find_part(parts, row_parts, row_len, part)) return;
    add_offsets(u32(part.row), rank, shape, strides, at);
    Quad left = load_quad(a + at[0] + part.first * a_step, a_step, part.count);
    Quad right = load_quad(b + at[1] + part.first * b_step, b_step, part.count);
#pragma unroll
    for (u32 k = 0; k < 4; k++) left.of[k] = binary_of(function, left.of[k], right.of[k]);
    store_quad(y + part.row * row_len + part.first, part.count, left);
}

extern "C" __global__ void __launch_bounds__(256) elementwise_vector_select(u32 parts, u32 row_parts, u64 row_len, u32 rank, Sizes shape,
                                                     Strides<3> strides, u64 condition_step, u64 a_step, u64 b_step,
                                                     const float* condition, const float* a, const float* b, float* y) {
    Part part;
    u64 at[3] = {};
    if (!find_part(parts, row_parts, row_len, part)) return;
    add_offsets(u32(part.row), rank, shape, strides, at);
    Quad which = load_quad(condition + at[0] + part.first * condition_step, condition_step, part.count);
    Quad left = load_quad(a + at[1] + part.first * a_step, a_step, part.count);
    Quad right = load_quad(b + at[2] + part.first * b_step, b_step, part.count);
#pragma unroll
    for (u32 k = 0; k < 4; k++) left.of[k] = which.of[k] == 0.0f ? right.of[k] : left.of[k];
    store_quad(y + part.row * row_len + part.first, part.count, left);
}

extern "C" __global__ void __launch_bounds__(256) elementwise_vector_axpy(u64 n, float k, const float* x, float* y) {
    u64 i = 4 * thread_index();
    if (i >= n) return;
    u32 count = quad_count(i, n);
    Quad quad = load_quad(x + i, count), sum = load_quad(y + i, count);
#pragma unroll
    for (u32 j = 0; j < 4; j++) sum.of[j] += k * quad.of[j];
    store_quad(y + i, count, sum);
}

extern "C" __global__ void __launch_bounds__(256) elementwise_vector_scale(u64 n, float k, float* y) {
    u64 i = 4 * thread_index();
    if (i >= n) return;
    u32 count = quad_count(i, n);
    Quad quad = load_quad(y + i, count);
#pragma unroll
    for (u32 j = 0; j < 4; j++) quad.of[j] *= k;
    store_quad(y + i, count, quad);
}
