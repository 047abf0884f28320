// The functions of one number and of two, a line each: name, value, and for those of one number dy times the derivative, from what is
// saved, as x or as y. Names and their order are those of `Unary::ALL` and `Binary::ALL` (elementwise/functions.rs), which a test
// compares; a kernel is given the place of a function in them. All threads of a launch take the same case.
//
// Sigmoids are written with exp(−|x|), which never overflows, and s·(1 − s) without the difference, which would lose its digits where
// s is close to 1. GELU goes by erfc, so that its left tail is no difference either.
#pragma once
#include "gradus.cuh"

// 1/(1 + e⁻ˣ)
__device__ __forceinline__ float sigmoid(float x) {
    float e = expf(-fabsf(x));
    return (x >= 0.0f ? 1.0f : e) / (1.0f + e);
}

// σ(x)·(1 − σ(x))
__device__ __forceinline__ float sigmoid_slope(float x) {
    float e = expf(-fabsf(x));
    return e / ((1.0f + e) * (1.0f + e));
}

// In GELU with tanh, ½·(1 + tanh u) is σ(2u): this is 2u = 2·√(2/π)·(x + 0.044715·x³).
__device__ __forceinline__ float gelu_argument(float x) { return 1.5957691f * (x + 0.044715f * x * x * x); }

__device__ __forceinline__ float gelu_tanh_derivative(float x) {
    float square = fminf(x * x, 3.4028235e38f); // finite, because where x is large a factor is 0
    float slope = 1.5957691f * (1.0f + 3.0f * 0.044715f * square);
    return sigmoid(gelu_argument(x)) + x * sigmoid_slope(gelu_argument(x)) * slope;
}

// Φ, the distribution function of the normal distribution.
__device__ __forceinline__ float normal_cdf(float x) { return 0.5f * erfcf(x * -0.70710678f); }

__device__ __forceinline__ float gelu_erf_derivative(float x) {
    float density = 0.39894228f * expf(-0.5f * x * x);
    return density == 0.0f ? normal_cdf(x) : normal_cdf(x) + x * density; // at ±∞ the limit, not ∞·0
}

__device__ __forceinline__ float sign(float x) { return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : x; }

#define UNARY_FUNCTIONS(FUNCTION)                                                                                     \
    FUNCTION(Neg, -x, -dy)                                                                                            \
    FUNCTION(Exp, expf(x), dy * y)                                                                                    \
    FUNCTION(Ln, logf(x), dy / x)                                                                                     \
    FUNCTION(Sqrt, sqrtf(x), dy / (y + y))                                                                            \
    FUNCTION(Tanh, tanhf(x), dy * (1.0f - y * y))                                                                     \
    FUNCTION(Sigmoid, sigmoid(x), dy * y * (1.0f - y))                                                                \
    FUNCTION(Relu, x <= 0.0f ? 0.0f : x, y <= 0.0f ? 0.0f : dy)                                                       \
    FUNCTION(GeluTanh, x * sigmoid(gelu_argument(x)), dy * gelu_tanh_derivative(x))                                   \
    FUNCTION(GeluErf, x * normal_cdf(x), dy * gelu_erf_derivative(x))                                                 \
    FUNCTION(Silu, x * sigmoid(x), dy * (sigmoid(x) + x * sigmoid_slope(x)))                                          \
    FUNCTION(Softplus, fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x))), dy * sigmoid(x))                                     \
    FUNCTION(Abs, fabsf(x), dy * sign(x))                                                                             \
    FUNCTION(Square, x * x, dy * (x + x))

#define BINARY_FUNCTIONS(FUNCTION)                                                                                    \
    FUNCTION(Add, a + b)                                                                                              \
    FUNCTION(Sub, a - b)                                                                                              \
    FUNCTION(Mul, a * b)                                                                                              \
    FUNCTION(Div, a / b)                                                                                              \
    FUNCTION(Pow, powf(a, b))                                                                                         \
    FUNCTION(Max, a > b || a != a ? a : b)                                                                            \
    FUNCTION(Min, a < b || a != a ? a : b)                                                                            \
    FUNCTION(Gt, a > b ? 1.0f : 0.0f)                                                                                 \
    FUNCTION(Ge, a >= b ? 1.0f : 0.0f)                                                                                \
    FUNCTION(Eq, a == b ? 1.0f : 0.0f)

#define UNARY_NAME(name, value, slope) Unary_##name,
#define UNARY_VALUE(name, value, slope) case Unary_##name: return value;
#define UNARY_SLOPE(name, value, slope) case Unary_##name: return slope;
#define BINARY_NAME(name, value) Binary_##name,
#define BINARY_VALUE(name, value) case Binary_##name: return value;

enum Unary : u32 { UNARY_FUNCTIONS(UNARY_NAME) };
enum Binary : u32 { BINARY_FUNCTIONS(BINARY_NAME) };

__device__ __forceinline__ float unary_of(u32 function, float x) {
    switch (function) { UNARY_FUNCTIONS(UNARY_VALUE) }
    return x;
}

// dy times the derivative; where nothing is saved, `saved` may be anything.
__device__ __forceinline__ float unary_backward_of(u32 function, float saved, float dy) {
    float x = saved, y = saved;
    switch (function) { UNARY_FUNCTIONS(UNARY_SLOPE) }
    return dy;
}

__device__ __forceinline__ float binary_of(u32 function, float a, float b) {
    switch (function) { BINARY_FUNCTIONS(BINARY_VALUE) }
    return a;
}
