// Operands rounded to bf16, in scratch memory.
//
// A key and a value are read by every block of queries, and a query and its gradient by every block of keys. Rounded once and kept, they
// are half the bytes in all of these reads, and their rows are padded to whole vectors of 16 bytes, wherever those of the caller lie; that
// is what wide and asynchronous copies need. It costs one pass over the operands. Rounding takes denormal numbers for zero, as on the
// CPU.
#include "attention.cuh"

__device__ __forceinline__ u32 rounded_bits(float x) {
    u32 bits = __float_as_uint(x), size = bits & 0x7fffffffu;
    if (size > 0x7f800000u) return (bits >> 16 | 0x40u) << 16;
    if (size < 0x00800000u) return bits & 0x80000000u;
    return (bits + 0x7fffu + (bits >> 16 & 1u)) & 0xffff0000u;
}

// x [B,H,T,D] to y, rows of `width` ≥ D columns one after the other, zeros after column D.
template <class T> __device__ void round_rows(u32 h, u32 t, u32 d, u32 width, Strides s, u64 count, const float* x, T* y) {
    u64 index = u64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (index >= count) return;
    u64 row = index / width, head = row / t;
    u32 column = u32(index % width), bits = 0;
    if (column < d) bits = rounded_bits(x[head / h * s.b + head % h * s.h + row % t * s.t + column]);
    if constexpr (sizeof(T) == 4) y[index] = __uint_as_float(bits);
    else y[index] = T(bits >> 16);
}

// As f32 again.
extern "C" __global__ void __launch_bounds__(256) attention_round_f32(u32 h, u32 t, u32 d, u32 width, Strides s, u64 count, const float* x, float* y) {
    round_rows(h, t, d, width, s, count, x, y);
}

extern "C" __global__ void __launch_bounds__(256) attention_round_bf16(u32 h, u32 t, u32 d, u32 width, Strides s, u64 count, const float* x, u16* y) {
    round_rows(h, t, d, width, s, count, x, y);
}

// δ = Σ dO·O of each row with dO rounded, a warp for each: so the rows of dS still sum up to about 0.
extern "C" __global__ void __launch_bounds__(256) attention_round_delta(Problem p, Strides os, Strides gs, const float* o, const float* d_o,
                                                 float* delta) {
    u64 row = u64(blockIdx.x) * (blockDim.x / WARP) + warp_index();
    if (row >= u64(p.b) * p.h * p.tq) return; // a whole warp
    u32 i = u32(row % p.tq);
    Head head = head_of(p, u32(row / p.tq));
    o += head_offset(os, head.b, head.h) + i * os.t;
    d_o += head_offset(gs, head.b, head.h) + i * gs.t;
    float sum = 0.0f;
    for (u32 x = lane_index(); x < p.d; x += WARP) sum += __uint_as_float(rounded_bits(d_o[x])) * o[x];
    sum = warp_sum(sum);
    if (lane_index() == 0) delta[row] = sum;
}
