// Long sums with few blocks of C, as in the gradient of a weight: the sum over k is cut into parts, each block computes one part of
// its tile into scratch memory, and this kernel adds the parts.
//
// A weight of 768 × 768 has 36 blocks of 128 × 128, and a card of today more than 100 multiprocessors, most of which would have
// nothing to do. Atomic additions would need no scratch memory, but add in whatever order the blocks end; here the order is that of the
// parts, and how many there are follows from the sizes and the card alone. Each part costs a write and a read of C.
#include "matmul.cuh"

// c = the sum of `parts` arrays of `count` elements, or c += it.
extern "C" __global__ void __launch_bounds__(256) matmul_split_k_sum(u64 count, u32 parts, const float* partial, float* c, u32 add) {
    u64 index = u64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (index >= count) return;
    float sum = 0.0f;
    for (u32 part = 0; part < parts; part++) sum += partial[part * count + index];
    put(c + index, sum, add);
}
