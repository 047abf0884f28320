// Loads and stores of 16 bytes, and of a long vocabulary a block a row.
//
// A thread has four logits under way with one load, and of four together the maximum is found first, so that their exponentials do not wait for
// each other. A row of a long vocabulary would keep one warp busy long after others are done: a block has eight times the loads
// under way for it, and two barriers a sum are little against thousands of logits.
#include "row_loss.cuh"

template <u32 TEAM>
__device__ __forceinline__ void forward(u32 rows, u32 v, const CrossEntropyOptions& options, float smoothing, const float* logits,
                                        const u32* targets, float* losses, float* lse) {
    u64 row = team_row<TEAM>(), begin = threadIdx.x % TEAM * 4;
    u32 n = row < rows ? v : 0;
    const float* x = logits + row * v;
    Seen seen = seen_from(begin < n ? x[begin] : 0.0f);
    for (u64 j = begin; j < n; j += TEAM * 4) {
        u32 count = quad_count(j, n);
        see(seen, load_quad(x + j, count), count);
    }
    write_row<TEAM>(seen, row, rows, v, options, smoothing, x, targets, losses, lse);
}

template <u32 TEAM>
__device__ __forceinline__ void backward(u32 rows, u32 v, const CrossEntropyOptions& options, float smoothing, const float* logits,
                                         const u32* targets, const float* lse, const float* d_loss, const u32* counted, float* dlogits) {
    u64 row = team_row<TEAM>();
    u32 n = row < rows ? v : 0;
    const float* x = logits + row * v;
    float* dx = dlogits + row * v;
    RowGradient of = row_gradient(row, rows, v, options, smoothing, targets, lse, d_loss, counted);
    for (u64 j = threadIdx.x % TEAM * 4; j < n; j += TEAM * 4) {
        u32 count = quad_count(j, n);
        Quad four = load_quad(x + j, count);
#pragma unroll
        for (u32 k = 0; k < 4; k++) four.of[k] = gradient_of(of, u32(j) + k, four.of[k]);
        store_quad(dx + j, count, four);
    }
}

extern "C" __global__ void __launch_bounds__(256)
    cross_entropy_vector_warp_forward(u32 rows, u32 v, CrossEntropyOptions options, float smoothing, const float* logits,
                                      const u32* targets, float* losses, float* lse) {
    forward<WARP>(rows, v, options, smoothing, logits, targets, losses, lse);
}
extern "C" __global__ void __launch_bounds__(256)
    cross_entropy_vector_block_forward(u32 rows, u32 v, CrossEntropyOptions options, float smoothing, const float* logits,
                                       const u32* targets, float* losses, float* lse) {
    forward<256>(rows, v, options, smoothing, logits, targets, losses, lse);
}

extern "C" __global__ void __launch_bounds__(256)
    cross_entropy_vector_warp_backward(u32 rows, u32 v, CrossEntropyOptions options, float smoothing, const float* logits,
                                       const u32* targets, const float* lse, const float* d_loss, const u32* count, float* dlogits) {
    backward<WARP>(rows, v, options, smoothing, logits, targets, lse, d_loss, count, dlogits);
}
extern "C" __global__ void __launch_bounds__(256)
    cross_entropy_vector_block_backward(u32 rows, u32 v, CrossEntropyOptions options, float smoothing, const float* logits,
                                        const u32* targets, const float* lse, const float* d_loss, const u32* count, float* dlogits) {
    backward<256>(rows, v, options, smoothing, logits, targets, lse, d_loss, count, dlogits);
}
