//! Vector functions: exp, ln, tanh, erf, sigmoid, and the activations that are made of them.
//!
//! Each is a range reduction, a polynomial of few terms on what is left, and the undoing of the reduction, as in
//! the Cephes library (Moshier, 1992). The polynomials are minimax fits (Remez exchange in 40 digits, rounded to
//! `f32`, or a search on a grid) made for this file. They stop where their error falls under half a unit of
//! rounding, because more terms would only cost time. An activation takes one exponential and one division at most.
//!
//! The errors that functions are documented with are asserted by tests over every 997th of all bit patterns of `f32`, in units
//! in the last place (ulp); what was measured, and the cycles that they take, stand in docs/performance-notes-rungs.md.

use super::{Simd, normal};

/// c₀·tⁿ + … + cₙ by Horner's rule.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(s: S, t: S::F32, coefficients: [f32; N]) -> S::F32 {
    let mut p = s.splat(coefficients[0]);
    for &c in &coefficients[1..] {
        p = s.mul_add(p, t, s.splat(c));
    }
    p
}

/// eˣ, within 2 ulp: 0 below −104, ∞ above 88.73, NaN for NaN.
#[inline(always)]
pub fn exp<S: Simd>(s: S, x: S::F32) -> S::F32 {
    exp_below(s, s.min(s.splat(89.0), x)) // NaN goes through: the second operand of min and max
}

/// eˣ for x ≤ 89, without the check of the upper end.
///
/// x = n·ln 2 + r with n in eighths and |r| ≤ ln 2 / 16, and eˣ = 2ⁿ·eʳ: the fraction of n picks one of eight powers of
/// 2 from a table, its whole part is an exponent.
#[inline(always)]
pub fn exp_below<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let clamped = s.max(s.splat(-104.0), x);
    let (n, eighths) = eighths_of_ln_2(s, clamped);
    let r = remainder(s, clamped, n);
    let power = s.lookup(&EIGHTHS, eighths);
    s.scale_by_pow2(times_exp_small(s, power, r), n)
}

/// eˣ for x ≤ 88, and 0 below −87.3, where it would be denormal: the range of a softmax. Within 2 ulp from −20 to 0, within 5 below.
///
/// 2ⁿ takes no instruction that scales: the whole part of n, shifted to its place, is added to the exponent of the table's power.
#[inline(always)]
pub fn exp_weight<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let clamped = s.max(s.splat(LOWEST), x); // NaN goes through
    let (n, eighths) = eighths_of_ln_2(s, clamped);
    let r =
        if S::FUSED { s.neg_mul_add(n, s.splat(std::f32::consts::LN_2), clamped) } else { remainder(s, clamped, n) };
    let power = s.to_bits(s.lookup(&EIGHTHS_LESS_INDEX, eighths));
    let power = s.from_bits(s.add_u32(power, s.shl_u32::<20>(eighths)));
    times_exp_small(s, power, r)
}

/// −127·ln 2, where the bits of the power are all zero.
const LOWEST: f32 = -88.029_69;

/// x·log₂ e, rounded to eighths; and the bits of a sum whose low bits are the same in units of an eighth.
#[inline(always)]
fn eighths_of_ln_2<S: Simd>(s: S, x: S::F32) -> (S::F32, S::U32) {
    // In 2²⁰ to 2²¹ the unit in the last place is an eighth: adding to such a number rounds.
    let magic = s.splat(1_572_864.0);
    let moved = s.mul_add(x, s.splat(std::f32::consts::LOG2_E), magic);
    (s.sub(moved, magic), s.to_bits(moved))
}

/// x − n·ln 2, with ln 2 in two parts: the first has few bits, so that n times it is exact.
#[inline(always)]
fn remainder<S: Simd>(s: S, x: S::F32, n: S::F32) -> S::F32 {
    s.neg_mul_add(n, s.splat(LN2_LOW), s.neg_mul_add(n, s.splat(LN2_HIGH), x))
}

/// power·eʳ for |r| ≤ ln 2 / 16, to 2.6e-8 before rounding; exactly `power` for r = 0.
///
/// So the largest element of a row of a softmax has the weight 1.
#[inline(always)]
fn times_exp_small<S: Simd>(s: S, power: S::F32, r: S::F32) -> S::F32 {
    let p = s.mul_add(s.splat(0.166_671_54), r, s.splat(0.500_064_7));
    let less_one = s.mul_add(s.mul(r, r), p, r);
    s.mul_add(power, less_one, power)
}

