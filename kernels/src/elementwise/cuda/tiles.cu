// Copies that transpose, by way of shared memory: a block reads a tile of 32×32 elements along the axis that is contiguous in x and
// writes it along the one that is contiguous in y (Ruetsch and Micikevicius, "Optimizing matrix transpose in CUDA", 2009).
//
// Read or written directly, every element of one side costs a transaction of 32 bytes; by tiles both sides are coalesced. A row of the
// tile is 33 elements long, so that the lanes of a warp, which read a column of it, find their elements in different banks.
#include "strides.cuh"

#define TILE 32u
#define TILE_WARPS 8u

// y[row·y_stride + column] = x[row + column·x_stride] in each plane; the axes are those of the planes.
struct Plane {
    u32 rows, columns;
    u64 x_stride, y_stride;
};

template <class E>
__device__ __forceinline__ void transpose(const Plane& plane, u32 rank, const Sizes& shape, const Strides<2>& strides,
                                          const E* x, E* y) {
    __shared__ E tile[TILE][TILE + 1];
    u32 across = (plane.columns + TILE - 1) / TILE, down = (plane.rows + TILE - 1) / TILE;
    u32 column = blockIdx.x % across * TILE, row = blockIdx.x / across % down * TILE;
    u64 at[2] = {};
    add_offsets(blockIdx.x / across / down, rank, shape, strides, at);
    x += at[0];
    y += at[1];
    u32 lane = threadIdx.x, warp = threadIdx.y;
    for (u32 i = warp; i < TILE; i += TILE_WARPS)
        if (row + lane < plane.rows && column + i < plane.columns)
            tile[i][lane] = x[row + lane + (column + i) * plane.x_stride];
    __syncthreads();
    for (u32 i = warp; i < TILE; i += TILE_WARPS)
        if (row + i < plane.rows && column + lane < plane.columns)
            y[(row + i) * plane.y_stride + column + lane] = tile[lane][i];
}

extern "C" __global__ void __launch_bounds__(256) elementwise_tiles_copy_2(u32 rows, u32 columns, u64 x_stride, u64 y_stride, u32 rank, Sizes shape,
                                                    Strides<2> strides, const u16* x, u16* y) {
    transpose({rows, columns, x_stride, y_stride}, rank, shape, strides, x, y);
}
extern "C" __global__ void __launch_bounds__(256) elementwise_tiles_copy_4(u32 rows, u32 columns, u64 x_stride, u64 y_stride, u32 rank, Sizes shape,
                                                    Strides<2> strides, const u32* x, u32* y) {
    transpose({rows, columns, x_stride, y_stride}, rank, shape, strides, x, y);
}
extern "C" __global__ void __launch_bounds__(256) elementwise_tiles_copy_8(u32 rows, u32 columns, u64 x_stride, u64 y_stride, u32 rank, Sizes shape,
                                                    Strides<2> strides, const u64* x, u64* y) {
    transpose({rows, columns, x_stride, y_stride}, rank, shape, strides, x, y);
}
