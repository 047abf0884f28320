// Both products on tensor cores: m16n8k16 with bf16 operands and sums in f32.
//
// A block of four warps has 64 queries of a head, a warp 16 of them, whose left operands stay in registers. Keys and values go through
// shared memory, 64 at a time. A warp computes 16×64 scores in 8·W/16 instructions of 4096 FLOPs each; softmax works on the fragments; P is
// rounded where it is and multiplied with V. The tensor cores of an A100 do 16 times as many bf16 multiply-adds as its other cores do in f32
// (NVIDIA A100 white paper), so from here on the exponentials and the reads of shared memory count.
#include "fragments.cuh"

#define KEYS 64u
#define QUERIES 64u

// Rows eight numbers longer than W, so that eight rows of a fragment fall into different banks.
template <u32 W> __device__ __forceinline__ void load_padded(u16* tile, const u16* rows, u32 first, u32 end) {
    for (u32 e = threadIdx.x; e < KEYS * (W / 8); e += blockDim.x) {
        u32 row = e / (W / 8), x = e % (W / 8) * 8;
        uint4 numbers = make_uint4(0, 0, 0, 0);
        if (first + row < end) numbers = *reinterpret_cast<const uint4*>(rows + u64(first + row) * W + x);
        *reinterpret_cast<uint4*>(tile + row * (W + 8) + x) = numbers;
    }
}

template <u32 W>
__device__ void forward(const Problem& p, const Strides& os, const float* mask, const u16* q, const u16* k, const u16* v, float* o,
                        float* lse) {
    constexpr u32 STEP = W + 8;
    DYNAMIC_SHARED(u16, keys);
    u16* values = keys + KEYS * STEP;
    u32 tiles = (p.tq + QUERIES - 1) / QUERIES, block = (tiles - 1 - blockIdx.x % tiles) * QUERIES;
    Head head = head_of(p, blockIdx.x / tiles);
    u32 query = block + warp_index() * 16;
    k += (u64(head.b) * p.h_kv + head.kv) * p.tk * W;
    v += (u64(head.b) * p.h_kv + head.kv) * p.tk * W;
    u32 left[W / 16][4];
    load_left<W>(left, q + row_index(p, head, 0) * W, query, p.tq);
    TwoRows rows = {{-INF, -INF}, {0.0f, 0.0f}};
    float output[W / 8][4] = {};
    Range seen = keys_of_queries(p, block, min(block + QUERIES, p.tq));
    for (u32 key = seen.first / KEYS * KEYS; key < seen.end; key += KEYS) {
        __syncthreads(); // the last tiles are used up
        load_padded<W>(keys, k, key, p.tk);
        load_padded<W>(values, v, key, p.tk);
        __syncthreads();
        float score[KEYS / 8][4] = {}, correction[2];
#pragma unroll
        for (u32 n = 0; n < KEYS / 8; n++) {
#pragma unroll
            for (u32 x = 0; x < W / 16; x++) {
                const u16* row = keys + (n * 8 + lane_g()) * STEP + x * 16 + 2 * lane_t();
                u32 right[2] = {*reinterpret_cast<const u32*>(row), *reinterpret_cast<const u32*>(row + 8)};
                mma_16x8x16(score[n], left[x], right);
            }
        }
        soften(p, head, mask, query, key, score, rows, correction);
        scale_rows(output, correction);
#pragma unroll
        for (u32 j = 0; j < KEYS / 16; j++) {
            u32 weights[4];
            to_left(weights, score[2 * j], score[2 * j + 1]);
#pragma unroll
            for (u32 n = 0; n < W / 8; n++) {
                const u16* column = values + (j * 16 + 2 * lane_t()) * STEP + n * 8 + lane_g();
                u32 right[2] = {u32(column[STEP]) << 16 | column[0], u32(column[9 * STEP]) << 16 | column[8 * STEP]};
                mma_16x8x16(output[n], weights, right);
            }
        }
    }
    finish(p, head, os, query, output, rows, o, lse);
}

extern "C" __global__ void __launch_bounds__(128, 1)
    attention_tensor_forward_16(Problem p, Strides os, const float* mask, const u16* q, const u16* k, const u16* v, float* o,
                               float* lse) {
    forward<16>(p, os, mask, q, k, v, o, lse);
}
extern "C" __global__ void __launch_bounds__(128, 1)
    attention_tensor_forward_32(Problem p, Strides os, const float* mask, const u16* q, const u16* k, const u16* v, float* o,
                               float* lse) {
    forward<32>(p, os, mask, q, k, v, o, lse);
}
extern "C" __global__ void __launch_bounds__(128, 1)
    attention_tensor_forward_64(Problem p, Strides os, const float* mask, const u16* q, const u16* k, const u16* v, float* o,
                               float* lse) {
    forward<64>(p, os, mask, q, k, v, o, lse);
}
extern "C" __global__ void __launch_bounds__(128, 1)
    attention_tensor_forward_128(Problem p, Strides os, const float* mask, const u16* q, const u16* k, const u16* v, float* o,
                               float* lse) {
    forward<128>(p, os, mask, q, k, v, o, lse);
}
