//! The definition: operands rounded to bf16, widened again, and multiplied as [`matmul::naive`](crate::matmul::naive) does.
//!
//! Rounding touches each element once, the product N or M times, so the time is that of the definition in `f32`.

use crate::matmul::{
    naive::multiply,
    operands::{Operand, Products},
};
use crate::{Bf16Isa, simd::bf16::round};

/// Every element rounded to the nearest bf16, as `f32` again.
pub fn rounded(x: &[f32]) -> Vec<f32> {
    x.iter().map(|&x| round(x).to_f32()).collect()
}

/// The rung: see [`super::forward`].
///
/// # Panics
/// As [`super::forward`].
pub fn run(_: Bf16Isa, products: Products<'_>) {
    let [a, b] = [products.a, products.b].map(|operand| (rounded(operand.data), operand.strides));
    let [a, b] = [&a, &b].map(|(data, strides)| Operand { data: &data[..], strides: *strides });
    multiply(Products { a, b, ..products });
}
