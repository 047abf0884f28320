//! The specification: for each result, one element after the other, in `f32` or, as the oracle, in `f64`.
//!
//! A sum is one chain of additions, and each waits 3 cycles for the one before it. Their order is part of the result,
//! so the compiler may not make vectors of them. The offsets of the elements come from a list that is made once,
//! 8 bytes for every 4 of data, but from a cache, and beside the chain they cost nothing: the rows of 16384 × 384 take 0.8 ns
//! an element (Zen 4). The error grows with the number of elements.

use super::Reduce;
use crate::Float;
use crate::elementwise::{dims::size, naive::each};

/// Calls `visit` with the index of each result and the offsets of its elements.
fn for_each_result(
    kept: (&[usize], &[usize]),
    reduced: (&[usize], &[usize]),
    x: usize,
    mut visit: impl FnMut(usize, &mut dyn Iterator<Item = usize>),
) {
    super::assert_reach(kept, reduced, x);
    let mut offsets = Vec::with_capacity(size(reduced.0));
    each(reduced.0, [reduced.1], [usize::MAX], |_, [offset]| offsets.push(offset));
    each(kept.0, [kept.1], [usize::MAX], |i, [start]| visit(i, &mut offsets.iter().map(|offset| start + offset)));
}

/// See [`super::reduce`].
///
/// # Panics
/// As [`super::reduce`].
pub fn reduce<E: Float>(
    op: Reduce,
    kept_shape: &[usize],
    kept_strides: &[usize],
    reduced_shape: &[usize],
    reduced_strides: &[usize],
    x: &[E],
    y: &mut [E],
) {
    assert_eq!(y.len(), size(kept_shape), "length of y");
    let n = size(reduced_shape);
    let count = E::of(n as f64);
    for_each_result((kept_shape, kept_strides), (reduced_shape, reduced_strides), x.len(), |i, offsets| {
        let values = offsets.map(|offset| x[offset]);
        y[i] = match op {
            Reduce::Sum => values.sum(),
            Reduce::Mean => values.sum::<E>() / count,
            Reduce::Max => values.fold(E::neg_infinity(), |m, v| if v > m || v.is_nan() { v } else { m }),
            Reduce::Min => values.fold(E::infinity(), |m, v| if v < m || v.is_nan() { v } else { m }),
            Reduce::Variance { correction } => {
                let values: Vec<E> = values.collect();
                let mean = values.iter().copied().sum::<E>() / count;
                let squares: E = values.iter().map(|&v| (v - mean) * (v - mean)).sum();
                squares / E::of(n.saturating_sub(correction) as f64)
            }
        };
    });
}

/// See [`super::argmax`].
///
/// # Panics
/// As [`super::argmax`].
pub fn argmax<E: Float>(
    kept_shape: &[usize],
    kept_strides: &[usize],
    reduced_shape: &[usize],
    reduced_strides: &[usize],
    x: &[E],
    y: &mut [u32],
) {
    super::assert_argmax(kept_shape, reduced_shape, y.len());
    for_each_result((kept_shape, kept_strides), (reduced_shape, reduced_strides), x.len(), |i, offsets| {
        let mut best = (E::neg_infinity(), 0);
        for (j, v) in offsets.map(|offset| x[offset]).enumerate() {
            if j == 0 || v > best.0 || (v.is_nan() && !best.0.is_nan()) {
                best = (v, j);
            }
        }
        y[i] = best.1 as u32;
    });
}
