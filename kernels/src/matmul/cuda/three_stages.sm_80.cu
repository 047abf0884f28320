// Three stages: two tiles are on their way while one is multiplied.
//
// A tile of 32 steps is multiplied in fewer cycles than global memory takes to answer. With two tiles on their way, twice as much
// time may pass until the first of them has to be there. Three stages are 48 KiB of shared memory: two blocks fit into a multiprocessor
// with 100 KiB.
#include "matmul_mma.cuh"

extern "C" __global__ void __launch_bounds__(256) matmul_three_stages(MMA_PRODUCT) {
    DYNAMIC_SHARED(u16, shared);
    staged<128, 3>(shared, MMA_HANDED_ON);
}
extern "C" __global__ void __launch_bounds__(64) matmul_three_stages_small(MMA_PRODUCT) {
    DYNAMIC_SHARED(u16, shared);
    staged<64, 3>(shared, MMA_HANDED_ON);
}
