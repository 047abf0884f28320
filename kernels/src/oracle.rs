//! How close a fast kernel has to be to the oracle, and values to try it with. For tests and benchmarks.
//!
//! The rule is that of the FlashAttention papers' tests: an implementation may be at most twice as far from the exact
//! result as the plain one in the same precision. The exact result is the naive rung in `f64`.

/// Whether `got` is at most twice as far from `exact` as `plain` is, plus 4 units of rounding of the largest value and 4
/// of the smallest, for no kernel in `f32` may take a denormal number for zero.
///
/// Infinities and NaNs have to stand where they stand in `exact`.
///
/// # Errors
/// A line with the worst element.
pub fn check(got: &[f32], plain: &[f32], exact: &[f64]) -> Result<(), String> {
    assert_eq!((got.len(), plain.len()), (exact.len(), exact.len()), "lengths of the compared outputs");
    let finite = |x: &&f64| x.is_finite();
    let largest = exact.iter().filter(finite).fold(0.0, |m: f64, x| m.max(x.abs()));
    let error = |x: f32, e: f64| if e.is_finite() { (f64::from(x) - e).abs() } else { 0.0 };
    let plain_error = plain.iter().zip(exact).map(|(&x, &e)| error(x, e)).fold(0.0, f64::max);
    let smallest = f64::from(f32::from_bits(1));
    let bound = 2.0 * plain_error + 4.0 * (f64::from(f32::EPSILON) * largest + smallest);
    for (i, (&g, &e)) in got.iter().zip(exact).enumerate() {
        let same_kind =
            if e.is_finite() { g.is_finite() } else { e.is_nan() == g.is_nan() && (e.is_nan() || f64::from(g) == e) };
        if !same_kind || error(g, e) > bound {
            return Err(format!(
                "element {i} is {g:e}, exactly {e:e}; the error may be {bound:e} (naive: {plain_error:e})"
            ));
        }
    }
    Ok(())
}

/// `len` values between −1 and 1, the same for the same seed, from a 64-bit linear congruential generator.
pub fn values(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0x1234_5678_9ABC_DEF1);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// The same values in `f64`.
pub fn widen(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_can_fail() {
        let exact = [1.0, f64::INFINITY, f64::NAN];
        let plain = [1.001, f32::INFINITY, f32::NAN];
        assert!(check(&[1.0019, f32::INFINITY, f32::NAN], &plain, &exact).is_ok());
        assert!(check(&[1.0021, f32::INFINITY, f32::NAN], &plain, &exact).is_err());
        assert!(check(&[1.0, f32::MAX, f32::NAN], &plain, &exact).is_err());
        assert!(check(&[1.0, f32::INFINITY, 0.0], &plain, &exact).is_err());
        assert!(check(&[f32::NAN, f32::INFINITY, f32::NAN], &plain, &exact).is_err());
    }

    #[test]
    fn zero_is_no_denormal_number() {
        assert!(check(&[1e-40], &[1e-40], &[1e-40]).is_ok());
        assert!(check(&[0.0], &[1e-40], &[1e-40]).is_err());
    }
}