/// 2^(j/8)
const EIGHTHS: [f32; 8] =
    [1.0, 1.090_507_7, 1.189_207_1, 1.296_839_6, std::f32::consts::SQRT_2, 1.542_210_8, 1.681_792_9, 1.834_008_1];

/// The same, where j·2²⁰ is taken from the bits of each, which [`exp_weight`] adds again together with the exponent.
const EIGHTHS_LESS_INDEX: [f32; 8] = {
    let mut less = EIGHTHS;
    let mut j = 0;
    while j < 8 {
        less[j] = f32::from_bits(EIGHTHS[j].to_bits() - ((j as u32) << 20));
        j += 1;
    }
    less
};

const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;

/// ln x, within 2 ulp: x = 2ᵉ·(1 + f) with √½ ≤ 1 + f < √2, and ln x = e·ln 2 + ln(1 + f). −∞ at 0, NaN below, ∞ at ∞.
#[inline(always)]
pub fn ln<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let denormal = s.lt(x, s.splat(f32::MIN_POSITIVE));
    let normal = s.select(denormal, s.mul(x, s.splat(8_388_608.0)), x);
    // With the bits moved by those of √½, a carry into the exponent falls at √2 instead of 2.
    let moved = s.add_u32(s.to_bits(normal), s.splat_u32(0x3f80_0000 - SQRT_HALF_BITS));
    let exponent = s.i32_to_f32(s.sub_u32(s.shr_u32::<23>(moved), s.splat_u32(127)));
    let e = s.sub(exponent, s.select(denormal, s.splat(23.0), s.zero()));
    let mantissa = s.add_u32(s.and_u32(moved, s.splat_u32(0x007f_ffff)), s.splat_u32(SQRT_HALF_BITS));
    let f = s.sub(s.from_bits(mantissa), s.splat(1.0));

    let result = s.select(s.lt(x, s.splat(f32::INFINITY)), ln_of_parts(s, e, f), x); // ∞ and NaN
    let result = s.select(s.lt(x, s.zero()), s.splat(f32::NAN), result);
    s.select(s.eq(x, s.zero()), s.splat(f32::NEG_INFINITY), result)
}

/// e·ln 2 + ln(1 + f) for an integer e and √½ ≤ 1 + f < √2.
#[inline(always)]
fn ln_of_parts<S: Simd>(s: S, e: S::F32, f: S::F32) -> S::F32 {
    let p = polynomial(s, f, LN_TAIL);
    let square = s.mul(f, f);
    let tail = s.mul_add(e, s.splat(LN2_LOW), s.mul(s.mul(square, f), p));
    let tail = s.neg_mul_add(s.splat(0.5), square, tail);
    s.mul_add(e, s.splat(LN2_HIGH), s.add(f, tail))
}

const SQRT_HALF_BITS: u32 = 0x3f35_04f3;
/// (ln(1 + f) − f + ½f²)/f³
const LN_TAIL: [f32; 8] = [
    -7.634_501e-2,
    1.276_157_6e-1,
    -1.316_018e-1,
    1.420_175_7e-1,
    -1.662_335_7e-1,
    2.000_122_7e-1,
    -2.500_082e-1,
    3.333_333e-1,
];

/// tanh x, within 2 ulp: x + x³·P(x²) below 0.625, 1 − 2/(e^{2|x|} + 1) with the sign of x above, so that nothing cancels.
#[inline(always)]
pub fn tanh<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let size = s.abs(x);
    let square = s.mul(x, x);
    let p = polynomial(s, square, [-5.704_987e-3, 2.063_908_8e-2, -5.373_971_5e-2, 1.333_144_2e-1, -3.333_328e-1]);
    let small = s.mul_add(s.mul(size, square), p, size);
    let e = exp(s, s.add(size, size));
    let large = s.sub(s.splat(1.0), s.div(s.splat(2.0), s.add(e, s.splat(1.0))));
    s.copysign(s.select(s.lt(size, s.splat(0.625)), small, large), x)
}

