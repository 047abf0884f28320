// A block computes 32 × 32 elements of C from tiles of A and B in shared memory, 32 steps of k at a time.
//
// Each element is loaded from global memory once for 32 multiply-adds. A tile is loaded along that direction in which it lies side by
// side, and so every layout is coalesced: from here on NT and TN cost what NN does. A row of 33 floats instead of 32 spreads a column
// over all banks of shared memory.
#include "matmul.cuh"

constexpr u32 TILE = 32;

// An element for each thread: the lanes of a warp follow the steps where these lie side by side, else the lines.
__device__ __forceinline__ void load(const Panel<float>& x, u32 first, float (*tile)[TILE + 1]) {
    u32 lane = lane_index(), warp = warp_index();
    if (x.step_stride == 1) tile[lane][warp] = element(x, warp, first + lane);
    else tile[warp][lane] = element(x, lane, first + warp);
}

extern "C" __global__ void __launch_bounds__(TILE* TILE) matmul_shared_tile(PRODUCT) {
    __shared__ float a_tile[TILE][TILE + 1], b_tile[TILE][TILE + 1]; // [step][line]
    Place place = place_of<TILE, TILE>(s, blockIdx.x);
    Panel<float> of_a = panel_of_a(s, a, at, place, 0, s.k), of_b = panel_of_b(s, b, bt, place, 0, s.k);
    u32 i = warp_index(), j = lane_index();
    float sum = 0.0f;
    for (u32 first = 0, left = s.k; left > 0; first += TILE, left -= min(left, TILE)) {
        load(of_a, first, a_tile);
        load(of_b, first, b_tile);
        __syncthreads();
#pragma unroll
        for (u32 p = 0; p < TILE; p++) sum += a_tile[p][i] * b_tile[p][j];
        __syncthreads(); // the tiles are overwritten
    }
    if (i < of_a.lines && j < of_b.lines) put(c + (u64(place.batch) * s.m + place.i + i) * s.n + place.j + j, sum, add);
}
