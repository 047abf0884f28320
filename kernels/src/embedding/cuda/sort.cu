// The positions of the ids, sorted by id: a radix sort by digits of 8 bits, stable, so that the positions of one id stay in their order.
//
// It finds the positions of each row of the table with n steps for each digit (one for up to 255 rows, two for up to 65535), where comparing
// every id with every row takes v · n. There are no atomics: of a chunk of 1024 positions thread d takes digit d, and goes through the digits
// of the chunk in shared memory, which all threads of a warp read at one address. First it counts them; once the counts of all chunks are
// sums of what lies before them, it goes through the chunk again and writes its positions one behind the other. The scheme of counting,
// scanning and scattering is that of Satish, Harris and Garland, "Designing Efficient Sorting Algorithms for Manycore GPUs", 2009.
//
// An id that is no row of the table counts as row v, behind all others.
#include "gradus.cuh"

#define DIGITS 256u
#define CHUNK 1024u

__device__ __forceinline__ u32 row_of(u32 id, u32 v) { return id < v ? id : v; }

// What stands at a place of the order so far; without one, the place itself.
__device__ __forceinline__ u32 position_at(const u32* order, u32 place) { return order ? order[place] : place; }

// The digit of the id at a place; past the end one that no thread has.
__device__ __forceinline__ u32 digit_at(u32 v, u32 n, u32 shift, const u32* ids, const u32* order, u64 place) {
    return place < n ? row_of(ids[position_at(order, u32(place))], v) >> shift & (DIGITS - 1) : DIGITS;
}

// The digits of the block's chunk, four neighbouring places by each thread.
__device__ __forceinline__ void load_digits(u32 v, u32 n, u32 shift, const u32* ids, const u32* order, uint4* digits) {
    u64 place = u64(blockIdx.x) * CHUNK + threadIdx.x * 4;
    u32 of[4];
#pragma unroll
    for (u32 k = 0; k < 4; k++) of[k] = digit_at(v, n, shift, ids, order, place + k);
    digits[threadIdx.x] = make_uint4(of[0], of[1], of[2], of[3]);
    __syncthreads();
}

// How often each digit occurs in the chunk of the block.
extern "C" __global__ void __launch_bounds__(256)
    embedding_sort_count(u32 v, u32 n, u32 shift, const u32* ids, const u32* order, u32* counts) {
    __shared__ uint4 digits[CHUNK / 4];
    load_digits(v, n, shift, ids, order, digits);
    u32 mine = threadIdx.x, count = 0;
    for (u32 i = 0; i < CHUNK / 4; i++) {
        uint4 four = digits[i];
        count += (four.x == mine) + (four.y == mine) + (four.z == mine) + (four.w == mine);
    }
    counts[u64(blockIdx.x) * DIGITS + mine] = count;
}

// Where each digit of each chunk begins: behind all smaller digits, and behind those of the chunks before. One block, a thread a digit, so
// that neighbouring threads read neighbouring counts.
extern "C" __global__ void __launch_bounds__(256) embedding_sort_scan(u32 chunks, u32* counts) {
    __shared__ u32 warps[DIGITS / WARP];
    u32 total = 0;
#pragma unroll 4
    for (u32 chunk = 0; chunk < chunks; chunk++) total += counts[u64(chunk) * DIGITS + threadIdx.x];
    u32 up_to_here = total;
    for (u32 distance = 1; distance < WARP; distance *= 2) {
        u32 below = __shfl_up_sync(ALL_LANES, up_to_here, distance);
        if (lane_index() >= distance) up_to_here += below;
    }
    if (lane_index() == WARP - 1) warps[warp_index()] = up_to_here;
    __syncthreads();
    u32 at = up_to_here - total;
    for (u32 warp = 0; warp < warp_index(); warp++) at += warps[warp];
    for (u32 chunk = 0; chunk < chunks; chunk++) {
        u32 count = counts[u64(chunk) * DIGITS + threadIdx.x];
        counts[u64(chunk) * DIGITS + threadIdx.x] = at;
        at += count;
    }
}

// The positions of the chunk, each to the place of its digit.
extern "C" __global__ void __launch_bounds__(256) embedding_sort_scatter(u32 v, u32 n, u32 shift, const u32* ids, const u32* order,
                                                                        const u32* begins, u32* sorted) {
    __shared__ uint4 digits[CHUNK / 4];
    load_digits(v, n, shift, ids, order, digits);
    u32 mine = threadIdx.x, to = begins[u64(blockIdx.x) * DIGITS + mine];
    for (u32 i = 0; i < CHUNK / 4; i++) {
        uint4 four = digits[i];
        u32 place = blockIdx.x * CHUNK + i * 4;
        if (four.x == mine) sorted[to++] = position_at(order, place);
        if (four.y == mine) sorted[to++] = position_at(order, place + 1);
        if (four.z == mine) sorted[to++] = position_at(order, place + 2);
        if (four.w == mine) sorted[to++] = position_at(order, place + 3);
    }
}

// Of each row of the table, and of the end, the first place among the sorted positions that has this row or one behind it.
extern "C" __global__ void __launch_bounds__(256)
    embedding_sort_begins(u32 v, u32 n, const u32* ids, const u32* sorted, u32* begins) {
    u64 row = u64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (row > v) return;
    u32 begin = 0, end = n;
    while (begin < end) {
        u32 middle = begin + (end - begin) / 2;
        if (row_of(ids[sorted[middle]], v) < row) begin = middle + 1;
        else end = middle;
    }
    begins[row] = begin;
}
