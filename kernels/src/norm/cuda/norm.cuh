// Layer norm and RMS norm of rows that a team of threads shares: one thread, a warp, or a block of 256.
//
// A function of this file is given `row`, for which there is a function `for_each`: it calls what it is given with every element of the
// row that the thread has.
#pragma once
#include "team.cuh"

struct Statistics {
    float mean, rstd;
};

// Whether a mean of squares is so large or so small that squares may have overflowed, or vanished (norm/out_of_range.rs); also of NaN.
__device__ __forceinline__ bool in_range(float mean_square) { return mean_square >= 0x1p-103f && mean_square <= 0x1.fffffep+104f; }

// The power of two at or below a number; 1 for denormal numbers, 0 and ∞.
__device__ __forceinline__ float unit_of(float largest) {
    u32 exponent = __float_as_uint(largest) & 0x7f800000u;
    return exponent == 0 || exponent == 0x7f800000u ? 1.0f : __uint_as_float(exponent);
}

// The mean, and the mean square around it, of x / unit.
template <u32 TEAM, bool CENTERED, class Row>
__device__ __forceinline__ Statistics moments(u32 c, float unit, Row row) {
    float mean = 0.0f, square = 0.0f;
    if (CENTERED) {
        for_each(row, [&](float x) { mean += x / unit; });
        mean = team_sum<TEAM>(mean) / float(c);
    }
    for_each(row, [&](float x) {
        float distance = x / unit - mean;
        square += distance * distance;
    });
    return {mean, team_sum<TEAM>(square) / float(c)};
}

// μ and 1/√(mean((x − μ)²) + eps) of a row; without a centre μ is 0. Where squares leave the range of f32, the row is scaled by a power of
// two; all threads of a team agree on that.
template <u32 TEAM, bool CENTERED, class Row>
__device__ __forceinline__ Statistics statistics(u32 c, float eps, Row row) {
    Statistics found = moments<TEAM, CENTERED>(c, 1.0f, row);
    float square = found.rstd + eps;
    if (in_range(square)) return {found.mean, 1.0f / sqrtf(square)};
    float largest = sqrtf(eps);
    for_each(row, [&](float x) { largest = fmaxf(largest, fabsf(x)); });
    float unit = unit_of(team_max<TEAM>(largest));
    found = moments<TEAM, CENTERED>(c, unit, row);
    return {found.mean * unit, 1.0f / sqrtf(found.rstd + eps / unit / unit) / unit};
}

// An element of the result.
template <bool CENTERED> __device__ __forceinline__ float normalised(float x, Statistics of, float gamma, float beta) {
    float scaled = (x - of.mean) * of.rstd * gamma;
    return CENTERED ? scaled + beta : scaled;
}

// An element of a parameter, or what stands for it where there is none.
__device__ __forceinline__ float parameter(const float* of, u32 i, float otherwise) { return of ? of[i] : otherwise; }

// The means that the gradient of a row needs: of g = dy·γ (layer norm alone), and of g·x̂. `row` gives x̂ and g.
template <u32 TEAM, bool CENTERED, class Row>
__device__ __forceinline__ Statistics gradient_means(u32 c, Row row) {
    float g_sum = 0.0f, gx_sum = 0.0f;
    for_each(row, [&](float x_hat, float g) {
        g_sum += g;
        gx_sum += g * x_hat;
    });
    float mean_g = CENTERED ? team_sum<TEAM>(g_sum) / float(c) : 0.0f;
    return {mean_g, team_sum<TEAM>(gx_sum) / float(c)};
}

// A row of n elements in memory, of which neighbouring threads have neighbouring ones.
template <u32 TEAM> struct Elements {
    const float* x;
    u32 n;
};
template <u32 TEAM, class Use> __device__ __forceinline__ void for_each(const Elements<TEAM>& row, Use use) {
    for (u32 i = threadIdx.x % TEAM; i < row.n; i += TEAM) use(row.x[i]);
}

// The same with the gradients of the results: x̂ and g.
template <u32 TEAM> struct ElementsAndGradients {
    const float *x, *gamma, *dy;
    float mean, rstd;
    u32 n;
};
template <u32 TEAM, class Use> __device__ __forceinline__ void for_each(const ElementsAndGradients<TEAM>& row, Use use) {
    for (u32 i = threadIdx.x % TEAM; i < row.n; i += TEAM)
        use((row.x[i] - row.mean) * row.rstd, row.dy[i] * parameter(row.gamma, i, 1.0f));
}

template <u32 TEAM, bool CENTERED>
__device__ __forceinline__ void forward(u32 rows, u32 c, float eps, const float* x, const float* gamma, const float* beta,
                                        float* y, float* mean, float* rstd) {
    u64 row = team_row<TEAM>();
    u32 n = row < rows ? c : 0, member = threadIdx.x % TEAM;
    x += row * c;
    y += row * c;
    Statistics of = statistics<TEAM, CENTERED>(c, eps, Elements<TEAM>{x, n});
    for (u32 i = member; i < n; i += TEAM)
        y[i] = normalised<CENTERED>(x[i], of, parameter(gamma, i, 1.0f), parameter(beta, i, 0.0f));
    if (row < rows && member == 0) {
        if (CENTERED) mean[row] = of.mean;
        rstd[row] = of.rstd;
    }
}

template <u32 TEAM, bool CENTERED>
__device__ __forceinline__ void backward(u32 rows, u32 c, u32 add, const float* x, const float* gamma, const float* mean,
                                         const float* rstd, const float* dy, float* dx) {
    u64 row = team_row<TEAM>();
    u32 n = row < rows ? c : 0, member = threadIdx.x % TEAM;
    x += row * c;
    dy += row * c;
    dx += row * c;
    float mu = CENTERED && row < rows ? mean[row] : 0.0f, scale = row < rows ? rstd[row] : 0.0f;
    Statistics means = gradient_means<TEAM, CENTERED>(c, ElementsAndGradients<TEAM>{x, gamma, dy, mu, scale, n});
    for (u32 i = member; i < n; i += TEAM) {
        float g = dy[i] * parameter(gamma, i, 1.0f), x_hat = (x[i] - mu) * scale;
        dx[i] = (add ? dx[i] : 0.0f) + scale * (g - means.mean - x_hat * means.rstd);
    }
}
