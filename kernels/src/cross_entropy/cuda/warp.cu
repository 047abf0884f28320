// A warp a row: neighbouring lanes read neighbouring logits, sums go by shuffles, and forward a row is read once.
//
// The loads of a warp are whole transactions, all of which is used, and eight rows are under way in a block without barriers. Maximum and sum
// are found in one pass (online.cuh), which matters for logits: a vocabulary is longer than what a cache keeps for each warp.
#include "row_loss.cuh"

extern "C" __global__ void __launch_bounds__(256)
    cross_entropy_warp_forward(u32 rows, u32 v, CrossEntropyOptions options, float smoothing, const float* logits, const u32* targets,
                               float* losses, float* lse) {
    u64 row = team_row<WARP>();
    u32 n = row < rows ? v : 0;
    const float* x = logits + row * v;
    Seen seen = seen_from(lane_index() < n ? x[lane_index()] : 0.0f);
    for (u32 j = lane_index(); j < n; j += WARP) see(seen, x[j]);
    write_row<WARP>(seen, row, rows, v, options, smoothing, x, targets, losses, lse);
}

extern "C" __global__ void __launch_bounds__(256)
    cross_entropy_warp_backward(u32 rows, u32 v, CrossEntropyOptions options, float smoothing, const float* logits, const u32* targets,
                                const float* lse, const float* d_loss, const u32* count, float* dlogits) {
    u64 row = team_row<WARP>();
    u32 n = row < rows ? v : 0;
    const float* x = logits + row * v;
    float* dx = dlogits + row * v;
    RowGradient of = row_gradient(row, rows, v, options, smoothing, targets, lse, d_loss, count);
    for (u32 j = lane_index(); j < n; j += WARP) dx[j] = gradient_of(of, j, x[j]);
}
