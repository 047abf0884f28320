// SGD with momentum in one pass: p, g and the velocity are read, p and the velocity written, 20 bytes an element. The naive rung has an
// element a thread, the vector rung four, in accesses of 16 bytes (quad.cuh).
#include "quad.cuh"

struct Sgd {
    float lr, momentum, weight_decay, grad_scale;
};

// `nesterov` is 1 for Nesterov's rule and 0 otherwise.
__device__ __forceinline__ void step(const Sgd& options, u32 nesterov, float& p, float g, float& velocity) {
    g = options.weight_decay * p + g * options.grad_scale;
    velocity = options.momentum * velocity + g;
    p -= options.lr * (nesterov ? options.momentum * velocity + g : velocity);
}

extern "C" __global__ void __launch_bounds__(256) optimizer_naive_sgd(Sgd options, u32 nesterov, u64 n, float* p, const float* g, float* velocity) {
    u64 i = thread_index();
    if (i < n) step(options, nesterov, p[i], g[i], velocity[i]);
}

extern "C" __global__ void __launch_bounds__(256) optimizer_vector_sgd(Sgd options, u32 nesterov, u64 n, float* p, const float* g, float* velocity) {
    u64 i = 4 * thread_index();
    if (i >= n) return;
    u32 count = quad_count(i, n);
    Quad ps = load_quad(p + i, count), gs = load_quad(g + i, count), us = load_quad(velocity + i, count);
#pragma unroll
    for (u32 k = 0; k < 4; k++) step(options, nesterov, ps.of[k], gs.of[k], us.of[k]);
    store_quad(p + i, count, ps);
    store_quad(velocity + i, count, us);
}
