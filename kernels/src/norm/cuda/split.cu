// A long row is cut among several blocks.
//
// With a block a row, fewer rows than there are multiprocessors leave the others idle. Here `parts` blocks share a row: a first kernel writes
// what it finds of each part to scratch memory, a second one combines that for its row, in the same order in every block, and writes its part
// of the result. Means and squares of parts are combined as Chan, Golub and LeVeque do ("Updating formulae and a pairwise algorithm for
// computing sample variances", 1979). Their formula takes the mean of a part as exact, which it is not in a row far from zero: so all
// elements count from the mean of the first part, which every block computes alike. Rows whose squares leave the range of f32 are rare; for
// them each block reads the whole row.
#include "norm.cuh"

// The elements of part t of a row.
__device__ __forceinline__ float length_of(u32 c, u32 parts, u32 t) {
    u32 length = c / parts + (c % parts != 0);
    u64 begin = u64(t) * length;
    return begin >= c ? 0.0f : float(c - begin < length ? c - u32(begin) : length);
}

// What the elements of a row are counted from: the mean of its first part, 0 without a centre. It is cut to 8 bits, so that the
// differences to it need few more bits than the elements have, and are not all rounded the same way.
template <bool CENTERED> __device__ __forceinline__ float origin_of(u32 c, u32 parts, const float* x) {
    if (!CENTERED) return 0.0f;
    float n = length_of(c, parts, 0), sum = 0.0f;
    for_each(Elements<256>{x, u32(n)}, [&](float x) { sum += x; });
    return __uint_as_float(__float_as_uint(team_sum<256>(sum) / n) & 0xffff0000u);
}

// The elements of a row, counted from another number than 0.
template <u32 TEAM> struct Distances {
    Elements<TEAM> elements;
    float origin;
};
template <u32 TEAM, class Use> __device__ __forceinline__ void for_each(const Distances<TEAM>& row, Use use) {
    for_each(row.elements, [&](float x) { use(x - row.origin); });
}

// Of each part the mean, counted from the origin of the row, and the mean square around it.
template <bool CENTERED> __device__ __forceinline__ void measure(u32 c, u32 parts, const float* x, float* found) {
    Part part = part_of(c, parts);
    x += part.row * c;
    u32 n = part.end - part.begin;
    Distances<256> row = {{x + part.begin, n}, origin_of<CENTERED>(c, parts, x)};
    Statistics of = moments<256, CENTERED>(n, 1.0f, row);
    if (threadIdx.x != 0) return;
    found[u64(blockIdx.x) * 2] = of.mean;
    found[u64(blockIdx.x) * 2 + 1] = of.rstd;
}

// The statistics of a row from those of its parts; `found` are these.
template <bool CENTERED>
__device__ __forceinline__ Statistics combined(u32 c, u32 parts, float eps, const float* x, const float* found) {
    float n = threadIdx.x < parts ? length_of(c, parts, threadIdx.x) : 0.0f, mean = 0.0f, square = 0.0f;
    if (n > 0.0f) {
        mean = found[threadIdx.x * 2];
        square = found[threadIdx.x * 2 + 1];
    }
    float center = CENTERED ? team_sum<256>(n * mean) / float(c) : 0.0f, distance = mean - center;
    square = team_sum<256>(n > 0.0f ? n * (square + distance * distance) : 0.0f) / float(c) + eps;
    float origin = origin_of<CENTERED>(c, parts, x);
    if (in_range(square)) return {origin + center, 1.0f / sqrtf(square)};
    return statistics<256, CENTERED>(c, eps, Elements<256>{x, c});
}

template <bool CENTERED>
__device__ __forceinline__ void write_forward(u32 c, u32 parts, float eps, const float* x, const float* gamma, const float* beta,
                                              const float* found, float* y, float* mean, float* rstd) {
    Part part = part_of(c, parts);
    x += part.row * c;
    y += part.row * c;
    Statistics of = combined<CENTERED>(c, parts, eps, x, found + part.row * parts * 2);
    for (u32 i = part.begin + threadIdx.x; i < part.end; i += 256)
        y[i] = normalised<CENTERED>(x[i], of, parameter(gamma, i, 1.0f), parameter(beta, i, 0.0f));
    if (blockIdx.x % parts != 0 || threadIdx.x != 0) return;
    if (CENTERED) mean[part.row] = of.mean;
    rstd[part.row] = of.rstd;
}

