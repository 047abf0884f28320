// The gradient of a row of the table from the sorted positions of its ids (sort.cu): a warp adds 32 columns of the rows of dy at these
// positions, in their order.
//
// Every gradient is read once, in whole transactions. The list of a frequent id is long, though, and one warp would go through it alone. So
// the sorted positions are also cut into pieces of one length, which depends on their number alone: of a piece in which all have the same id a
// warp writes the sum, and the warp of that row takes this one number in the place of the whole piece. The order of every sum is fixed.
#include "gradus.cuh"

// The 32 columns of a warp: `item` is a row of the table or a piece.
struct Strip {
    u64 item, column;
};

__device__ __forceinline__ Strip strip_of(u32 c) {
    u32 strips = c / WARP + (c % WARP != 0);
    u64 warp = u64(blockIdx.x) * (blockDim.x / WARP) + warp_index();
    return {warp / strips, warp % strips * WARP + lane_index()};
}

// Σ of a column of dy over the positions at some places.
__device__ __forceinline__ float sum_of(u32 c, const u32* sorted, u32 begin, u32 end, const float* dy, u64 column) {
    float sum = 0.0f;
#pragma unroll 4
    for (u32 place = begin; place < end; place++) sum += dy[u64(sorted[place]) * c + column];
    return sum;
}

// The sum of each piece that has one row of the table alone; what stands for the others is not read.
extern "C" __global__ void __launch_bounds__(256)
    embedding_sorted_pieces(u32 v, u32 c, u32 pieces, u32 of_piece, const u32* ids, const u32* sorted, const float* dy, float* sums) {
    Strip strip = strip_of(c);
    if (strip.item >= pieces || strip.column >= c) return;
    u32 begin = u32(strip.item) * of_piece, end = begin + of_piece, id = ids[sorted[begin]];
    if (id >= v || id != ids[sorted[end - 1]]) return;
    sums[strip.item * c + strip.column] = sum_of(c, sorted, begin, end, dy, strip.column);
}

// The rows of the table: what lies before the first whole piece, the pieces, and what lies behind them. Without pieces all one by one.
extern "C" __global__ void __launch_bounds__(256)
    embedding_sorted_rows(u32 v, u32 c, u32 of_piece, const u32* begins, const u32* sorted, const float* dy, const float* sums,
                          float* dtable) {
    Strip strip = strip_of(c);
    if (strip.item >= v || strip.column >= c) return;
    u32 begin = begins[strip.item], end = begins[strip.item + 1];
    u32 first = begin / of_piece + (begin % of_piece != 0), last = end / of_piece;
    bool has_pieces = sums && first < last;
    float sum = sum_of(c, sorted, begin, has_pieces ? first * of_piece : end, dy, strip.column);
    if (has_pieces) {
#pragma unroll 4
        for (u32 piece = first; piece < last; piece++) sum += sums[u64(piece) * c + strip.column];
        sum += sum_of(c, sorted, last * of_piece, end, dy, strip.column);
    }
    dtable[strip.item * c + strip.column] = sum;
}
