//! The specification: each element asks for itself.

use super::{Dropout, expect};
use crate::Float;

/// y = x·keep / (1 − p)
pub fn apply<E: Float>(dropout: Dropout, x: &[E], y: &mut [E]) {
    expect(dropout, x.len(), y.len());
    let scale = E::of(f64::from(dropout.scale()));
    for (i, (y, &x)) in y.iter_mut().zip(x).enumerate() {
        *y = if dropout.keeps(i as u64) { x * scale } else { E::zero() };
    }
}
