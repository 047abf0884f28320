// The four chunks of 16 bytes of a line change places from line to line, so that no shared memory is lost to padding.
//
// Two lines fill the 32 banks once. Chunk c of line l is stored in the place c xor (l / 2 mod 4): within the same chunk of 8
// neighbouring lines, every place in the 128 bytes of a pair of lines occurs once, and there are no bank conflicts, neither when
// fragments are read nor when chunks are written. Shared memory decides how many stages and blocks a multiprocessor holds.
#include "matmul_mma.cuh"

extern "C" __global__ void __launch_bounds__(256) matmul_swizzled(MMA_PRODUCT) {
    DYNAMIC_SHARED(u16, shared);
    one_stage<SWIZZLED, true, false>(shared, MMA_HANDED_ON);
}
