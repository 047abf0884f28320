// Tiles are copied from global to shared memory asynchronously.
//
// A load into a register and a store from there to shared memory take two instructions and a register for each 16 bytes, and the
// store waits for the load. An asynchronous copy is one instruction, needs no register, and passes by the first-level cache. That it need
// not be waited for at once is what the rungs with stages use.
#include "matmul_mma.cuh"

extern "C" __global__ void __launch_bounds__(256) matmul_cp_async(MMA_PRODUCT) {
    DYNAMIC_SHARED(u16, shared);
    one_stage<PLAIN, true, false>(shared, MMA_HANDED_ON);
}
