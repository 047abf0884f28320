// Two stages: the copies of the next tile are on their way while this one is multiplied.
//
// With one stage the tensor cores wait for every copy. With two, the time of a copy passes behind the multiplication before it, and one
// barrier for each tile does instead of two: it says both that the tile is there and that the other is no longer read.
//
// The block is 128 × 128, or 64 × 64 where the larger would leave multiprocessors without work (_small).
#include "matmul_mma.cuh"

extern "C" __global__ void __launch_bounds__(256) matmul_two_stages(MMA_PRODUCT) {
    DYNAMIC_SHARED(u16, shared);
    staged<128, 2>(shared, MMA_HANDED_ON);
}
extern "C" __global__ void __launch_bounds__(64) matmul_two_stages_small(MMA_PRODUCT) {
    DYNAMIC_SHARED(u16, shared);
    staged<64, 2>(shared, MMA_HANDED_ON);
}
