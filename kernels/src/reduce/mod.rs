//! Reductions: many elements to one, over any set of dimensions.
//!
//! The caller sorts the dimensions of x into kept and reduced ones and gives the strides of both. One result is
//!
//! | | | of no elements |
//! | --- | --- | --- |
//! | sum | s = Σⱼ xⱼ; dxⱼ = ds | 0 |
//! | mean | m = s/n; dxⱼ = dm/n | NaN |
//! | max, min | NaN where any is NaN; the gradient goes to the elements that are equal to it | −∞, +∞ |
//! | variance | v = Σⱼ(xⱼ − m)²/max(0, n − correction); dxⱼ = dv·2·(xⱼ − m)/(n − correction) | NaN |
//! | argmax | the first of the largest; NaN counts as the largest | refused |
//!
//! Cost: 1 FLOP and 4 bytes for each element (variance 4 FLOPs): bound by memory as soon as x leaves the cache.
//!
//! A sum of n numbers, one after the other, is off by up to n roundings; the fast rungs sum in blocks of a few thousand
//! with 32 or more partial sums each, and the blocks in `f64`, so that the error does not grow with n (Higham, The
//! accuracy of floating point summation, 1993).

mod columns;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod naive;
mod rows;
mod simd;
#[cfg(test)]
mod tests;

use crate::elementwise::dims::{Dims, size};
use crate::{Isa, Rung};

/// Which reduction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduce {
    /// Their sum.
    Sum,
    /// Their mean.
    Mean,
    /// The largest; NaN where any is.
    Max,
    /// The smallest; NaN where any is.
    Min,
    /// Their mean squared distance from the mean.
    Variance {
        /// Taken from the count that the sum is divided by: 1 for the unbiased estimate of a sample.
        correction: usize,
    },
}

/// A rung of [`reduce`]: instruction set, operation, kept shape and strides, reduced shape and strides, x, y.
pub type ReduceFn = fn(Isa, Reduce, &[usize], &[usize], &[usize], &[usize], &[f32], &mut [f32]);

/// The ladder of [`reduce`].
pub static RUNGS: [Rung<ReduceFn>; 3] = [
    Rung {
        name: "naive",
        idea: "one element after the other",
        run: |_, op, n, p, m, q, x, y| naive::reduce(op, n, p, m, q, x, y),
        simd: false,
    },
    Rung {
        name: "simd",
        idea: "vectors along rows, or across columns, whichever is contiguous; partial sums make it exact as well",
        run: |isa, op, n, p, m, q, x, y| simd::run(isa, false, op, (n, p), (m, q), x, y),
        simd: true,
    },
    Rung {
        name: "threads",
        idea: "the results, or blocks of fixed size of one long row, on all threads",
        run: |isa, op, n, p, m, q, x, y| simd::run(isa, true, op, (n, p), (m, q), x, y),
        simd: true,
    },
];

/// y, contiguous of `kept_shape`, = op over the reduced dimensions of x, which is read at the strides of both.
///
/// # Panics
/// Where y has another size, strides are missing, x is too short for its strides, or there are over
/// [`MAX_DIMS`](crate::elementwise::MAX_DIMS) kept or reduced dimensions.
pub fn reduce(
    op: Reduce,
    kept_shape: &[usize],
    kept_strides: &[usize],
    reduced_shape: &[usize],
    reduced_strides: &[usize],
    x: &[f32],
    y: &mut [f32],
) {
    simd::run(Isa::active(), true, op, (kept_shape, kept_strides), (reduced_shape, reduced_strides), x, y);
}

/// y, contiguous of `kept_shape`, = the index of the largest element, counted in row-major order of `reduced_shape`.
///
/// The first of equal ones; NaN counts as the largest.
///
/// # Panics
/// As [`reduce`], and where there are results but nothing to choose from, or over 2³² elements to choose from.
pub fn argmax(
    kept_shape: &[usize],
    kept_strides: &[usize],
    reduced_shape: &[usize],
    reduced_strides: &[usize],
    x: &[f32],
    y: &mut [u32],
) {
    simd::argmax((kept_shape, kept_strides), (reduced_shape, reduced_strides), x, y);
}

fn assert_argmax(kept_shape: &[usize], reduced_shape: &[usize], y: usize) {
    assert_eq!(y, size(kept_shape), "length of y");
    let n = size(reduced_shape);
    assert!(y == 0 || n > 0, "argmax of no elements: {reduced_shape:?}");
    assert!(n <= 1 << 32, "{n} elements are too many for an index of 32 bits");
}

/// The kept and the reduced dimensions of x, merged.
///
/// # Panics
/// Where x is too short for them.
fn assert_reach(kept: (&[usize], &[usize]), reduced: (&[usize], &[usize]), x: usize) -> (Dims<1>, Dims<1>) {
    let dims = |(shape, strides), len| Dims::new(shape, [strides], [len]);
    if size(kept.0) == 0 || size(reduced.0) == 0 {
        return (dims(kept, usize::MAX), dims(reduced, usize::MAX));
    }
    let (kept, reduced) = (dims(kept, x), dims(reduced, x));
    let reach = kept.reach(0).checked_add(reduced.reach(0) - 1);
    assert!(reach.is_some_and(|reach| reach <= x), "x has {x} elements, too few for its shape and strides");
    (kept, reduced)
}
