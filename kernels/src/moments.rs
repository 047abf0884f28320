//! Mean and variance of rows whose squares leave the range of the number type.
//!
//! The norms sum up squares, and in `f32` those overflow from elements of 10¹⁹ on and vanish below 10⁻²³. One comparison
//! for each row sees that ([`in_range`]), and such a row is measured again in a unit near its largest element. Rows of
//! usual size pay nothing but the comparison.

use crate::Float;

/// Whether a mean of squares, eps included, is as exact as the type allows: neither infinite or NaN, nor so large or small
/// that squares within it may have overflowed, or vanished and been missed.
#[inline(always)]
pub(crate) fn in_range<E: Float>(mean_square: E) -> bool {
    mean_square >= E::min_positive_value() / E::epsilon() && mean_square <= E::max_value() * E::epsilon()
}

/// μ and 1/√(σ² + eps) of a row of any size.
#[cold]
pub(crate) fn mean_and_rstd<E: Float>(x: &[E], eps: f32) -> (E, E) {
    let (unit, eps) = (unit(x, eps), E::of(f64::from(eps)));
    let mean = mean(x.iter().map(|&x| x / unit));
    let variance = self::mean(x.iter().map(|&x| (x / unit - mean).powi(2)));
    (mean * unit, (variance + eps / unit / unit).sqrt().recip() / unit)
}

/// 1/√(mean(x²) + eps) of a row of any size.
#[cold]
pub(crate) fn rrms<E: Float>(x: &[E], eps: f32) -> E {
    let (unit, eps) = (unit(x, eps), E::of(f64::from(eps)));
    let mean_square = mean(x.iter().map(|&x| (x / unit).powi(2)));
    (mean_square + eps / unit / unit).sqrt().recip() / unit
}

/// The mean, NaN of none.
pub(crate) fn mean<E: Float>(values: impl ExactSizeIterator<Item = E>) -> E {
    let n = E::of(values.len() as f64);
    values.sum::<E>() / n
}

/// A power of two, so that dividing by it does not round, near the larger of |x| and √eps; 1 where that is 0 or infinite.
fn unit<E: Float>(x: &[E], eps: f32) -> E {
    let largest = x.iter().fold(E::of(f64::from(eps).sqrt()), |m, x| m.max(x.abs()));
    let unit = E::of(largest.f64().log2().floor().exp2());
    if unit > E::zero() && unit.is_finite() { unit } else { E::one() }
}
