// Operands rounded once, into scratch memory, with the steps of k side by side.
//
// An operand of a large product is read by many blocks: each 128 rows of A by all blocks along a row of C. Rounded where it is
// read, it would be read in f32 and rounded each time. Rounded before, it costs one pass, 4 bytes read and 2 written for each
// element, and 2 bytes of scratch memory; and then every block reads 2 bytes instead of 4. Whatever layout the operand has, its steps
// lie side by side afterwards, in lines of a multiple of 8 steps, 16 bytes, filled up with zeros: so copies to shared memory need
// not go through registers, and the kernels on tensor cores have one layout to know.
// A card without tensor cores for bf16 gets the rounded numbers in f32, 4 bytes each, for the products in f32.
//
// A block turns 32 lines × 32 steps by a tile in shared memory, so that reads and writes are both coalesced.
#include "matmul.cuh"
#include "tensor_cores.cuh"

constexpr u32 TILE = 32, WARPS = 8;

__device__ __forceinline__ u16 bits(float x) { return to_bf16(x); }
__device__ __forceinline__ u16 bits(u16 x) { return x; }
__device__ __forceinline__ void write(u16* y, u16 x) { *y = x; }
__device__ __forceinline__ void write(float* y, u16 x) { *y = from_bf16(x); }

// Lines of a batch of matrices: element (b, line, step) at b·batch + line·row + step·col.
#define LINES_OF(From, To) u32 lines, u32 steps, u32 padded, const From *x, Strides xs, To *y
#define LINES_ON lines, steps, padded, x, xs, y

template <class From, class To> __device__ void turn(u16 (*tile)[TILE + 2], LINES_OF(From, To)) {
    u32 across = tiles(padded, TILE), down = tiles(lines, TILE);
    u32 first_step = blockIdx.x % across * TILE, first_line = blockIdx.x / across % down * TILE;
    u64 batch = blockIdx.x / across / down;
    u32 lane = lane_index();
    bool along_steps = xs.col == 1;
    for (u32 other = warp_index(); other < TILE; other += WARPS) {
        u32 line = along_steps ? other : lane, step = along_steps ? lane : other;
        bool inside = line < lines - first_line && first_step < steps && step < steps - first_step;
        const From* from = x + batch * xs.batch + u64(first_line + line) * xs.row + u64(first_step + step) * xs.col;
        tile[line][step] = inside ? bits(*from) : u16(0);
    }
    __syncthreads();
    for (u32 line = warp_index(); line < TILE; line += WARPS) {
        if (line < lines - first_line && lane < padded - first_step)
            write(y + (batch * lines + first_line + line) * padded + first_step + lane, tile[line][lane]);
    }
}

extern "C" __global__ void __launch_bounds__(256) matmul_rounded(LINES_OF(float, u16)) {
    __shared__ u16 tile[TILE][TILE + 2];
    turn<float, u16>(tile, LINES_ON);
}
extern "C" __global__ void __launch_bounds__(256) matmul_rounded_f32(LINES_OF(float, float)) {
    __shared__ u16 tile[TILE][TILE + 2];
    turn<float, float>(tile, LINES_ON);
}
extern "C" __global__ void __launch_bounds__(256) matmul_rounded_stored(LINES_OF(u16, u16)) {
    __shared__ u16 tile[TILE][TILE + 2];
    turn<u16, u16>(tile, LINES_ON);
}
extern "C" __global__ void __launch_bounds__(256) matmul_rounded_stored_f32(LINES_OF(u16, float)) {
    __shared__ u16 tile[TILE][TILE + 2];
    turn<u16, float>(tile, LINES_ON);
}
