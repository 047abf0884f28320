// Tiles of 16 rows and 64 columns in shared memory, which a block of 256 threads loads.
#pragma once
#include "attention.cuh"

#define TILE 16u
#define COLUMNS 64u

// A row is one number longer, so that the same column of 16 rows lies in different banks.
typedef float Tile[TILE][COLUMNS + 1];

// Rows first .. end of a head, columns x .. x + 64, zeros outside.
__device__ __forceinline__ void load_tile(Tile& tile, const float* rows, u64 stride, u32 first, u32 end, u32 x, u32 d) {
    for (u32 e = threadIdx.x; e < TILE * COLUMNS; e += blockDim.x) {
        u32 row = e / COLUMNS, column = e % COLUMNS;
        bool inside = first + row < end && x + column < d;
        tile[row][column] = inside ? rows[(first + row) * stride + x + column] : 0.0f;
    }
}
