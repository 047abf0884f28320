//! The definition: c_ij = Σ_p a_ip · b_pj, one dot product after the other.
//!
//! The specification of every other rung, and in `f64` their oracle. It is slow because every addition waits for the
//! one before it (the sum is one chain, 3 cycles a link), and because in NN each step down a column of B fetches a
//! new cache line for one element; in TN the columns of both operands are walked down.
//!
//! In the report, 512×512×512: NN 1.6, NT 2.3, TN 1.2 GFLOP/s, 1% of the machine. NT, which reads both operands along
//! their rows, takes 3.2 cycles for a step: the chain and nothing else.

use super::{Shape, Strides, begin};
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
    if !begin(shape, a, a_strides, b, b_strides, c, accumulate) {
        return;
    }
    for (index, c) in c.iter_mut().enumerate() {
        let (row, j) = (index / shape.n, index % shape.n);
        let (batch, i) = (row / shape.m, row % shape.m);
        let a = &a[batch * a_strides.batch + i * a_strides.row..];
        let b = &b[batch * b_strides.batch + j * b_strides.col..];
        let dot = (0..shape.k).map(|p| a[p * a_strides.col] * b[p * b_strides.row]).sum();
        *c = if accumulate { *c + dot } else { dot };
    }
}

/// [`forward`] as a rung.
pub(super) fn run(
    _: Isa,
    shape: Shape,
    a: &[f32],
    a_strides: Strides,
    b: &[f32],
    b_strides: Strides,
    c: &mut [f32],
    accumulate: bool,
) {
    forward(shape, a, a_strides, b, b_strides, c, accumulate);
}
