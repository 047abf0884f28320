//! The definition: operands rounded to bf16, widened again, and multiplied as ever.
//!
//! Rounding touches each element once, where the product touches it N or M times, so the time is that of
//! [`matmul::naive`](crate::matmul::naive): one chain of additions for each dot product. Bf16 buys nothing here, for
//! the rounded numbers are `f32` in memory and are multiplied as such.
//!
//! In the report: NT 768×128×512 41.9 ms, and 41.8 in `f32`, 2.4 GFLOP/s; TN 512×768×128 77.1 ms, and 74.2.

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
