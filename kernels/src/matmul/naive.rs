//! The definition: c_ij = Σ_p a_ip · b_pj, one dot product after the other.
//!
//! The specification of every other rung, and in `f64` their oracle. It is slow because every addition waits for the one
//! before it, and because each step down a column of B (NN) loads a new cache line for one element.
//! 512×512×512, NN, one thread: 1.6 GFLOP/s, 1% of the peak.

use super::{
    Shape, Strides,
    operands::{Operand, Products},
};
use crate::{Float, Isa};

/// C\[b\] = A\[b\]·B\[b\], or C\[b\] += A\[b\]·B\[b\] with `accumulate`; C is contiguous \[batch, m, n\].
///
/// # Panics
/// Where `a` or `b` is too short for the shape and its strides, or `c` has not batch·m·n elements.
pub fn forward<E: Float>(
    shape: Shape,
    a: &[E],
    a_strides: Strides,
    b: &[E],
    b_strides: Strides,
    c: &mut [E],
    accumulate: bool,
) {
    let (a, b) = (Operand::new(a, a_strides), Operand::new(b, b_strides));
    multiply(Products { shape, a, b, c, add: accumulate });
}

/// [`forward`] of any type.
pub(super) fn multiply<E: Float>(mut products: Products<'_, E>) {
    if !products.begin() {
        return;
    }
    let Products { shape, a, b, c, add } = products;
    for (index, c) in c.iter_mut().enumerate() {
        let (row, j) = (index / shape.n, index % shape.n);
        let (batch, i) = (row / shape.m, row % shape.m);
        let a_row = &a.data[batch * a.strides.batch + i * a.strides.row..];
        let b_column = &b.data[batch * b.strides.batch + j * b.strides.col..];
        let dot = (0..shape.k).map(|p| a_row[p * a.strides.col] * b_column[p * b.strides.row]).sum();
        *c = if add { *c + dot } else { dot };
    }
}

/// [`forward`] as a rung.
pub(super) fn run(_: Isa, products: Products<'_>) {
    multiply(products);
}
