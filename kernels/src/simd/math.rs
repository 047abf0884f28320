//! Vector functions: exp, and what is made of it.
//!
//! Each is a range reduction and a polynomial, after the Cephes library (Moshier, 1992).

use super::Simd;

/// eˣ: x = n·ln 2 + r with |r| ≤ ½·ln 2, and eˣ = 2ⁿ·eʳ. 0 below −104, ∞ above 88.73, NaN for NaN.
#[inline(always)]
pub fn exp<S: Simd>(s: S, x: S::F32) -> S::F32 {
    // Clamped so that n stays in range; NaN goes through (the second operand of min and max).
    let clamped = s.min(s.splat(89.0), s.max(s.splat(-104.0), x));
    let n = s.round_small(s.mul(clamped, s.splat(std::f32::consts::LOG2_E)));
    // ln 2 in two parts: the first has few bits, so that n times it is exact.
    let r = s.neg_mul_add(n, s.splat(0.693_359_4), clamped);
    let r = s.neg_mul_add(n, s.splat(-2.121_944_4e-4), r);
    let mut p = s.splat(1.987_569_1e-4);
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = s.mul_add(p, r, s.splat(c));
    }
    let exp_r = s.add(s.mul_add(p, s.mul(r, r), r), s.splat(1.0));
    s.scale_by_pow2(exp_r, n)
}
