// Copies of rows that lie together on both sides, 16 bytes a thread, whatever the size of an element: for bf16 an eighth of the loads, stores
// and index computations of the naive rung, for f32 a quarter. Where an address is no multiple of 16, or less than 16 bytes of a row are
// left, a thread moves its elements one by one.
#include "quad.cuh"
#include "strides.cuh"

// `parts` of 16 bytes, `row_parts` for each row of `row_len` elements; the axes are those outside of a row.
template <class E>
__device__ __forceinline__ void copy_rows(u32 parts, u32 row_parts, u64 row_len, u32 rank, const Sizes& shape,
                                          const Strides<2>& strides, const E* x, E* y) {
    constexpr u32 PART = 16 / sizeof(E);
    u64 i = thread_index(), at[2] = {};
    if (i >= parts) return;
    u32 row = u32(i) / row_parts;
    u64 first = (i - u64(row) * row_parts) * PART, left = row_len - first;
    add_offsets(row, rank, shape, strides, at);
    x += at[0] + first;
    y += at[1] + first;
    if (left >= PART && (reinterpret_cast<u64>(x) | reinterpret_cast<u64>(y)) % 16 == 0) {
        *reinterpret_cast<uint4*>(y) = *reinterpret_cast<const uint4*>(x);
        return;
    }
#pragma unroll
    for (u32 k = 0; k < PART; k++)
        if (k < left) y[k] = x[k];
}

extern "C" __global__ void __launch_bounds__(256) elementwise_rows_copy_2(u32 parts, u32 row_parts, u64 row_len, u32 rank, Sizes shape,
                                                   Strides<2> strides, const u16* x, u16* y) {
    copy_rows(parts, row_parts, row_len, rank, shape, strides, x, y);
}
extern "C" __global__ void __launch_bounds__(256) elementwise_rows_copy_4(u32 parts, u32 row_parts, u64 row_len, u32 rank, Sizes shape,
                                                   Strides<2> strides, const u32* x, u32* y) {
    copy_rows(parts, row_parts, row_len, rank, shape, strides, x, y);
}
extern "C" __global__ void __launch_bounds__(256) elementwise_rows_copy_8(u32 parts, u32 row_parts, u64 row_len, u32 rank, Sizes shape,
                                                   Strides<2> strides, const u64* x, u64* y) {
    copy_rows(parts, row_parts, row_len, rank, shape, strides, x, y);
}
