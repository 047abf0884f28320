// Fragments are read four 8 × 8 matrices at a time (ldmatrix).
//
// The instruction gives every lane four registers of fragments from 16 bytes that each lane names. So 16 steps of a warp's tile, which
// took 16 loads of A and 8 of B, take 4 and 2, and as many address computations less.
#include "matmul_mma.cuh"

extern "C" __global__ void __launch_bounds__(256) matmul_ldmatrix(MMA_PRODUCT) {
    DYNAMIC_SHARED(u16, shared);
    one_stage<SWIZZLED, true, true>(shared, MMA_HANDED_ON);
}
