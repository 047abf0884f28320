//! 2ˣ for the softmax, and the way back to natural logarithms: scores are kept in units of log 2, so that the exponential needs no multiplication by log₂ e
//! and no second half of ln 2. log₂ e is part of the factor that Q is scaled with when it is packed.

use crate::simd::{Simd, math};

/// ln 2 = high + low; the product of high and an exponent of few digits is exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// 2ˣ = 2ⁿ·2ʳ with n the nearest integer and |r| ≤ ½; at most 2 units of rounding off; 0 below −125 and for −∞,
/// NaN for NaN. Not for x above 127.
///
/// The polynomial is the minimax one of relative error 2.6·10⁻⁹ whose value at 0 is exactly 1 (Remez's exchange), so
/// that the largest element of a row has the weight 1, exactly.
#[inline(always)]
pub(in crate::attention) fn exp2<S: Simd>(s: S, x: S::F32) -> S::F32 {
    // Adding 1.5 · 2²³ rounds to an integer, and leaves that integer in the low bits.
    let magic = s.splat(12_582_912.0);
    let shifted = s.add(x, magic);
    let r = s.sub(x, s.sub(shifted, magic));
    let mut p = s.splat(1.559_467_8e-4);
    for c in [1.340_664_3e-3, 9.617_693e-3, 5.550_310_4e-2, 2.402_265_2e-1, 6.931_472_4e-1, 1.0] {
        p = s.mul_add(p, r, s.splat(c));
    }
    // 2ʳ is in [0.7, 1.42], so n may be added to its exponent, down to −125. What comes of a smaller x is not used.
    let scaled = s.from_bits(s.add_u32(s.to_bits(p), s.shl_u32::<23>(s.to_bits(shifted))));
    s.select(s.lt(x, s.splat(-125.0)), s.zero(), scaled)
}

/// max·ln 2 + ln sum, with ln 2 in two parts, lest the change of units costs a rounding of a large maximum.
#[inline(always)]
pub(in crate::attention) fn in_log<S: Simd>(s: S, max: S::F32, sum: S::F32) -> S::F32 {
    let low = s.mul_add(max, s.splat(LN_2_LOW), math::ln(s, sum));
    s.mul_add(max, s.splat(LN_2_HIGH), low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Isa, simd_fn};

    simd_fn! {
        fn all<S>(s: S, x: &[f32], y: &mut [f32]) {
            for (x, y) in x.chunks(S::N).zip(y.chunks_mut(S::N)) {
                s.store_partial(y, exp2(s, s.load_partial(x)));
            }
        }
    }

    #[test]
    fn at_most_two_units_off() {
        let mut x: Vec<f32> = (0..200_001).map(|i| i as f32 * -6.25e-4).collect();
        x.extend((0..4000).map(|i| i as f32 * 0.03));
        for isa in Isa::available() {
            let mut y = vec![0.0; x.len()];
            all(isa, &x, &mut y);
            for (&x, &y) in x.iter().zip(&y) {
                let exact = f64::from(x).exp2();
                let error = (f64::from(y) - exact).abs() / exact;
                assert!(error <= 2.0 * f64::from(f32::EPSILON), "{isa}: 2^{x} is {y}, off by {error:e}");
            }
        }
    }

    #[test]
    fn ends() {
        let x = [0.0, f32::NEG_INFINITY, f32::MIN, -126.0, f32::NAN];
        for isa in Isa::available() {
            let mut y = [2.0; 5];
            all(isa, &x, &mut y);
            assert_eq!(y[..4], [1.0, 0.0, 0.0, 0.0], "{isa}");
            assert!(y[4].is_nan(), "{isa}");
        }
    }
}
