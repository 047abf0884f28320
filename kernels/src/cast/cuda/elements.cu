// An element a thread. A warp reads and writes whole transactions whatever the two types are, so memory is the limit, but for f64 on
// the cards that have few units for it.
#include "numbers.cuh"

template <class X, class Y> __device__ __forceinline__ void cast(u64 n, const X* x, Y* y) {
    u64 i = u64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < n) convert(x[i], y[i]);
}

template <class E> __device__ __forceinline__ void fill(u64 n, E value, E* y) {
    u64 i = u64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < n) y[i] = value;
}

extern "C" __global__ void __launch_bounds__(256) cast_f32_f32(u64 n, const float* x, float* y) { cast(n, x, y); }
extern "C" __global__ void __launch_bounds__(256) cast_f32_f64(u64 n, const float* x, double* y) { cast(n, x, y); }
extern "C" __global__ void __launch_bounds__(256) cast_f32_bf16(u64 n, const float* x, bf16* y) { cast(n, x, y); }
extern "C" __global__ void __launch_bounds__(256) cast_f32_u32(u64 n, const float* x, u32* y) { cast(n, x, y); }
extern "C" __global__ void __launch_bounds__(256) cast_f64_f32(u64 n, const double* x, float* y) { cast(n, x, y); }
extern "C" __global__ void __launch_bounds__(256) cast_f64_f64(u64 n, const double* x, double* y) { cast(n, x, y); }
extern "C" __global__ void __launch_bounds__(256) cast_f64_bf16(u64 n, const double* x, bf16* y) { cast(n, x, y); }
extern "C" __global__ void __launch_bounds__(256) cast_f64_u32(u64 n, const double* x, u32* y) { cast(n, x, y); }
extern "C" __global__ void __launch_bounds__(256) cast_bf16_f32(u64 n, const bf16* x, float* y) { cast(n, x, y); }
extern "C" __global__ void __launch_bounds__(256) cast_bf16_f64(u64 n, const bf16* x, double* y) { cast(n, x, y); }
extern "C" __global__ void __launch_bounds__(256) cast_bf16_bf16(u64 n, const bf16* x, bf16* y) { cast(n, x, y); }
extern "C" __global__ void __launch_bounds__(256) cast_bf16_u32(u64 n, const bf16* x, u32* y) { cast(n, x, y); }
extern "C" __global__ void __launch_bounds__(256) cast_u32_f32(u64 n, const u32* x, float* y) { cast(n, x, y); }
extern "C" __global__ void __launch_bounds__(256) cast_u32_f64(u64 n, const u32* x, double* y) { cast(n, x, y); }
extern "C" __global__ void __launch_bounds__(256) cast_u32_bf16(u64 n, const u32* x, bf16* y) { cast(n, x, y); }
extern "C" __global__ void __launch_bounds__(256) cast_u32_u32(u64 n, const u32* x, u32* y) { cast(n, x, y); }

extern "C" __global__ void __launch_bounds__(256) cast_fill_2(u64 n, u32 bits, u16* y) { fill(n, u16(bits), y); }
extern "C" __global__ void __launch_bounds__(256) cast_fill_4(u64 n, u32 bits, u32* y) { fill(n, bits, y); }
extern "C" __global__ void __launch_bounds__(256) cast_fill_8(u64 n, u64 bits, u64* y) { fill(n, bits, y); }
