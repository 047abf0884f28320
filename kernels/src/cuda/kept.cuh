// Rows that a team of threads keeps in its registers: four groups of four elements for each thread, by a warp up to 512 elements, by
// a block up to 4096. All loads of a thread are independent of each other and under way at the same time.
#pragma once
#include "quad.cuh"
#include "team.cuh"

#define QUADS 4u

// Group q of a thread has the elements from first(q) on, and count(q) of them lie in the row.
template <u32 TEAM> __device__ __forceinline__ u32 first(u32 q) { return (q * TEAM + threadIdx.x % TEAM) * 4; }
template <u32 TEAM> __device__ __forceinline__ u32 count(u32 q, u32 n) {
    u32 at = first<TEAM>(q);
    return at < n ? quad_count(at, n) : 0;
}

template <u32 TEAM> __device__ __forceinline__ void load_row(Quad (&row)[QUADS], const float* at, u32 n) {
#pragma unroll
    for (u32 q = 0; q < QUADS; q++) row[q] = load_quad(at + first<TEAM>(q), count<TEAM>(q, n));
}
