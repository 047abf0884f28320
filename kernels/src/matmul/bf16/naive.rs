//! The definition: operands rounded to bf16, widened again, and multiplied as ever.
//!
//! Measured: as [`matmul::naive`](crate::matmul::naive), 1 to 2 GFLOP/s.

use crate::matmul::{Shape, Strides, naive};
use crate::{Bf16Isa, simd::bf16::round};

/// Every element rounded to the nearest bf16, as `f32` again.
pub fn rounded(x: &[f32]) -> Vec<f32> {
    x.iter().map(|&x| round(x).to_f32()).collect()
}

/// The rung: see [`super::forward`].
///
/// # Panics
/// As [`super::forward`].
pub fn run(
    _: Bf16Isa,
    shape: Shape,
    a: &[f32],
    a_strides: Strides,
    b: &[f32],
    b_strides: Strides,
    c: &mut [f32],
    accumulate: bool,
) {
    naive::forward(shape, &rounded(a), a_strides, &rounded(b), b_strides, c, accumulate);
}
