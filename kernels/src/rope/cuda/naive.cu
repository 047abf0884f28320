// An element of y a thread: it reads its own element of x and the other one of its pair, so what turns is loaded twice, and so are cosine and
// sine. Neighbouring threads have neighbouring elements, and the tables stay in the caches.
#include "gradus.cuh"

// The sizes of rope/mod.rs; `half_split` and `inverse` are 0 or 1.
struct Shape {
    u32 t, h, rotated, d, pairs, half_split, inverse;
};

extern "C" __global__ void __launch_bounds__(256) rope_naive_rotate(Shape shape, u32 n, const float* x, const float* cosines, const float* sines,
                                             float* y) {
    u64 i = u64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= n) return;
    u32 channel = u32(i) % shape.d, row = u32(i) / shape.d, head = row % shape.h, position = row / shape.h % shape.t;
    if (head >= shape.rotated || channel >= 2 * shape.pairs) {
        y[i] = x[i];
        return;
    }
    bool is_second = shape.half_split ? channel >= shape.pairs : channel % 2 == 1;
    u32 pair = shape.half_split ? channel % shape.pairs : channel / 2, apart = shape.half_split ? shape.pairs : 1;
    u64 at = u64(position) * shape.pairs + pair;
    float sine = shape.inverse ? -sines[at] : sines[at];
    y[i] = is_second ? x[i] * cosines[at] + x[i - apart] * sine : x[i] * cosines[at] - x[i + apart] * sine;
}
