// The definition, forward: the scores of all heads as matrices [B,H,Tq,Tk] in memory, in three kernels.
//
// Scores: a thread for each (query, key), which reads D numbers of both. Softmax: a thread for each row. Output: a thread for each
// number of O. It is the specification in CUDA C: Tq·Tk numbers a head go to memory and come back twice, and hidden keys are
// computed like the others.
#include "attention.cuh"

__device__ __forceinline__ u64 thread_index() { return u64(blockIdx.x) * blockDim.x + threadIdx.x; }

extern "C" __global__ void __launch_bounds__(256) attention_naive_scores(Problem p, Strides qs, Strides ks, const float* mask, const float* q,
                                                  const float* k, float* s) {
    u64 index = thread_index();
    if (index >= u64(p.b) * p.h * p.tq * p.tk) return;
    u32 j = u32(index % p.tk), i = u32(index / p.tk % p.tq);
    Head head = head_of(p, u32(index / p.tk / p.tq));
    const float* query = q + head_offset(qs, head.b, head.h) + i * qs.t;
    const float* key = k + head_offset(ks, head.b, head.kv) + j * ks.t;
    float sum = 0.0f;
    for (u32 x = 0; x < p.d; x++) sum += query[x] * key[x];
    s[index] = sees(p, head, mask, i, j) ? p.scale * sum : -INF;
}

// S to D∘P, in place, and lse.
extern "C" __global__ void __launch_bounds__(256) attention_naive_softmax(Problem p, float* s, float* lse) {
    u64 row = thread_index();
    if (row >= u64(p.b) * p.h * p.tq) return;
    u32 i = u32(row % p.tq);
    Head head = head_of(p, u32(row / p.tq));
    s += row * p.tk;
    float largest = -INF;
    for (u32 j = 0; j < p.tk; j++) largest = fmaxf(largest, s[j]);
    float shift = shift_of(largest), sum = 0.0f;
    for (u32 j = 0; j < p.tk; j++) sum += expf(s[j] - shift);
    float log_sum = shift + logf(sum);
    for (u32 j = 0; j < p.tk; j++) s[j] = probability(s[j], log_sum) * keep_factor(p, head, i, j);
    lse[row] = log_sum;
}

extern "C" __global__ void __launch_bounds__(256) attention_naive_output(Problem p, Strides vs, Strides os, const float* s, const float* v, float* o) {
    u64 index = thread_index();
    if (index >= u64(p.b) * p.h * p.tq * p.d) return;
    u32 x = u32(index % p.d), i = u32(index / p.d % p.tq);
    u64 row = index / p.d;
    Head head = head_of(p, u32(row / p.tq));
    const float* values = v + head_offset(vs, head.b, head.kv) + x;
    float sum = 0.0f;
    for (u32 j = 0; j < p.tk; j++) sum += s[row * p.tk + j] * values[j * vs.t];
    o[head_offset(os, head.b, head.h) + i * os.t + x] = sum;
}