/// erf x, within 2 ulp: x + x·P(x²) below 0.9, 1 − erfc|x| with the sign of x above.
#[inline(always)]
pub fn erf<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let size = s.abs(x);
    let square = s.mul(x, x);
    let small = s.mul_add(size, polynomial(s, square, ERF_SMALL), size);
    let (erfcx, e) = erfcx(s, size);
    let large = s.neg_mul_add(erfcx, e, s.splat(1.0));
    s.copysign(s.select(s.lt(size, s.splat(0.9)), small, large), x)
}

/// erf(x)/x − 1 in x²
const ERF_SMALL: [f32; 6] =
    [-6.090_359_5e-4, 5.011_962_7e-3, -2.677_890_8e-2, 1.128_214_1e-1, -3.761_252_5e-1, 1.283_791_5e-1];

/// (e^{z²}·erfc z, e^{−z²}) for z ≥ 0; the first to 1e-7 of its value up to z = 10, where the second is 0.
///
/// A polynomial in k = 1/(1 + z/2), the form of Abramowitz & Stegun, 7.1.26: k maps [0, ∞) to (0, 1].
#[inline(always)]
fn erfcx<S: Simd>(s: S, z: S::F32) -> (S::F32, S::F32) {
    let k = s.div(s.splat(1.0), s.mul_add(z, s.splat(0.5), s.splat(1.0)));
    (s.mul(k, polynomial(s, k, ERFCX)), exp_below(s, s.neg(s.mul(z, z))))
}

/// erfcx(z)/k in k
const ERFCX: [f32; 9] = [
    -5.909_769_2e-2,
    2.847_154_7e-1,
    -4.874_916_7e-1,
    2.784_019_4e-1,
    -2.685_706_7e-2,
    2.027_851_3e-1,
    2.430_788_3e-1,
    2.823_787_6e-1,
    2.820_862_2e-1,
];

/// (σ(x), σ(x)·(1 − σ(x))) from one e^{−|x|}, which neither overflows nor cancels: with r = 1/(1 + e^{−|x|}), the
/// larger of σ and 1 − σ is r, the smaller r·e^{−|x|}.
#[inline(always)]
fn sigmoid_and_slope<S: Simd>(s: S, x: S::F32) -> (S::F32, S::F32) {
    let e = exp_below(s, s.neg(s.abs(x)));
    let larger = s.div(s.splat(1.0), s.add(s.splat(1.0), e));
    let smaller = s.mul(e, larger);
    (s.select(s.lt(x, s.zero()), smaller, larger), s.mul(smaller, larger))
}

/// σ(x) = 1/(1 + e^{−x}), within 3 ulp, in both tails as well.
#[inline(always)]
pub fn sigmoid<S: Simd>(s: S, x: S::F32) -> S::F32 {
    sigmoid_and_slope(s, x).0
}

/// ln(1 + eˣ) as max(x, 0) + ln(1 + e^{−|x|}), which neither overflows nor cancels; within 2.5 ulp.
///
/// With t = e^{−|x|} ≤ 1, ln(1 + t) is that of f = t below √2, so that a small t keeps all its digits, and ln 2 + ln(1 + f) with
/// f = (t − 1)/2 above.
#[inline(always)]
pub fn softplus<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let t = exp_below(s, s.neg(s.abs(x)));
    let above = s.lt(s.splat(std::f32::consts::SQRT_2 - 1.0), t);
    let f = s.select(above, s.mul_add(t, s.splat(0.5), s.splat(-0.5)), t);
    let e = s.select(above, s.splat(1.0), s.zero());
    s.add(s.max(s.zero(), x), ln_of_parts(s, e, f)) // NaN goes through t
}

/// x·σ(x), as x/(1 + e^{−x}); off by at most 3e-7·max(1, |y|).
#[inline(always)]
pub fn silu<S: Simd>(s: S, x: S::F32) -> S::F32 {
    s.div(x, s.add(s.splat(1.0), exp(s, s.neg(x))))
}

/// d/dx x·σ(x) = σ(x) + x·σ(x)·(1 − σ(x))
#[inline(always)]
pub fn silu_derivative<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let (sigmoid, slope) = sigmoid_and_slope(s, x);
    s.mul_add(x, slope, sigmoid)
}

