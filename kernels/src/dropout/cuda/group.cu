// A counter a thread: its block of Philox serves all of its eight elements, so the integer work of an element is an eighth.
//
// The elements of a counter are four pairs of neighbours, sixteen apart (kernels/src/philox.rs). The eight threads of a group therefore
// read 64 bytes side by side for each of the four words, whole sectors of 32 bytes.
#include "philox.cuh"

__device__ __forceinline__ float masked(u32 half, u32 threshold, float x, float scale) {
    return half >= threshold ? x * scale : 0.0f;
}

// The two elements from `i` on, decided by the low and the high half of `word`.
__device__ __forceinline__ void apply_pair(u32 word, u32 threshold, float scale, u64 i, u64 n, const float* x, float* y) {
    u32 low = word & 0xffffu, high = word >> 16;
    bool whole = i + 1 < n && (reinterpret_cast<u64>(x + i) | reinterpret_cast<u64>(y + i)) % 8 == 0;
    if (whole) {
        float2 both = *reinterpret_cast<const float2*>(x + i);
        *reinterpret_cast<float2*>(y + i) =
            make_float2(masked(low, threshold, both.x, scale), masked(high, threshold, both.y, scale));
        return;
    }
    if (i < n) y[i] = masked(low, threshold, x[i], scale);
    if (i + 1 < n) y[i + 1] = masked(high, threshold, x[i + 1], scale);
}

// The elements are those of the mask from `first` on, a multiple of 64.
extern "C" __global__ void __launch_bounds__(256) dropout_group_apply(u64 seed, u64 stream, u32 threshold, float scale, u64 first, u64 n, const float* x,
                                               float* y) {
    u64 counter = u64(blockIdx.x) * blockDim.x + threadIdx.x, i = counter / 8 * 64 + counter % 8 * 2;
    if (i >= n) return;
    uint4 words = philox_block(seed, stream, philox_counter(first) + counter);
    apply_pair(words.x, threshold, scale, i, n, x, y);
    apply_pair(words.y, threshold, scale, i + 16, n, x, y);
    apply_pair(words.z, threshold, scale, i + 32, n, x, y);
    apply_pair(words.w, threshold, scale, i + 48, n, x, y);
}
