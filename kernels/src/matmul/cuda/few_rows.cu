// Few rows of C, up to 8, as when single tokens are decoded: the product of a matrix with some vectors.
//
// Every element of B is used once for each row, at most 8 multiply-adds for 4 bytes: the product is limited by reading B, and a tile of
// 128 rows would do nothing but zeros in most of them. So B is read once, straight into registers, by loads that use all of a transaction:
//   - where the steps of k lie side by side (a weight stored as [N, K]), a warp computes a column of C: its lanes read quads along the
//     column, and their sums are added across the warp;
//   - where the columns lie side by side, each lane has a column of its own, and the 8 warps of a block cut the sum over k among them,
//     which gives enough loads in flight also where there are few columns.
// For bf16 the operands in f32 are rounded on the way, and B may be stored in bf16: half the bytes.
#include "matmul.cuh"
#include "tensor_cores.cuh"

constexpr u32 WARPS = 8;

#define FEW_ROWS(T) Sizes s, const float *a, Strides at, const T *b, Strides bt, float *c, Strides ct, u32 add
#define FEW_ROWS_ON s, a, at, b, bt, c, ct, add

template <bool ROUND> __device__ __forceinline__ float rounded(float x) { return ROUND ? from_bf16(to_bf16(x)) : x; }

// An element of an operand of either type.
template <bool ROUND> __device__ __forceinline__ float number(const float* x) { return rounded<ROUND>(*x); }
template <bool ROUND> __device__ __forceinline__ float number(const u16* x) { return from_bf16(*x); }

template <bool ROUND> __device__ __forceinline__ float4 numbers(const float* x) {
    float4 quad = *reinterpret_cast<const float4*>(x);
    return make_float4(rounded<ROUND>(quad.x), rounded<ROUND>(quad.y), rounded<ROUND>(quad.z), rounded<ROUND>(quad.w));
}
template <bool ROUND> __device__ __forceinline__ float4 numbers(const u16* x) {
    uint2 quad = *reinterpret_cast<const uint2*>(x);
    return make_float4(from_bf16(u16(quad.x)), from_bf16(u16(quad.x >> 16)), from_bf16(u16(quad.y)), from_bf16(u16(quad.y >> 16)));
}

// Four numbers that are `stride` apart, of which `left` are inside; zeros after them.
template <bool ROUND, class T> __device__ __forceinline__ float4 four(const T* x, u64 stride, bool vectors, u32 left) {
    if (vectors && left >= 4) return numbers<ROUND>(x);
    return make_float4(number<ROUND>(x), left > 1 ? number<ROUND>(x + stride) : 0.0f,
                       left > 2 ? number<ROUND>(x + 2 * stride) : 0.0f, left > 3 ? number<ROUND>(x + 3 * stride) : 0.0f);
}

template <class T> __device__ __forceinline__ bool has_quads(const T* x, u64 stride) {
    return stride == 1 && reinterpret_cast<u64>(x) % (4 * sizeof(T)) == 0;
}

// A warp for a column of C. Whole warps return, so no exchange lacks a lane.
template <class T, bool ROUND, u32 ROWS> __device__ void along_steps(FEW_ROWS(T)) {
    u32 across = tiles(s.n, WARPS), batch = blockIdx.x / across, j = blockIdx.x % across * WARPS + warp_index();
    if (j >= s.n) return;
    a += batch * at.batch;
    b += batch * bt.batch + j * bt.col;
    c += batch * ct.batch + j * ct.col;
    bool b_quads = has_quads(b, bt.row), a_quads = has_quads(a, at.col) && at.row % 4 == 0;
    float sum[ROWS] = {};
    for (u64 p = 4 * lane_index(); p < s.k; p += 4 * WARP) {
        u32 left = s.k - u32(p);
        float4 y = four<ROUND>(b + p * bt.row, bt.row, b_quads, left);
#pragma unroll
        for (u32 r = 0; r < ROWS; r++) {
            if (r >= s.m) continue;
            float4 x = four<ROUND>(a + r * at.row + p * at.col, at.col, a_quads, left);
            sum[r] += x.x * y.x + x.y * y.y + (x.z * y.z + x.w * y.w);
        }
    }
#pragma unroll
    for (u32 r = 0; r < ROWS; r++) {
        float total = warp_sum(sum[r]);
        if (r < s.m && lane_index() == 0) put(c + r * ct.row, total, add);
    }
}

