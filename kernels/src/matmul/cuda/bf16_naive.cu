// The definition: one thread an element of C, operands rounded to bf16 when they are read, multiplied and added in f32.
//
// It needs no tensor cores and is the specification in CUDA C. Each operand is rounded as often as it is read.
#include "matmul.cuh"
#include "tensor_cores.cuh"

__device__ __forceinline__ float rounded(float x) { return from_bf16(to_bf16(x)); }
__device__ __forceinline__ float rounded(u16 x) { return from_bf16(x); }

template <class T> __device__ void product(Sizes s, const float* a, Strides at, const T* b, Strides bt, float* c, u32 add) {
    u64 index = u64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (index >= u64(s.batch) * s.m * s.n) return;
    u64 j = index % s.n, i = index / s.n % s.m, batch = index / s.n / s.m;
    a += batch * at.batch + i * at.row;
    b += batch * bt.batch + j * bt.col;
    float sum = 0.0f;
    for (u64 p = 0; p < s.k; p++) sum += rounded(a[p * at.col]) * rounded(b[p * bt.row]);
    put(c + index, sum, add);
}

extern "C" __global__ void __launch_bounds__(256) matmul_bf16_naive(PRODUCT) { product<float>(HANDED_ON); }
extern "C" __global__ void __launch_bounds__(256) matmul_bf16_naive_stored(Sizes s, const float* a, Strides at, const u16* b, Strides bt, float* c, u32 add) {
    product<u16>(HANDED_ON);
}
