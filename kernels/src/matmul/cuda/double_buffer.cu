// Two tiles of each operand in shared memory: the next one is loaded while this one is multiplied.
//
// The loads are issued to registers before the multiply-adds and stored to the other tile after them, so that the hundreds of cycles
// of global memory pass behind arithmetic; and one barrier for each tile does instead of two, because nothing is written to the tile
// that is read. What it costs is twice the shared memory and the registers of a quad in flight.
//
// The block is 128 × 128, or 64 × 64 where the larger would leave multiprocessors without work (_small). A block sums the steps from
// blockIdx.y · per_part on, at most per_part of them, into part blockIdx.y of C: one part, unless the sum is cut (split_k.cu).
#include "matmul.cuh"

constexpr u32 STEPS = 8;

// A row of lines for each step, twice.
template <u32 LINES> struct Tiles {
    float a[2][STEPS][LINES + 4], b[2][STEPS][LINES + 4];
};

// The quads of a tile that a thread has on their way.
template <u32 QUADS> struct Loaded {
    float4 quad[QUADS];
};

template <u32 LINES, u32 THREADS, bool ALONG_STEPS, u32 QUADS>
__device__ __forceinline__ void load(const Panel<float>& x, bool vectors, u32 first, Loaded<QUADS>& to) {
#pragma unroll
    for (u32 q = 0; q < QUADS; q++) {
        u32 line, step;
        quad_at<LINES, STEPS, ALONG_STEPS>(threadIdx.x + q * THREADS, line, step);
        to.quad[q] = load_quad<ALONG_STEPS>(x, vectors, line, first + step);
    }
}

template <u32 LINES, u32 THREADS, bool ALONG_STEPS, u32 QUADS>
__device__ __forceinline__ void store(const Loaded<QUADS>& from, float (*tile)[LINES + 4]) {
#pragma unroll
    for (u32 q = 0; q < QUADS; q++) {
        u32 line, step;
        quad_at<LINES, STEPS, ALONG_STEPS>(threadIdx.x + q * THREADS, line, step);
        store_quad<ALONG_STEPS>(tile, line, step, from.quad[q]);
    }
}

template <u32 LINES, u32 THREADS, bool A_STEPS, bool B_STEPS>
__device__ void product(Tiles<LINES>& tiles, PRODUCT, u32 per_part) {
    constexpr u32 QUADS = LINES * STEPS / 4 / THREADS, ACROSS = LINES / 64;
    Place place = place_of<LINES, LINES>(s, blockIdx.x);
    u32 start = blockIdx.y * per_part;
    Panel<float> of_a = panel_of_a(s, a, at, place, start, per_part), of_b = panel_of_b(s, b, bt, place, start, per_part);
    bool a_vectors = has_vectors<A_STEPS>(of_a), b_vectors = has_vectors<B_STEPS>(of_b);
    u32 i = warp_index() / ACROSS * 32 + lane_index() / 8 * 4, j = warp_index() % ACROSS * 64 + lane_index() % 8 * 4;
    float sum[8][8] = {}, a_part[8], b_part[8];
    Loaded<QUADS> next_a, next_b;
    load<LINES, THREADS, A_STEPS>(of_a, a_vectors, 0, next_a);
    load<LINES, THREADS, B_STEPS>(of_b, b_vectors, 0, next_b);
    store<LINES, THREADS, A_STEPS>(next_a, tiles.a[0]);
    store<LINES, THREADS, B_STEPS>(next_b, tiles.b[0]);
    __syncthreads();
    u32 count = of_a.steps == 0 ? 0 : (of_a.steps - 1) / STEPS + 1;
    for (u32 tile = 0; tile < count; tile++) {
        bool more = tile + 1 < count;
        if (more) {
            load<LINES, THREADS, A_STEPS>(of_a, a_vectors, (tile + 1) * STEPS, next_a);
            load<LINES, THREADS, B_STEPS>(of_b, b_vectors, (tile + 1) * STEPS, next_b);
        }
#pragma unroll
        for (u32 p = 0; p < STEPS; p++) {
            read_eight<16>(a_part, &tiles.a[tile % 2][p][i]);
            read_eight<32>(b_part, &tiles.b[tile % 2][p][j]);
            multiply_eight(sum, a_part, b_part);
        }
        if (more) {
            store<LINES, THREADS, A_STEPS>(next_a, tiles.a[(tile + 1) % 2]);
            store<LINES, THREADS, B_STEPS>(next_b, tiles.b[(tile + 1) % 2]);
        }
        __syncthreads();
    }
    put_eight<16, 32>(s, place, c + blockIdx.y * (u64(s.batch) * s.m * s.n), i, j, sum, add);
}

extern "C" __global__ void __launch_bounds__(256) matmul_double_buffer_nn(PRODUCT, u32 per_part) {
    __shared__ __align__(16) Tiles<128> tiles;
    product<128, 256, true, false>(tiles, HANDED_ON, per_part);
}
extern "C" __global__ void __launch_bounds__(256) matmul_double_buffer_nt(PRODUCT, u32 per_part) {
    __shared__ __align__(16) Tiles<128> tiles;
    product<128, 256, true, true>(tiles, HANDED_ON, per_part);
}
extern "C" __global__ void __launch_bounds__(256) matmul_double_buffer_tn(PRODUCT, u32 per_part) {
    __shared__ __align__(16) Tiles<128> tiles;
    product<128, 256, false, false>(tiles, HANDED_ON, per_part);
}
extern "C" __global__ void __launch_bounds__(256) matmul_double_buffer_tt(PRODUCT, u32 per_part) {
    __shared__ __align__(16) Tiles<128> tiles;
    product<128, 256, false, true>(tiles, HANDED_ON, per_part);
}
extern "C" __global__ void __launch_bounds__(64) matmul_double_buffer_small_nn(PRODUCT, u32 per_part) {
    __shared__ __align__(16) Tiles<64> tiles;
    product<64, 64, true, false>(tiles, HANDED_ON, per_part);
}
extern "C" __global__ void __launch_bounds__(64) matmul_double_buffer_small_nt(PRODUCT, u32 per_part) {
    __shared__ __align__(16) Tiles<64> tiles;
    product<64, 64, true, true>(tiles, HANDED_ON, per_part);
}
extern "C" __global__ void __launch_bounds__(64) matmul_double_buffer_small_tn(PRODUCT, u32 per_part) {
    __shared__ __align__(16) Tiles<64> tiles;
    product<64, 64, false, false>(tiles, HANDED_ON, per_part);
}
extern "C" __global__ void __launch_bounds__(64) matmul_double_buffer_small_tt(PRODUCT, u32 per_part) {
    __shared__ __align__(16) Tiles<64> tiles;
    product<64, 64, false, true>(tiles, HANDED_ON, per_part);
}
