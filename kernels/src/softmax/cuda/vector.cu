// Loads of 16 bytes, and the row stays in registers: it is read once from memory, whatever the caches hold.
//
// A row is kept by a warp (up to 512 elements) or by a block (up to 4096), in four groups of four elements for each thread. All loads
// of a thread are independent of each other and under way at the same time. Rows whose addresses are no multiples of 16 bytes are
// loaded element by element.
#include "kept.cuh"
#include "softmax.cuh"

template <bool LOG, u32 TEAM> __device__ __forceinline__ void forward(u32 rows, u32 c, const float* x, float* y) {
    u64 row = team_row<TEAM>();
    u32 n = row < rows ? c : 0;
    Quad kept[QUADS];
    load_row<TEAM>(kept, x + row * c, n);
    float largest = -INF, sum = 0.0f;
#pragma unroll
    for (u32 q = 0; q < QUADS; q++)
#pragma unroll
        for (u32 k = 0; k < 4; k++)
            if (k < count<TEAM>(q, n)) largest = fmaxf(largest, kept[q].of[k]);
    float shift = shift_of(team_max<TEAM>(largest));
#pragma unroll
    for (u32 q = 0; q < QUADS; q++)
#pragma unroll
        for (u32 k = 0; k < 4; k++) {
            float e = expf(kept[q].of[k] - shift);
            if (k < count<TEAM>(q, n)) sum += e;
            kept[q].of[k] = LOG ? kept[q].of[k] - shift : e;
        }
    sum = team_sum<TEAM>(sum);
    float scale = scale_of(sum), log_sum = log_of(sum);
#pragma unroll
    for (u32 q = 0; q < QUADS; q++) {
#pragma unroll
        for (u32 k = 0; k < 4; k++) kept[q].of[k] = LOG ? kept[q].of[k] - log_sum : kept[q].of[k] * scale;
        store_quad(y + row * c + first<TEAM>(q), count<TEAM>(q, n), kept[q]);
    }
}

template <bool LOG, u32 TEAM>
__device__ __forceinline__ void backward(u32 rows, u32 c, const float* y, const float* dy, float* dx) {
    u64 row = team_row<TEAM>();
    u32 n = row < rows ? c : 0;
    Quad kept_y[QUADS], kept_dy[QUADS];
    load_row<TEAM>(kept_y, y + row * c, n);
    load_row<TEAM>(kept_dy, dy + row * c, n);
    float sum = 0.0f; // past the end of the row both are 0
#pragma unroll
    for (u32 q = 0; q < QUADS; q++)
#pragma unroll
        for (u32 k = 0; k < 4; k++) sum += summand<LOG>(kept_y[q].of[k], kept_dy[q].of[k]);
    sum = team_sum<TEAM>(sum);
#pragma unroll
    for (u32 q = 0; q < QUADS; q++) {
#pragma unroll
        for (u32 k = 0; k < 4; k++) kept_dy[q].of[k] = gradient<LOG>(kept_y[q].of[k], kept_dy[q].of[k], sum);
        store_quad(dx + row * c + first<TEAM>(q), count<TEAM>(q, n), kept_dy[q]);
    }
}

extern "C" __global__ void __launch_bounds__(256)
    softmax_vector_warp_forward(u32 rows, u32 c, const float* x, float* y) {
    forward<false, WARP>(rows, c, x, y);
}
extern "C" __global__ void __launch_bounds__(256)
    softmax_vector_warp_backward(u32 rows, u32 c, const float* y, const float* dy, float* dx) {
    backward<false, WARP>(rows, c, y, dy, dx);
}
extern "C" __global__ void __launch_bounds__(256)
    softmax_vector_warp_log_forward(u32 rows, u32 c, const float* x, float* y) {
    forward<true, WARP>(rows, c, x, y);
}
extern "C" __global__ void __launch_bounds__(256)
    softmax_vector_warp_log_backward(u32 rows, u32 c, const float* y, const float* dy, float* dx) {
    backward<true, WARP>(rows, c, y, dy, dx);
}
extern "C" __global__ void __launch_bounds__(256)
    softmax_vector_block_forward(u32 rows, u32 c, const float* x, float* y) {
    forward<false, 256>(rows, c, x, y);
}
extern "C" __global__ void __launch_bounds__(256)
    softmax_vector_block_backward(u32 rows, u32 c, const float* y, const float* dy, float* dx) {
    backward<false, 256>(rows, c, y, dy, dx);
}
extern "C" __global__ void __launch_bounds__(256)
    softmax_vector_block_log_forward(u32 rows, u32 c, const float* x, float* y) {
    forward<true, 256>(rows, c, x, y);
}
extern "C" __global__ void __launch_bounds__(256)
    softmax_vector_block_log_backward(u32 rows, u32 c, const float* y, const float* dy, float* dx) {
    backward<true, 256>(rows, c, y, dy, dx);
}
