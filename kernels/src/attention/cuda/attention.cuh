// What the kernels of attention share: the problem, which keys a query sees, and the factor of dropout.
//
// A head is numbered b·H + h, a query i and a key j within their sequences. Query i stands at position Tk − Tq + i, which may be
// before the first key.
#pragma once
#include "philox.cuh"

#define NO_WINDOW 0xffffffffu

// The sizes and options, in the order of `Problem::words` (arguments.rs).
struct Problem {
    u32 b, h, h_kv, tq, tk, d;
    u32 causal, window; // 0 or 1; NO_WINDOW where there is none
    float scale;
    u32 threshold; // 0: nothing is dropped
    float keep_scale;
    u32 masked;
    u64 seed, stream;
    u64 mask_b, mask_h, mask_t;
};

// The steps of a tensor [B,H,T,D] in elements; D is contiguous.
struct Strides {
    u64 b, h, t;
};

// A head of the queries, and the key head that it reads.
struct Head {
    u32 b, h, kv;
};

__device__ __forceinline__ Head head_of(const Problem& p, u32 number) {
    u32 h = number % p.h;
    return {number / p.h, h, h / (p.h / p.h_kv)};
}

__device__ __forceinline__ u64 head_offset(const Strides& s, u32 b, u32 h) { return b * s.b + h * s.h; }

// Some keys, or some queries: `first` to `end`, without it.
struct Range {
    u32 first, end;
};

__device__ __forceinline__ u32 clamped(long long x, u32 end) { return x < 0 ? 0 : x > end ? end : u32(x); }

// The keys that the causal rule and the window let query i see. Both ends grow with i.
__device__ __forceinline__ Range keys_of(const Problem& p, u32 i) {
    long long next = (long long)(p.tk) - p.tq + i + 1; // one past the query's own position
    u32 first = p.window == NO_WINDOW ? 0 : clamped(next - p.window, p.tk);
    u32 end = p.causal ? clamped(next, p.tk) : p.tk;
    return {first, end < first ? first : end};
}

// The keys that any of the queries first .. end sees, and those that any may not see lie among them.
__device__ __forceinline__ Range keys_of_queries(const Problem& p, u32 first, u32 end) {
    return {keys_of(p, first).first, keys_of(p, end - 1).end};
}

// The queries that the causal rule and the window let see any of the keys first .. end.
__device__ __forceinline__ Range queries_of_keys(const Problem& p, u32 first, u32 end) {
    long long shift = (long long)(p.tq) - p.tk; // of a position to its query
    u32 from = p.causal ? clamped(first + shift, p.tq) : 0;
    u32 to = p.window == NO_WINDOW ? p.tq : clamped((long long)(end) - 1 + p.window + shift, p.tq);
    return {from, to < from ? from : to};
}

// Where the mask of row (b, h, i) begins.
__device__ __forceinline__ u64 mask_row(const Problem& p, const Head& head, u32 i) {
    return head.b * p.mask_b + head.h * p.mask_h + i * p.mask_t;
}

// Whether query i sees key j, both in range.
__device__ __forceinline__ bool sees(const Problem& p, const Head& head, const float* mask, u32 i, u32 j) {
    Range keys = keys_of(p, i);
    return j >= keys.first && j < keys.end && !(p.masked && mask[mask_row(p, head, i) + j] == 0.0f);
}

// Where row (b, h, i) begins in a contiguous tensor [B,H,Tq].
__device__ __forceinline__ u64 row_index(const Problem& p, const Head& head, u32 i) {
    return (u64(head.b) * p.h + head.h) * p.tq + i;
}

// Whether dropout keeps the probability of (i, j); a row of them begins with a group of 64 elements.
__device__ __forceinline__ bool keeps(const Problem& p, const Head& head, u32 i, u32 j) {
    if (p.threshold == 0) return true;
    u64 element = row_index(p, head, i) * ((u64(p.tk) + 63) / 64 * 64) + j;
    return dropout_keeps(p.seed, p.stream, p.threshold, element);
}

// What dropout multiplies the probability of (i, j) with.
__device__ __forceinline__ float keep_factor(const Problem& p, const Head& head, u32 i, u32 j) {
    return keeps(p, head, i, j) ? p.keep_scale : 0.0f;
}

// Σ and maximum over the 16 lanes that share a row, where a half of a warp has one.
__device__ __forceinline__ float row_sum(float value) {
#pragma unroll
    for (u32 distance = WARP / 4; distance > 0; distance /= 2) value += __shfl_xor_sync(ALL_LANES, value, distance);
    return value;
}

__device__ __forceinline__ float row_max(float value) {
#pragma unroll
    for (u32 distance = WARP / 4; distance > 0; distance /= 2)
        value = fmaxf(value, __shfl_xor_sync(ALL_LANES, value, distance));
    return value;
}

// What is subtracted from a row of scores before the exponential: its maximum, or 0 where all is −∞, for −∞ − (−∞) is NaN.
__device__ __forceinline__ float shift_of(float largest) { return largest == -INF ? 0.0f : largest; }

// exp(s − lse), and 0 where nothing is seen, for which the formula has ∞ − ∞.
__device__ __forceinline__ float probability(float score, float lse) { return score == -INF ? 0.0f : expf(score - lse); }

// Backward: of one number, the score to D∘P and dP to scale · dS.
__device__ __forceinline__ void weigh(const Problem& p, bool visible, float& score, float& dp, float keep, float lse, float delta) {
    float probable = visible ? probability(p.scale * score, lse) : 0.0f;
    score = probable * keep;
    dp = visible ? probable * (keep * dp - delta) * p.scale : 0.0f;
}

// Whether each of the queries i .. i + queries sees each of the keys j .. j + keys, so that nobody has to ask.
__device__ __forceinline__ bool all_visible(const Problem& p, u32 i, u32 queries, u32 j, u32 keys) {
    if (p.masked || i + queries > p.tq || j + keys > p.tk) return false;
    return j >= keys_of(p, i + queries - 1).first && j + keys <= keys_of(p, i).end;
}
