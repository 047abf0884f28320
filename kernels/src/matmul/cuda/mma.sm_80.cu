// Tensor cores: a warp multiplies 16 × 16 by 16 × 8 numbers with one instruction.
//
// That is 4096 FLOPs for an instruction of 32 lanes instead of 64, and the tensor cores of a multiprocessor have many times the
// throughput of its multiply-adds in f32. The operands of an instruction are spread over the registers of the lanes; here a lane
// reads them from shared memory register by register, two neighbouring steps at a time.
#include "matmul_mma.cuh"

extern "C" __global__ void __launch_bounds__(256) matmul_mma(MMA_PRODUCT) {
    DYNAMIC_SHARED(u16, shared);
    one_stage<PLAIN, false, false>(shared, MMA_HANDED_ON);
}
