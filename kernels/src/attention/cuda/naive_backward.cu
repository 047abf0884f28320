// The definition, backward: D∘P and dS of all heads as matrices [B,H,Tq,Tk] in memory, and products with them.
//
// Four kernels with a thread for each number that they compute: the two matrices, dQ, and dK with dV. Each owner of a gradient adds in
// a fixed order, the heads of a group one after the other.
#include "attention.cuh"

__device__ __forceinline__ u64 thread_index() { return u64(blockIdx.x) * blockDim.x + threadIdx.x; }

__device__ __forceinline__ float dot(const float* a, const float* b, u32 d) {
    float sum = 0.0f;
    for (u32 x = 0; x < d; x++) sum += a[x] * b[x];
    return sum;
}

// δ of each row, [B,H,Tq].
extern "C" __global__ void __launch_bounds__(256) attention_naive_delta(Problem p, Strides os, Strides gs, const float* o, const float* d_o,
                                                 float* delta) {
    u64 row = thread_index();
    if (row >= u64(p.b) * p.h * p.tq) return;
    u32 i = u32(row % p.tq);
    Head head = head_of(p, u32(row / p.tq));
    delta[row] = dot(d_o + head_offset(gs, head.b, head.h) + i * gs.t, o + head_offset(os, head.b, head.h) + i * os.t, p.d);
}

// D∘P, and scale · dS.
extern "C" __global__ void __launch_bounds__(256) attention_naive_matrices(Problem p, Strides qs, Strides ks, Strides vs, Strides gs,
                                                    const float* mask, const float* q, const float* k, const float* v,
                                                    const float* d_o, const float* lse, const float* delta, float* dropped,
                                                    float* ds) {
    u64 index = thread_index();
    if (index >= u64(p.b) * p.h * p.tq * p.tk) return;
    u32 j = u32(index % p.tk), i = u32(index / p.tk % p.tq);
    u64 row = index / p.tk;
    Head head = head_of(p, u32(row / p.tq));
    dropped[index] = 0.0f;
    ds[index] = 0.0f;
    if (!sees(p, head, mask, i, j)) return;
    const float* key = k + head_offset(ks, head.b, head.kv) + j * ks.t;
    const float* value = v + head_offset(vs, head.b, head.kv) + j * vs.t;
    float score = p.scale * dot(q + head_offset(qs, head.b, head.h) + i * qs.t, key, p.d);
    float probable = probability(score, lse[row]), keep = keep_factor(p, head, i, j);
    float dp = keep * dot(d_o + head_offset(gs, head.b, head.h) + i * gs.t, value, p.d);
    dropped[index] = probable * keep;
    ds[index] = probable * (dp - delta[row]) * p.scale;
}

extern "C" __global__ void __launch_bounds__(256) attention_naive_dq(Problem p, Strides ks, Strides dqs, const float* k, const float* ds, float* dq) {
    u64 index = thread_index();
    if (index >= u64(p.b) * p.h * p.tq * p.d) return;
    u32 x = u32(index % p.d), i = u32(index / p.d % p.tq);
    u64 row = index / p.d;
    Head head = head_of(p, u32(row / p.tq));
    const float* keys = k + head_offset(ks, head.b, head.kv) + x;
    float sum = 0.0f;
    for (u32 j = 0; j < p.tk; j++) sum += ds[row * p.tk + j] * keys[j * ks.t];
    dq[head_offset(dqs, head.b, head.h) + i * dqs.t + x] = sum;
}

extern "C" __global__ void __launch_bounds__(256) attention_naive_dk_dv(Problem p, Strides qs, Strides gs, Strides dks, Strides dvs, const float* q,
                                                 const float* d_o, const float* dropped, const float* ds, float* dk, float* dv) {
    u64 index = thread_index();
    if (index >= u64(p.b) * p.h_kv * p.tk * p.d) return;
    u32 x = u32(index % p.d), j = u32(index / p.d % p.tk);
    u32 kv = u32(index / p.d / p.tk % p.h_kv), b = u32(index / p.d / p.tk / p.h_kv), group = p.h / p.h_kv;
    float dk_sum = 0.0f, dv_sum = 0.0f;
    for (u32 h = kv * group; h < (kv + 1) * group; h++) {
        const float* queries = q + head_offset(qs, b, h) + x;
        const float* gradients = d_o + head_offset(gs, b, h) + x;
        u64 at = (u64(b) * p.h + h) * p.tq * p.tk + j;
        for (u32 i = 0; i < p.tq; i++) {
            dk_sum += ds[at + u64(i) * p.tk] * queries[i * qs.t];
            dv_sum += dropped[at + u64(i) * p.tk] * gradients[i * gs.t];
        }
    }
    dk[head_offset(dks, b, kv) + j * dks.t + x] = dk_sum;
    dv[head_offset(dvs, b, kv) + j * dvs.t + x] = dv_sum;
}
