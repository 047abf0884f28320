// Lines in shared memory are 80 bytes apart instead of 64, so that the lanes of a warp meet different banks.
//
// When fragments are read, 4 lanes read 16 bytes of a line, and 8 such groups read 8 neighbouring lines. 64 bytes apart, every
// second line begins at the same bank: four lanes meet in each bank in use, and the access takes four times as long. 80 bytes, 20 banks,
// apart, the 8 lines begin at banks 0, 20, 8, 28, 16, 4, 24 and 12: each bank is met once. It costs a quarter more shared memory.
#include "matmul_mma.cuh"

extern "C" __global__ void __launch_bounds__(256) matmul_padded(MMA_PRODUCT) {
    DYNAMIC_SHARED(u16, shared);
    one_stage<PADDED, true, false>(shared, MMA_HANDED_ON);
}
