// The maximum of a row and the sum of its exponentials, in one pass (Milakov and Gimelshein, "Online normalizer calculation for softmax",
// 2018).
#pragma once
#include "quad.cuh"
#include "team.cuh"

// What is subtracted from a row before the exponential: its maximum, or 0 where all is −∞, for −∞ − (−∞) is NaN.
__device__ __forceinline__ float shift_of(float largest) { return largest == -INF ? 0.0f : largest; }

// The maximum of some elements, and the sum of their exponentials once it is subtracted.
struct Online {
    float largest, sum;
};

// Takes in one more element with one exponential: of the larger and the smaller of x and the maximum so far, the larger one has 1.
// −∞ adds nothing. NaN makes the sum NaN, because both comparisons fail.
__device__ __forceinline__ void take(Online& of, float x) {
    if (x == -INF) return;
    float e = expf(-fabsf(x - of.largest));
    if (x > of.largest) {
        of.sum = of.sum * e + 1.0f;
        of.largest = x;
    } else {
        of.sum += e;
    }
}

// Takes in the first `count` of four elements with one exponential each and one for the sum so far, none of which waits for another.
__device__ __forceinline__ void take(Online& of, const Quad& x, u32 count) {
    float largest = of.largest;
#pragma unroll
    for (u32 k = 0; k < 4; k++)
        if (k < count) largest = fmaxf(largest, x.of[k]);
    float shift = shift_of(largest), sum = of.sum * expf(of.largest - shift);
#pragma unroll
    for (u32 k = 0; k < 4; k++)
        if (k < count) sum += expf(x.of[k] - shift);
    of = {largest, sum};
}

// The sum as it is for another maximum that is at least as large. ∞ has no difference to itself: the sum becomes NaN.
__device__ __forceinline__ float rescaled(Online of, float largest) {
    return of.largest == -INF ? of.sum : of.sum * expf(of.largest - largest);
}

// Maximum and sum of all threads of a team.
template <u32 TEAM> __device__ __forceinline__ Online team_online(Online of) {
    float largest = team_max<TEAM>(of.largest);
    return {largest, team_sum<TEAM>(rescaled(of, largest))};
}