// Of each part its share of the means that the gradient of its row needs.
template <bool CENTERED>
__device__ __forceinline__ void sum_part(u32 c, u32 parts, const float* x, const float* gamma, const float* mean, const float* rstd,
                                         const float* dy, float* found) {
    Part part = part_of(c, parts);
    u64 at = part.row * c + part.begin;
    ElementsAndGradients<256> row = {x + at, gamma ? gamma + part.begin : gamma, dy + at, CENTERED ? mean[part.row] : 0.0f,
                                     rstd[part.row], part.end - part.begin};
    Statistics means = gradient_means<256, CENTERED>(c, row);
    if (threadIdx.x != 0) return;
    found[u64(blockIdx.x) * 2] = means.mean;
    found[u64(blockIdx.x) * 2 + 1] = means.rstd;
}

template <bool CENTERED>
__device__ __forceinline__ void write_backward(u32 c, u32 parts, u32 add, const float* x, const float* gamma, const float* mean,
                                               const float* rstd, const float* dy, const float* found, float* dx) {
    Part part = part_of(c, parts);
    u64 row = part.row * c;
    found += part.row * parts * 2;
    bool has_one = threadIdx.x < parts;
    float mean_g = CENTERED ? team_sum<256>(has_one ? found[threadIdx.x * 2] : 0.0f) : 0.0f;
    float mean_gx = team_sum<256>(has_one ? found[threadIdx.x * 2 + 1] : 0.0f);
    float mu = CENTERED ? mean[part.row] : 0.0f, scale = rstd[part.row];
    for (u32 i = part.begin + threadIdx.x; i < part.end; i += 256) {
        float g = dy[row + i] * parameter(gamma, i, 1.0f), x_hat = (x[row + i] - mu) * scale;
        dx[row + i] = (add ? dx[row + i] : 0.0f) + scale * (g - mean_g - x_hat * mean_gx);
    }
}

extern "C" __global__ void __launch_bounds__(256) norm_split_layer_measure(u32 c, u32 parts, const float* x, float* found) {
    measure<true>(c, parts, x, found);
}
extern "C" __global__ void __launch_bounds__(256) norm_split_rms_measure(u32 c, u32 parts, const float* x, float* found) {
    measure<false>(c, parts, x, found);
}

extern "C" __global__ void __launch_bounds__(256)
    norm_split_layer_forward(u32 c, u32 parts, float eps, const float* x, const float* gamma, const float* beta, const float* found,
                             float* y, float* mean, float* rstd) {
    write_forward<true>(c, parts, eps, x, gamma, beta, found, y, mean, rstd);
}
extern "C" __global__ void __launch_bounds__(256)
    norm_split_rms_forward(u32 c, u32 parts, float eps, const float* x, const float* gamma, const float* beta, const float* found,
                           float* y, float* mean, float* rstd) {
    write_forward<false>(c, parts, eps, x, gamma, beta, found, y, mean, rstd);
}

extern "C" __global__ void __launch_bounds__(256)
    norm_split_layer_sums(u32 c, u32 parts, const float* x, const float* gamma, const float* mean, const float* rstd, const float* dy,
                          float* found) {
    sum_part<true>(c, parts, x, gamma, mean, rstd, dy, found);
}
extern "C" __global__ void __launch_bounds__(256)
    norm_split_rms_sums(u32 c, u32 parts, const float* x, const float* gamma, const float* mean, const float* rstd, const float* dy,
                        float* found) {
    sum_part<false>(c, parts, x, gamma, mean, rstd, dy, found);
}

extern "C" __global__ void __launch_bounds__(256)
    norm_split_layer_backward(u32 c, u32 parts, u32 add, const float* x, const float* gamma, const float* mean, const float* rstd,
                              const float* dy, const float* found, float* dx) {
    write_backward<true>(c, parts, add, x, gamma, mean, rstd, dy, found, dx);
}
extern "C" __global__ void __launch_bounds__(256)
    norm_split_rms_backward(u32 c, u32 parts, u32 add, const float* x, const float* gamma, const float* mean, const float* rstd,
                            const float* dy, const float* found, float* dx) {
    write_backward<false>(c, parts, add, x, gamma, mean, rstd, dy, found, dx);
}
