// Counter-based random numbers, the same bits as on the CPU (kernels/src/philox.rs): Philox 4×32-10 (Salmon et al., "Parallel
// random numbers: as easy as 1, 2, 3", SC 2011). The n-th number is a function of (seed, stream, n), so no thread needs a state.
#pragma once
#include "gradus.cuh"

// The four words of counter `counter` of the sequence (seed, stream).
__device__ __forceinline__ uint4 philox_block(u64 seed, u64 stream, u64 counter) {
    u32 c0 = u32(counter), c1 = u32(counter >> 32), c2 = u32(stream), c3 = u32(stream >> 32);
    u32 k0 = u32(seed), k1 = u32(seed >> 32);
#pragma unroll
    for (u32 round = 0; round < 10; round++) {
        u64 p0 = u64(0xd2511f53u) * c0, p1 = u64(0xcd9e8d57u) * c2;
        c0 = u32(p1 >> 32) ^ c1 ^ k0;
        c1 = u32(p1);
        c2 = u32(p0 >> 32) ^ c3 ^ k1;
        c3 = u32(p0);
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
    return make_uint4(c0, c1, c2, c3);
}

// The counter that decides an element: eight of them serve 64 elements (`GROUP` in philox.rs).
__device__ __forceinline__ u64 philox_counter(u64 element) { return element / 64 * 8 + element % 16 / 2; }

// The 16 bits of an element among those of its counter: word ⌊e/16⌋ mod 4, the low half where e is even. So the elements e, e^1
// and e^16, e^32 share a block; a thread that has several of them computes it once.
__device__ __forceinline__ u32 philox_half(const uint4& block, u64 element) {
    u32 number = u32(element / 16 % 4);
    u32 word = number < 2 ? (number == 0 ? block.x : block.y) : (number == 2 ? block.z : block.w);
    return word >> (element % 2 * 16) & 0xffffu;
}

// Whether dropout keeps an element: 16 random bits below the threshold drop it (`Dropout::threshold`).
__device__ __forceinline__ bool dropout_keeps(u64 seed, u64 stream, u32 threshold, u64 element) {
    return philox_half(philox_block(seed, stream, philox_counter(element)), element) >= threshold;
}
