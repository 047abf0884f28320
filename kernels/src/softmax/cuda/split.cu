// A long row is cut among several blocks.
//
// With a block a row, fewer rows than there are multiprocessors leave the others idle. Here `parts` blocks share a row: a first kernel
// writes the maximum and the sum of each part to scratch memory, a second one combines those of its row, in the same order in
// every block, and writes its part of the result.
#include "softmax.cuh"

template <bool LOG> __device__ void write(u32 c, u32 parts, const float* x, const float* partial, float* y) {
    Part part = part_of(c, parts);
    x += part.row * c;
    y += part.row * c;
    partial += part.row * parts * 2;
    Online mine = {-INF, 0.0f};
    if (threadIdx.x < parts) mine = {partial[threadIdx.x * 2], partial[threadIdx.x * 2 + 1]};
    Online all = team_online<256>(mine);
    float shift = shift_of(all.largest), scale = scale_of(all.sum), log_sum = log_of(all.sum);
    for (u32 i = part.begin + threadIdx.x; i < part.end; i += blockDim.x) y[i] = result<LOG>(x[i], shift, scale, log_sum);
}

// Of each part the maximum and the sum.
extern "C" __global__ void __launch_bounds__(256) softmax_split_online(u32 c, u32 parts, const float* x, float* partial) {
    Part part = part_of(c, parts);
    x += part.row * c;
    Online mine = {-INF, 0.0f};
    for (u32 i = part.begin + threadIdx.x; i < part.end; i += blockDim.x) take(mine, x[i]);
    Online all = team_online<256>(mine);
    if (threadIdx.x == 0) {
        partial[u64(blockIdx.x) * 2] = all.largest;
        partial[u64(blockIdx.x) * 2 + 1] = all.sum;
    }
}

extern "C" __global__ void __launch_bounds__(256)
    softmax_split_forward(u32 c, u32 parts, const float* x, const float* partial, float* y) {
    write<false>(c, parts, x, partial, y);
}
extern "C" __global__ void __launch_bounds__(256)
    softmax_split_log_forward(u32 c, u32 parts, const float* x, const float* partial, float* y) {
    write<true>(c, parts, x, partial, y);
}
