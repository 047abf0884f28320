// AdamW in one pass: p, g, m and v are read and p, m and v written, 28 bytes an element, where a chain of tensor operations would move
// each of them several times. What is the same for all elements is computed on the host, in f64.
//
// The naive rung has an element a thread. The vector rung has four, in accesses of 16 bytes (quad.cuh): with seven streams through memory
// a warp otherwise issues seven loads and stores for 128 bytes of each.
#include "quad.cuh"

struct AdamW {
    // β₁, 1 − β₁, β₂, 1 − β₂.
    float keep1, add1, keep2, add2;
    // 1/√(1 − β₂ᵗ), −lr/(1 − β₁ᵗ), 1 − lr·weight_decay.
    float root2, rate, decay;
    float eps, grad_scale;
};

__device__ __forceinline__ void step(const AdamW& options, float& p, float g, float& m, float& v) {
    g *= options.grad_scale;
    m = options.keep1 * m + options.add1 * g;
    v = options.keep2 * v + options.add2 * g * g;
    p = p * options.decay + options.rate * m / (sqrtf(v) * options.root2 + options.eps);
}

extern "C" __global__ void __launch_bounds__(256) optimizer_naive_adamw(AdamW options, u64 n, float* p, const float* g, float* m, float* v) {
    u64 i = thread_index();
    if (i < n) step(options, p[i], g[i], m[i], v[i]);
}

extern "C" __global__ void __launch_bounds__(256) optimizer_vector_adamw(AdamW options, u64 n, float* p, const float* g, float* m, float* v) {
    u64 i = 4 * thread_index();
    if (i >= n) return;
    u32 count = quad_count(i, n);
    Quad ps = load_quad(p + i, count), gs = load_quad(g + i, count), ms = load_quad(m + i, count), vs = load_quad(v + i, count);
#pragma unroll
    for (u32 k = 0; k < 4; k++) step(options, ps.of[k], gs.of[k], ms.of[k], vs.of[k]);
    store_quad(p + i, count, ps);
    store_quad(m + i, count, ms);
    store_quad(v + i, count, vs);
}
