// Tensor cores and asynchronous copies, for compute capability 8.0 and later: the only inline PTX of the project. The emulator
// has a twin of each function (`emulator/cuda/tensor_cores.h`).
//
// A bf16 number is the upper half of an f32. A register of 32 bits holds two of them, the one of the lower index in its lower half.
#pragma once
#include "gradus.cuh"

// x rounded to bf16: to nearest, halves to even. NaN stays NaN, and a denormal number becomes a zero of its sign, as on the CPU
// (`simd::bf16::round`).
__device__ __forceinline__ u16 to_bf16(float x) {
    u32 bits = __float_as_uint(x);
    if ((bits & 0x7f800000u) == 0) return u16(bits >> 16 & 0x8000u);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return u16(bits >> 16 | 0x40u);
    return u16((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

__device__ __forceinline__ float from_bf16(u16 x) { return __uint_as_float(u32(x) << 16); }

// Two numbers, rounded, in one register.
__device__ __forceinline__ u32 to_bf16_pair(float low, float high) { return u32(to_bf16(high)) << 16 | to_bf16(low); }

#ifdef GRADUS_EMULATOR
#include "tensor_cores.h"
#else

// C += A·B on the tensor cores, for all lanes of a warp: A 16×16 by rows, B 16×8 by columns, both bf16, C 16×8 in f32 (PTX ISA,
// mma.m16n8k16). With g = lane / 4 and t = lane % 4, a lane holds
//   a[0] = A[g][2t, 2t+1],      a[1] = A[g+8][2t, 2t+1],
//   a[2] = A[g][2t+8, 2t+9],    a[3] = A[g+8][2t+8, 2t+9],
//   b[0] = B[2t, 2t+1][g],      b[1] = B[2t+8, 2t+9][g],
//   c[0], c[1] = C[g][2t, 2t+1],    c[2], c[3] = C[g+8][2t, 2t+1].
__device__ __forceinline__ void mma_16x8x16(float (&c)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ u32 shared_address(const void* pointer) {
    return static_cast<u32>(__cvta_generic_to_shared(pointer));
}

// Loads four 8×8 matrices of bf16 from shared memory (PTX ISA, ldmatrix): lane i names row i % 8 of matrix i / 8, 16 bytes at a
// multiple of 16, and gets of matrix j the elements [lane / 4][2·(lane % 4), + 1] in r[j].
__device__ __forceinline__ void load_matrices(u32 (&r)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// The same with each matrix transposed: a lane gets the elements [2·(lane % 4), + 1][lane / 4].
__device__ __forceinline__ void load_matrices_transposed(u32 (&r)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// Begins a copy of 16 bytes from global to shared memory, both at multiples of 16. Where `inside` is false nothing is read
// and zeros are written. The copy is done when its group has been waited for, by this thread alone: a barrier shows it to the others.
__device__ __forceinline__ void copy_async_16(void* shared, const void* global, bool inside) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global),
                 "r"(inside ? 16 : 0)
                 : "memory");
}

// Makes a group of the copies that this thread has begun since the last one.
__device__ __forceinline__ void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until all groups of this thread are done but the last PENDING.
template <int PENDING> __device__ __forceinline__ void copy_async_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

#endif