// A lane for a column of C, a warp for a part of the steps.
template <class T, bool ROUND, u32 ROWS> __device__ void along_lines(float (*part)[ROWS][WARP], FEW_ROWS(T)) {
    u32 across = tiles(s.n, WARP), batch = blockIdx.x / across, j = blockIdx.x % across * WARP + lane_index();
    a += batch * at.batch;
    b += batch * bt.batch + j * bt.col;
    float sum[ROWS] = {};
    if (j < s.n) {
#pragma unroll 4
        for (u64 p = warp_index(); p < s.k; p += WARPS) {
            float y = number<ROUND>(b + p * bt.row);
#pragma unroll
            for (u32 r = 0; r < ROWS; r++)
                if (r < s.m) sum[r] += number<ROUND>(a + r * at.row + p * at.col) * y;
        }
    }
#pragma unroll
    for (u32 r = 0; r < ROWS; r++) part[warp_index()][r][lane_index()] = sum[r];
    __syncthreads();
    u32 row = warp_index(); // a warp adds the parts of a row
    if (row >= ROWS || row >= s.m || j >= s.n) return;
    float total = 0.0f;
#pragma unroll
    for (u32 w = 0; w < WARPS; w++) total += part[w][row][lane_index()];
    put(c + batch * ct.batch + row * ct.row + j * ct.col, total, add);
}

extern "C" __global__ void __launch_bounds__(256) matmul_few_rows_steps_1(FEW_ROWS(float)) { along_steps<float, false, 1>(FEW_ROWS_ON); }
extern "C" __global__ void __launch_bounds__(256) matmul_few_rows_steps_8(FEW_ROWS(float)) { along_steps<float, false, 8>(FEW_ROWS_ON); }
extern "C" __global__ void __launch_bounds__(256) matmul_few_rows_lines_1(FEW_ROWS(float)) {
    __shared__ float part[WARPS][1][WARP];
    along_lines<float, false, 1>(part, FEW_ROWS_ON);
}
extern "C" __global__ void __launch_bounds__(256) matmul_few_rows_lines_8(FEW_ROWS(float)) {
    __shared__ float part[WARPS][8][WARP];
    along_lines<float, false, 8>(part, FEW_ROWS_ON);
}
extern "C" __global__ void __launch_bounds__(256) matmul_few_rows_rounded_steps_1(FEW_ROWS(float)) { along_steps<float, true, 1>(FEW_ROWS_ON); }
extern "C" __global__ void __launch_bounds__(256) matmul_few_rows_rounded_steps_8(FEW_ROWS(float)) { along_steps<float, true, 8>(FEW_ROWS_ON); }
extern "C" __global__ void __launch_bounds__(256) matmul_few_rows_rounded_lines_1(FEW_ROWS(float)) {
    __shared__ float part[WARPS][1][WARP];
    along_lines<float, true, 1>(part, FEW_ROWS_ON);
}
extern "C" __global__ void __launch_bounds__(256) matmul_few_rows_rounded_lines_8(FEW_ROWS(float)) {
    __shared__ float part[WARPS][8][WARP];
    along_lines<float, true, 8>(part, FEW_ROWS_ON);
}
extern "C" __global__ void __launch_bounds__(256) matmul_few_rows_stored_steps_1(FEW_ROWS(u16)) { along_steps<u16, true, 1>(FEW_ROWS_ON); }
extern "C" __global__ void __launch_bounds__(256, 1) matmul_few_rows_stored_steps_8(FEW_ROWS(u16)) { along_steps<u16, true, 8>(FEW_ROWS_ON); }
extern "C" __global__ void __launch_bounds__(256) matmul_few_rows_stored_lines_1(FEW_ROWS(u16)) {
    __shared__ float part[WARPS][1][WARP];
    along_lines<u16, true, 1>(part, FEW_ROWS_ON);
}
extern "C" __global__ void __launch_bounds__(256, 1) matmul_few_rows_stored_lines_8(FEW_ROWS(u16)) {
    __shared__ float part[WARPS][8][WARP];
    along_lines<u16, true, 8>(part, FEW_ROWS_ON);
}
