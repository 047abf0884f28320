// Loads of 16 bytes, from global as from shared memory.
//
// A warp then moves 512 bytes with one instruction instead of 128, and a thread its 16 numbers of a step with 4 loads instead of 16. For
// that, the numbers that a thread reads together have to lie side by side in shared memory: the tiles have a row of lines for each
// step, so that an operand whose steps lie side by side (A in NN and NT, B in NT) is transposed on the way in.
// The rows are 4 floats longer than the tile, so that the lanes that store a transposed quad meet different banks.
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
    u32 i = threadIdx.x / 16 * 4, j = threadIdx.x % 16 * 4;
    float sum[8][8] = {}, a_part[8], b_part[8];
    for (u32 first = 0, left = s.k; left > 0; first += STEPS, left -= min(left, STEPS)) {
        load<A_STEPS>(of_a, a_vectors, first, tiles.a);
        load<B_STEPS>(of_b, b_vectors, first, tiles.b);
        __syncthreads();
#pragma unroll
        for (u32 p = 0; p < STEPS; p++) {
            read_eight<64>(a_part, &tiles.a[p][i]);
            read_eight<64>(b_part, &tiles.b[p][j]);
            multiply_eight(sum, a_part, b_part);
        }
        __syncthreads();
    }
    put_eight<64, 64>(s, place, c, i, j, sum, add);
}

extern "C" __global__ void __launch_bounds__(THREADS, 1) matmul_vector_loads_nn(PRODUCT) {
    __shared__ __align__(16) Tiles tiles;
    product<true, false>(tiles, HANDED_ON);
}
extern "C" __global__ void __launch_bounds__(THREADS, 1) matmul_vector_loads_nt(PRODUCT) {
    __shared__ __align__(16) Tiles tiles;
    product<true, true>(tiles, HANDED_ON);
}
extern "C" __global__ void __launch_bounds__(THREADS, 1) matmul_vector_loads_tn(PRODUCT) {
    __shared__ __align__(16) Tiles tiles;
    product<false, false>(tiles, HANDED_ON);
}
extern "C" __global__ void __launch_bounds__(THREADS, 1) matmul_vector_loads_tt(PRODUCT) {
    __shared__ __align__(16) Tiles tiles;
    product<false, true>(tiles, HANDED_ON);
}
