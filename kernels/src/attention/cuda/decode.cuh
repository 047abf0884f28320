// Decoding: what a warp does for one query, and how what several warps found is put together.
//
// Each lane holds up to N columns of the query and of the output, 32 apart, so that the lanes read neighbouring numbers of a row of the
// cache. There is nothing to share and nothing to keep: 4 FLOPs for 8 bytes, bound by reading the cache. Four keys are on their way at a
// time, because a sum over the lanes takes five shuffles that wait for one another.
#pragma once
#include "attention.cuh"

#define TOGETHER 4u

__device__ __forceinline__ float loaded(const float* at) { return *at; }
// A bf16 number is the upper half of an f32.
__device__ __forceinline__ float loaded(const u16* at) { return __uint_as_float(u32(*at) << 16); }

// The largest score of some keys, the sum of the exponentials, and the values weighted by them.
template <int N> struct Partial {
    float largest, sum, o[N];
};

template <int N> __device__ __forceinline__ Partial<N> nothing() {
    Partial<N> x;
    x.largest = -INF;
    x.sum = 0.0f;
#pragma unroll
    for (int n = 0; n < N; n++) x.o[n] = 0.0f;
    return x;
}

// A row of the cache, from the lane's first column on.
template <class C, int N> __device__ __forceinline__ void load_row(float (&x)[N], const C* row, u32 d) {
#pragma unroll
    for (int n = 0; n < N; n++) x[n] = lane_index() + n * WARP < d ? loaded(row + n * WARP) : 0.0f;
}

template <int N> __device__ __forceinline__ float dot(const float (&a)[N], const float (&b)[N]) {
    float sum = 0.0f;
#pragma unroll
    for (int n = 0; n < N; n++) sum += a[n] * b[n];
    return sum;
}

// What a warp has to know of one query.
template <class C> struct Query {
    Head head;
    u32 i;
    const float *q, *mask;
    const C *k, *v; // of the key head, from the lane's first column on
    u64 k_step, v_step;
};

// The keys first, first + step, … before `end`, TOGETHER of them at each, by one warp; all of them are in the causal rule and the window.
template <class C, int N>
__device__ __forceinline__ Partial<N> attend(const Problem& p, const Query<C>& a, u32 first, u32 end, u32 step) {
    Partial<N> all = nothing<N>();
    float query[N];
    load_row(query, a.q, p.d);
    for (u64 key = first; key < end; key += step) { // 64 bits: a step past the last key may not fit into 32
        float score[TOGETHER], values[TOGETHER][N], largest = all.largest;
#pragma unroll
        for (u32 u = 0; u < TOGETHER; u++) {
            u32 j = u32(key) + u < end ? u32(key) + u : end - 1;
            float row[N];
            load_row(row, a.k + j * a.k_step, p.d);
            load_row(values[u], a.v + j * a.v_step, p.d);
            score[u] = dot(query, row);
        }
#pragma unroll
        for (u32 u = 0; u < TOGETHER; u++) {
            u32 j = u32(key) + u;
            bool visible = j < end && !(p.masked && a.mask[j] == 0.0f);
            float sum = warp_sum(score[u]);
            score[u] = visible ? p.scale * sum : -INF;
            largest = fmaxf(largest, score[u]);
        }
        float shift = shift_of(largest), correction = expf(all.largest - shift);
        all.largest = largest;
        all.sum *= correction;
#pragma unroll
        for (int n = 0; n < N; n++) all.o[n] *= correction;
#pragma unroll
        for (u32 u = 0; u < TOGETHER; u++) {
            if (score[u] == -INF) continue; // hidden, whatever its value is
            float weight = expf(score[u] - shift);
            all.sum += weight;
            weight *= keep_factor(p, a.head, a.i, u32(key) + u);
#pragma unroll
            for (int n = 0; n < N; n++) all.o[n] += weight * values[u][n];
        }
    }
    return all;
}

// Both together; the first one is that of the earlier part.
template <int N> __device__ __forceinline__ void merge(Partial<N>& all, const Partial<N>& other) {
    float largest = fmaxf(all.largest, other.largest), shift = shift_of(largest);
    float mine = expf(all.largest - shift), theirs = expf(other.largest - shift);
    all.largest = largest;
    all.sum = all.sum * mine + other.sum * theirs;
#pragma unroll
    for (int n = 0; n < N; n++) all.o[n] = all.o[n] * mine + other.o[n] * theirs;
}

// O and lse of a query, by one warp.
template <int N> __device__ __forceinline__ void finish(const Problem& p, const Partial<N>& all, float* o, float* lse) {
    float share = all.sum == 0.0f ? 0.0f : 1.0f / all.sum;
#pragma unroll
    for (int n = 0; n < N; n++)
        if (lane_index() + n * WARP < p.d) o[n * WARP] = all.o[n] * share;
    if (lane_index() == 0) *lse = shift_of(all.largest) + logf(all.sum);
}

// The query number `row` of [B,H,Tq].
template <class C>
__device__ __forceinline__ Query<C> query_of(const Problem& p, const Strides& qs, const Strides& ks, const Strides& vs,
                                             const float* mask, const float* q, const C* k, const C* v, u64 row) {
    Head head = head_of(p, u32(row / p.tq));
    u32 i = u32(row % p.tq);
    return {head,
            i,
            q + head_offset(qs, head.b, head.h) + i * qs.t + lane_index(),
            mask + mask_row(p, head, i),
            k + head_offset(ks, head.b, head.kv) + lane_index(),
            v + head_offset(vs, head.b, head.kv) + lane_index(),
            ks.t,
            vs.t};
}

__device__ __forceinline__ float* output_row(const Problem& p, const Strides& os, float* o, u64 row) {
    Head head = head_of(p, u32(row / p.tq));
    return o + head_offset(os, head.b, head.h) + u32(row % p.tq) * os.t + lane_index();
}