/// 2·√(2/π) and 0.044715 times that: twice the argument of the tanh in GELU is x·(A + B·x²).
const GELU_A: f32 = 1.595_769_2;
const GELU_B: f32 = 0.071_354_82;

/// ½·x·(1 + tanh u) with u = √(2/π)·(x + 0.044715·x³), as x·σ(2u) = x/(1 + e^{−2u}); off by at most 3e-7·max(1, |y|).
///
/// Hendrycks & Gimpel, Gaussian Error Linear Units (2016), section 2.
#[inline(always)]
pub fn gelu_tanh<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let square = s.mul(x, x);
    let minus_2u = s.mul(x, s.mul_add(square, s.splat(-GELU_B), s.splat(-GELU_A)));
    s.div(x, s.add(s.splat(1.0), exp(s, minus_2u)))
}

/// The derivative of [`gelu_tanh`]: σ(2u) + x·σ(2u)·(1 − σ(2u))·(2u)′.
#[inline(always)]
pub fn gelu_tanh_derivative<S: Simd>(s: S, x: S::F32) -> S::F32 {
    // Kept finite, because where x is large (2u)′ is multiplied with 0.
    let square = s.min(s.splat(1e30), s.mul(x, x));
    let two_u = s.mul(x, s.mul_add(square, s.splat(GELU_B), s.splat(GELU_A)));
    let slope_of_2u = s.mul_add(square, s.splat(3.0 * GELU_B), s.splat(GELU_A));
    let (sigmoid, slope) = sigmoid_and_slope(s, two_u);
    s.mul_add(s.mul(x, slope), slope_of_2u, sigmoid)
}

/// x·Φ(x), with Φ the normal distribution function; within 2.5 ulp above 0, off by at most 1e-7 below.
///
/// Hendrycks & Gimpel, Gaussian Error Linear Units (2016), section 2.
#[inline(always)]
pub fn gelu_erf<S: Simd>(s: S, x: S::F32) -> S::F32 {
    s.mul(x, above_or_below(s, x, normal::tail(s, s.abs(x))))
}

/// d/dx x·Φ(x) = Φ(x) + x·φ(x), with φ(x) = e^{−x²/2}/√(2π); 0 at −∞, 1 at ∞.
#[inline(always)]
pub fn gelu_erf_derivative<S: Simd>(s: S, x: S::F32) -> S::F32 {
    above_or_below(s, x, normal::slope(s, s.abs(x)))
}

/// f(x) from f(−|x|), where f(x) + f(−x) = 1.
#[inline(always)]
fn above_or_below<S: Simd>(s: S, x: S::F32, below: S::F32) -> S::F32 {
    s.select(s.lt(x, s.zero()), below, s.sub(s.splat(1.0), below))
}

/// The sign: 1, −1, or x itself where it is 0 or NaN.
#[inline(always)]
pub fn sign<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let negative = s.select(s.lt(x, s.zero()), s.splat(-1.0), x);
    s.select(s.lt(s.zero(), x), s.splat(1.0), negative)
}

/// aᵇ, one lane after the other: exp(b·ln a) has 24 correct bits only where ln a has 32.
#[inline(always)]
pub fn pow<S: Simd>(s: S, a: S::F32, b: S::F32) -> S::F32 {
    let (mut x, mut y) = ([0.0; 16], [0.0; 16]);
    s.store(&mut x, a);
    s.store(&mut y, b);
    for (x, &y) in x.iter_mut().zip(&y).take(S::N) {
        *x = x.powf(y);
    }
    s.load(&x)
}

/// The larger of each lane, NaN where either is.
#[inline(always)]
pub fn maximum<S: Simd>(s: S, a: S::F32, b: S::F32) -> S::F32 {
    let larger = s.select(s.lt(b, a), a, b); // b where either is NaN
    s.select(s.eq(a, a), larger, a)
}

/// The smaller of each lane, NaN where either is.
#[inline(always)]
pub fn minimum<S: Simd>(s: S, a: S::F32, b: S::F32) -> S::F32 {
    let smaller = s.select(s.lt(a, b), a, b); // b where either is NaN
    s.select(s.eq(a, a), smaller, a)
}

#[cfg(test)]
#[path = "math_tests.rs"]
mod tests;
