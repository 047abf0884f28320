//! The specification: each element asks for itself.
//!
//! Ten rounds of Philox, with two products of 64 bits each, make 128 random bits, and an element takes 16 of them.
//! The seven other elements of the block make it again, so seven eighths of the work is done for nothing. A round
//! needs the one before it, so ten of them are a chain of ten products.
//!
//! In the report, 16384 × 384 elements, p = 0.2: 115 ms, 18 ns an element. The 8 bytes that an element moves would
//! take 0.9 ms in all, by probes of the memory beside it.

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
