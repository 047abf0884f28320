// Loads of 16 bytes, and the row stays in registers: what the passes over it need is read once.
//
// A row is kept by a warp (up to 512 elements) or by a block (up to 4096), four groups of four elements for each thread. Rows whose
// addresses are no multiples of 16 bytes are loaded element by element.
#include "kept.cuh"
#include "norm.cuh"

// A row in registers.
template <u32 TEAM> struct Kept {
    const Quad (&x)[QUADS];
    u32 n;
};
template <u32 TEAM, class Use> __device__ __forceinline__ void for_each(const Kept<TEAM>& row, Use use) {
#pragma unroll
    for (u32 q = 0; q < QUADS; q++)
#pragma unroll
        for (u32 k = 0; k < 4; k++)
            if (k < count<TEAM>(q, row.n)) use(row.x[q].of[k]);
}

// The same with the gradients of the results: x̂ and g.
template <u32 TEAM> struct KeptWithGradients {
    const Quad (&x_hat)[QUADS];
    const Quad (&g)[QUADS];
    u32 n;
};
template <u32 TEAM, class Use> __device__ __forceinline__ void for_each(const KeptWithGradients<TEAM>& row, Use use) {
#pragma unroll
    for (u32 q = 0; q < QUADS; q++)
#pragma unroll
        for (u32 k = 0; k < 4; k++)
            if (k < count<TEAM>(q, row.n)) use(row.x_hat[q].of[k], row.g[q].of[k]);
}

// Four elements of a parameter.
template <u32 TEAM> __device__ __forceinline__ Quad parameters(const float* of, u32 q, u32 n, float otherwise) {
    if (of) return load_quad(of + first<TEAM>(q), count<TEAM>(q, n));
    return {{otherwise, otherwise, otherwise, otherwise}};
}

template <u32 TEAM, bool CENTERED>
__device__ __forceinline__ void kept_forward(u32 rows, u32 c, float eps, const float* x, const float* gamma, const float* beta,
                                             float* y, float* mean, float* rstd) {
    u64 row = team_row<TEAM>();
    u32 n = row < rows ? c : 0;
    Quad kept[QUADS];
    load_row<TEAM>(kept, x + row * c, n);
    Statistics of = statistics<TEAM, CENTERED>(c, eps, Kept<TEAM>{kept, n});
#pragma unroll
    for (u32 q = 0; q < QUADS; q++) {
        Quad scale = parameters<TEAM>(gamma, q, n, 1.0f), bias = parameters<TEAM>(beta, q, n, 0.0f);
#pragma unroll
        for (u32 k = 0; k < 4; k++) kept[q].of[k] = normalised<CENTERED>(kept[q].of[k], of, scale.of[k], bias.of[k]);
        store_quad(y + row * c + first<TEAM>(q), count<TEAM>(q, n), kept[q]);
    }
    if (row < rows && threadIdx.x % TEAM == 0) {
        if (CENTERED) mean[row] = of.mean;
        rstd[row] = of.rstd;
    }
}

template <u32 TEAM, bool CENTERED>
__device__ __forceinline__ void kept_backward(u32 rows, u32 c, u32 add, const float* x, const float* gamma, const float* mean,
                                              const float* rstd, const float* dy, float* dx) {
    u64 row = team_row<TEAM>();
    u32 n = row < rows ? c : 0;
    float mu = CENTERED && row < rows ? mean[row] : 0.0f, scale = row < rows ? rstd[row] : 0.0f;
    Quad x_hat[QUADS], g[QUADS];
    load_row<TEAM>(x_hat, x + row * c, n);
    load_row<TEAM>(g, dy + row * c, n);
#pragma unroll
    for (u32 q = 0; q < QUADS; q++) {
        Quad factor = parameters<TEAM>(gamma, q, n, 1.0f);
#pragma unroll
        for (u32 k = 0; k < 4; k++) {
            x_hat[q].of[k] = (x_hat[q].of[k] - mu) * scale;
            g[q].of[k] *= factor.of[k];
        }
    }
    Statistics means = gradient_means<TEAM, CENTERED>(c, KeptWithGradients<TEAM>{x_hat, g, n});
#pragma unroll
    for (u32 q = 0; q < QUADS; q++) {
        float* at = dx + row * c + first<TEAM>(q);
        Quad before = load_quad(at, add ? count<TEAM>(q, n) : 0);
#pragma unroll
        for (u32 k = 0; k < 4; k++)
            before.of[k] += scale * (g[q].of[k] - means.mean - x_hat[q].of[k] * means.rstd);
        store_quad(at, count<TEAM>(q, n), before);
    }
}

extern "C" __global__ void __launch_bounds__(256)
    norm_vector_warp_layer_forward(u32 rows, u32 c, float eps, const float* x, const float* gamma, const float* beta, float* y,
                               float* mean, float* rstd) {
    kept_forward<WARP, true>(rows, c, eps, x, gamma, beta, y, mean, rstd);
}
extern "C" __global__ void __launch_bounds__(256)
    norm_vector_warp_layer_backward(u32 rows, u32 c, u32 add, const float* x, const float* gamma, const float* mean, const float* rstd,
                                const float* dy, float* dx) {
    kept_backward<WARP, true>(rows, c, add, x, gamma, mean, rstd, dy, dx);
}

extern "C" __global__ void __launch_bounds__(256)
    norm_vector_warp_rms_forward(u32 rows, u32 c, float eps, const float* x, const float* gamma, const float* beta, float* y,
                               float* mean, float* rstd) {
    kept_forward<WARP, false>(rows, c, eps, x, gamma, beta, y, mean, rstd);
}
extern "C" __global__ void __launch_bounds__(256)
    norm_vector_warp_rms_backward(u32 rows, u32 c, u32 add, const float* x, const float* gamma, const float* mean, const float* rstd,
                                const float* dy, float* dx) {
    kept_backward<WARP, false>(rows, c, add, x, gamma, mean, rstd, dy, dx);
}

extern "C" __global__ void __launch_bounds__(256)
    norm_vector_block_layer_forward(u32 rows, u32 c, float eps, const float* x, const float* gamma, const float* beta, float* y,
                               float* mean, float* rstd) {
    kept_forward<256, true>(rows, c, eps, x, gamma, beta, y, mean, rstd);
}
extern "C" __global__ void __launch_bounds__(256)
    norm_vector_block_layer_backward(u32 rows, u32 c, u32 add, const float* x, const float* gamma, const float* mean, const float* rstd,
                                const float* dy, float* dx) {
    kept_backward<256, true>(rows, c, add, x, gamma, mean, rstd, dy, dx);
}

extern "C" __global__ void __launch_bounds__(256)
    norm_vector_block_rms_forward(u32 rows, u32 c, float eps, const float* x, const float* gamma, const float* beta, float* y,
                               float* mean, float* rstd) {
    kept_forward<256, false>(rows, c, eps, x, gamma, beta, y, mean, rstd);
}
extern "C" __global__ void __launch_bounds__(256)
    norm_vector_block_rms_backward(u32 rows, u32 c, u32 add, const float* x, const float* gamma, const float* mean, const float* rstd,
                                const float* dy, float* dx) {
    kept_backward<256, false>(rows, c, add, x, gamma, mean, rstd, dy, dx);
}
