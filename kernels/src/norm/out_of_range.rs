//! The statistics of rows whose squares leave the range of the number type.
//!
//! The norms add up squares, and in `f32` those overflow from elements of 10¹⁹ on and vanish below 10⁻²³. One comparison
//! for each row finds that ([`in_range`]). The statistics of such a row are computed again after a division by a power of two
//! near its largest element. Other rows pay for nothing but the comparison.

use crate::Float;

/// Whether a mean of squares, eps included, is as exact as the type allows: neither infinite or NaN, nor so large or small
/// that squares within it may have overflowed, or vanished and been missed.
#[inline(always)]
pub(super) fn in_range<E: Float>(mean_square: E) -> bool {
    mean_square >= E::min_positive_value() / E::epsilon() && mean_square <= E::max_value() * E::epsilon()
}

/// μ and 1/√(mean((x − μ)²) + eps) of a row of any size; unless it is `centered`, μ is 0.
#[cold]
pub(super) fn mean_and_rstd<E: Float>(centered: bool, x: &[E], eps: f32) -> (E, E) {
    let (unit, eps) = (unit(x, eps), E::of(f64::from(eps)));
    let mu = if centered { mean(x.iter().map(|&x| x / unit)) } else { E::zero() };
    let mean_square = mean(x.iter().map(|&x| (x / unit - mu).powi(2)));
    (mu * unit, (mean_square + eps / unit / unit).sqrt().recip() / unit)
}

/// The mean, NaN of none.
pub(super) fn mean<E: Float>(values: impl ExactSizeIterator<Item = E>) -> E {
    let n = E::of(values.len() as f64);
    values.sum::<E>() / n
}

/// A power of two, so that dividing by it does not round, near the larger of |x| and √eps; 1 where that is 0 or infinite.
fn unit<E: Float>(x: &[E], eps: f32) -> E {
    let largest = x.iter().fold(E::of(f64::from(eps).sqrt()), |m, x| m.max(x.abs()));
    let unit = E::of(largest.f64().log2().floor().exp2());
    if unit > E::zero() && unit.is_finite() { unit } else { E::one() }
}
