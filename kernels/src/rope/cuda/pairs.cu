// A pair of channels a thread: both of its elements, its cosine and its sine are loaded once, half of the loads of the naive rung. A
// thread past the pairs of a head copies a channel that does not turn; in a head that is copied whole a thread has every channel that
// is a multiple of the threads away.
#include "gradus.cuh"

struct Shape {
    u32 t, h, rotated, d, pairs, half_split, inverse;
};

// Channels `first` and `second` of a head.
__device__ __forceinline__ void turn(u32 first, u32 second, float cosine, float sine, const float* x, float* y) {
    float a = x[first], b = x[second];
    y[first] = a * cosine - b * sine;
    y[second] = b * cosine + a * sine;
}

// There are d − pairs threads for each head, n in all.
extern "C" __global__ void __launch_bounds__(256) rope_pairs_rotate(Shape shape, u32 n, const float* x, const float* cosines, const float* sines,
                                             float* y) {
    u64 i = u64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= n) return;
    u32 of_head = shape.d - shape.pairs, place = u32(i) % of_head, row = u32(i) / of_head;
    u32 head = row % shape.h, position = row / shape.h % shape.t;
    x += u64(row) * shape.d;
    y += u64(row) * shape.d;
    if (head >= shape.rotated) {
        for (u32 channel = place; channel < shape.d; channel += of_head) y[channel] = x[channel];
    } else if (place >= shape.pairs) {
        y[place + shape.pairs] = x[place + shape.pairs];
    } else {
        u64 at = u64(position) * shape.pairs + place;
        float sine = shape.inverse ? -sines[at] : sines[at];
        if (shape.half_split) turn(place, place + shape.pairs, cosines[at], sine, x, y);
        else turn(2 * place, 2 * place + 1, cosines[at], sine, x, y);
    }
}
