// The element types of tensors, and what a number of one of them is in another: exactly as on the CPU (cast/mod.rs).
#pragma once
#include "gradus.cuh"

// A bf16 number is the upper half of an f32.
struct bf16 {
    u16 bits;
};

__device__ __forceinline__ float widen(bf16 x) { return __uint_as_float(u32(x.bits) << 16); }

// To nearest, halves to even. NaN stays NaN, and a denormal number becomes a zero of its sign.
__device__ __forceinline__ bf16 round_to_bf16(float x) {
    u32 bits = __float_as_uint(x), magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return {u16(bits >> 16 | 0x40u)};
    if (magnitude < 0x00800000u) return {u16(bits >> 16 & 0x8000u)};
    return {u16((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16)};
}

// Without the fraction; below the range 0, above it the largest, and 0 for NaN.
__device__ __forceinline__ u32 truncate(float x) { return x > 0.0f ? x < 4294967296.0f ? u32(x) : 0xffffffffu : 0u; }
__device__ __forceinline__ u32 truncate(double x) { return x > 0.0 ? x < 4294967296.0 ? u32(x) : 0xffffffffu : 0u; }

__device__ __forceinline__ void convert(float x, float& y) { y = x; }
__device__ __forceinline__ void convert(float x, double& y) { y = x; }
__device__ __forceinline__ void convert(float x, bf16& y) { y = round_to_bf16(x); }
__device__ __forceinline__ void convert(float x, u32& y) { y = truncate(x); }
__device__ __forceinline__ void convert(double x, float& y) { y = float(x); }
__device__ __forceinline__ void convert(double x, double& y) { y = x; }
__device__ __forceinline__ void convert(double x, bf16& y) { y = round_to_bf16(float(x)); }
__device__ __forceinline__ void convert(double x, u32& y) { y = truncate(x); }
__device__ __forceinline__ void convert(u32 x, float& y) { y = float(x); }
__device__ __forceinline__ void convert(u32 x, double& y) { y = x; }
__device__ __forceinline__ void convert(u32 x, bf16& y) { y = round_to_bf16(float(x)); }
__device__ __forceinline__ void convert(u32 x, u32& y) { y = x; }
template <class Y> __device__ __forceinline__ void convert(bf16 x, Y& y) { convert(widen(x), y); }
