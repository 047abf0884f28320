// Within the block's 128 × 128 elements of C, a warp has a tile of 32 × 64, and its lanes 4 × 8 places in it.
//
// In the rung below, a warp has 2 × 16 places: for each step its lanes read 16 different rows and all 128 columns, 144 numbers.
// In a tile of 32 × 64 they read 96, for the same multiply-adds: lanes that read the same number get it in one access.
// A warp also stays in a smaller part of shared memory. Warp tiles are the middle level of CUTLASS's hierarchy of block, warp and thread.
#include "matmul.cuh"

constexpr u32 BLOCK = 128, STEPS = 8, THREADS = 256, WIDTH = BLOCK + 4;

// A row of lines for each step.
struct Tiles {
    float a[STEPS][WIDTH], b[STEPS][WIDTH];
};

template <bool ALONG_STEPS> __device__ __forceinline__ void load(const Panel<float>& x, bool vectors, u32 first, float (*tile)[WIDTH]) {
    u32 line, step;
    quad_at<BLOCK, STEPS, ALONG_STEPS>(threadIdx.x, line, step);
    store_quad<ALONG_STEPS>(tile, line, step, load_quad<ALONG_STEPS>(x, vectors, line, first + step));
}

template <bool A_STEPS, bool B_STEPS> __device__ void product(Tiles& tiles, PRODUCT) {
    Place place = place_of<BLOCK, BLOCK>(s, blockIdx.x);
    Panel<float> of_a = panel_of_a(s, a, at, place, 0, s.k), of_b = panel_of_b(s, b, bt, place, 0, s.k);
    bool a_vectors = has_vectors<A_STEPS>(of_a), b_vectors = has_vectors<B_STEPS>(of_b);
    u32 i = warp_index() / 2 * 32 + lane_index() / 8 * 4, j = warp_index() % 2 * 64 + lane_index() % 8 * 4;
    float sum[8][8] = {}, a_part[8], b_part[8];
    for (u32 first = 0, left = s.k; left > 0; first += STEPS, left -= min(left, STEPS)) {
        load<A_STEPS>(of_a, a_vectors, first, tiles.a);
        load<B_STEPS>(of_b, b_vectors, first, tiles.b);
        __syncthreads();
#pragma unroll
        for (u32 p = 0; p < STEPS; p++) {
            read_eight<16>(a_part, &tiles.a[p][i]);
            read_eight<32>(b_part, &tiles.b[p][j]);
            multiply_eight(sum, a_part, b_part);
        }
        __syncthreads();
    }
    put_eight<16, 32>(s, place, c, i, j, sum, add);
}

extern "C" __global__ void __launch_bounds__(THREADS) matmul_warp_tile_nn(PRODUCT) {
    __shared__ __align__(16) Tiles tiles;
    product<true, false>(tiles, HANDED_ON);
}
extern "C" __global__ void __launch_bounds__(THREADS) matmul_warp_tile_nt(PRODUCT) {
    __shared__ __align__(16) Tiles tiles;
    product<true, true>(tiles, HANDED_ON);
}
extern "C" __global__ void __launch_bounds__(THREADS) matmul_warp_tile_tn(PRODUCT) {
    __shared__ __align__(16) Tiles tiles;
    product<false, false>(tiles, HANDED_ON);
}
extern "C" __global__ void __launch_bounds__(THREADS) matmul_warp_tile_tt(PRODUCT) {
    __shared__ __align__(16) Tiles tiles;
    product<false, true>(tiles, HANDED_ON);
}
