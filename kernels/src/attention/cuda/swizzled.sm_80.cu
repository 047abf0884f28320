// Fragments by ldmatrix, from tiles whose rows are swizzled.
//
// In the tensor rung a right operand is two loads of four bytes, or four of two where V has to be transposed, for one instruction of the
// tensor cores. ldmatrix brings two right operands with one instruction, transposed where asked. Its eight rows of 16 bytes have
// to lie in different banks: instead of padding the rows, the number of each 16 bytes is combined with that of its row.
#include "fragments.cuh"

#define KEYS 64u
#define QUERIES 64u

template <u32 W>
__device__ void forward(const Problem& p, const Strides& os, const float* mask, const u16* q, const u16* k, const u16* v, float* o,
                        float* lse) {
    DYNAMIC_SHARED(u16, keys);
    u16* values = keys + KEYS * W;
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
        load_swizzled<W, KEYS>(keys, k, key, p.tk);
        load_swizzled<W, KEYS>(values, v, key, p.tk);
        __syncthreads();
        float score[KEYS / 8][4] = {}, correction[2];
        multiply_rows<W, KEYS>(score, left, keys);
        soften(p, head, mask, query, key, score, rows, correction);
        scale_rows(output, correction);
        multiply_columns<W, KEYS>(output, score, values);
    }
    finish(p, head, os, query, output, rows, o, lse);
}

extern "C" __global__ void __launch_bounds__(128, 1)
    attention_swizzled_forward_16(Problem p, Strides os, const float* mask, const u16* q, const u16* k, const u16* v, float* o,
                               float* lse) {
    forward<16>(p, os, mask, q, k, v, o, lse);
}
extern "C" __global__ void __launch_bounds__(128, 1)
    attention_swizzled_forward_32(Problem p, Strides os, const float* mask, const u16* q, const u16* k, const u16* v, float* o,
                               float* lse) {
    forward<32>(p, os, mask, q, k, v, o, lse);
}
extern "C" __global__ void __launch_bounds__(128, 1)
    attention_swizzled_forward_64(Problem p, Strides os, const float* mask, const u16* q, const u16* k, const u16* v, float* o,
                               float* lse) {
    forward<64>(p, os, mask, q, k, v, o, lse);
}
extern "C" __global__ void __launch_bounds__(128, 1)
    attention_swizzled_forward_128(Problem p, Strides os, const float* mask, const u16* q, const u16* k, const u16* v, float* o,
                               float* lse) {
    forward<128>(p, os, mask, q, k, v, o, lse);
}
