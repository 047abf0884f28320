//! Elementwise operations: one result for each element, with no sum over others.
//!
//! | | forward | backward | traffic |
//! | --- | --- | --- | --- |
//! | [`unary()`] | yᵢ = f(xᵢ) | dxᵢ = dyᵢ·f′(xᵢ) | 8 bytes an element forward, 12 backward |
//! | [`binary()`] | yᵢ = f(aᵢ, bᵢ), broadcast by strides of 0 | made of these and of reductions | 12 bytes |
//! | [`select`] | yᵢ = condᵢ ≠ 0 ? aᵢ : bᵢ | the same | 16 bytes |
//! | [`copy()`] | strided to strided | the same | 8 bytes |
//!
//! A new function is an entry in a table of `functions.rs`.
//!
//! All of them are bound by memory on more than a few megabytes: f takes 1 to 50 FLOPs, and a core does 30 in the time
//! that it takes to load one `f32`. So a rung hides its arithmetic behind the traffic, or saves traffic.

mod binary;
mod copy;
#[cfg(feature = "cuda")]
pub mod cuda;
pub(crate) mod dims;
mod functions;
pub mod naive;
#[cfg(test)]
mod tests;
mod unary;

pub use dims::MAX_DIMS;
pub use functions::{Binary, Domain, Saves, Unary};

use crate::{Isa, Rung, simd_fn};
use bytemuck::Pod;
use rayon::prelude::*;

/// A rung of [`unary()`].
pub type UnaryFn = fn(Isa, Unary, &[f32], &mut [f32]);
/// A rung of [`unary_backward`].
pub type UnaryBackwardFn = fn(Isa, Unary, &[f32], &[f32], &mut [f32]);
/// A rung of [`binary()`].
pub type BinaryFn = fn(Isa, Binary, &[usize], &[f32], &[usize], &[f32], &[usize], &mut [f32]);
/// A rung of [`select`].
pub type SelectFn = fn(Isa, &[usize], &[f32], &[usize], &[f32], &[usize], &[f32], &[usize], &mut [f32]);
/// A rung of [`copy()`] on `f32`.
pub type CopyFn = fn(Isa, &[usize], &[f32], &[usize], &mut [f32], &[usize]);

/// The ladder of [`unary()`].
pub static UNARY_RUNGS: [Rung<UnaryFn>; 4] = [
    Rung { name: "naive", idea: NAIVE, run: |_, op, x, y| naive::unary(op, x, y), simd: false },
    Rung { name: "simd", idea: SIMD, run: unary::simd, simd: true },
    Rung { name: "threads", idea: THREADS, run: unary::threads, simd: true },
    Rung { name: "streamed", idea: STREAMED, run: unary::streamed, simd: true },
];

/// The ladder of [`unary_backward`].
pub static UNARY_BACKWARD_RUNGS: [Rung<UnaryBackwardFn>; 4] = [
    Rung {
        name: "naive",
        idea: NAIVE,
        run: |_, op, saved, dy, dx| naive::unary_backward(op, saved, dy, dx),
        simd: false,
    },
    Rung { name: "simd", idea: SIMD, run: unary::simd_backward, simd: true },
    Rung { name: "threads", idea: THREADS, run: unary::threads_backward, simd: true },
    Rung { name: "streamed", idea: STREAMED, run: unary::streamed_backward, simd: true },
];

/// The ladder of [`binary()`].
pub static BINARY_RUNGS: [Rung<BinaryFn>; 4] = [
    Rung {
        name: "naive",
        idea: NAIVE,
        run: |_, op, n, a, p, b, q, y| naive::binary(op, n, a, p, b, q, y),
        simd: false,
    },
    Rung { name: "simd", idea: SIMD_ALONE, run: binary::simd, simd: true },
    Rung { name: "threads", idea: THREADS, run: binary::threads, simd: true },
    Rung { name: "streamed", idea: STREAMED, run: binary::streamed, simd: true },
];

/// The ladder of [`select`].
pub static SELECT_RUNGS: [Rung<SelectFn>; 4] = [
    Rung {
        name: "naive",
        idea: NAIVE,
        run: |_, n, c, o, a, p, b, q, y| naive::select(n, c, o, a, p, b, q, y),
        simd: false,
    },
    Rung { name: "simd", idea: SIMD_ALONE, run: binary::select_simd, simd: true },
    Rung { name: "threads", idea: THREADS, run: binary::select_threads, simd: true },
    Rung { name: "streamed", idea: STREAMED, run: binary::select_streamed, simd: true },
];

/// The ladder of [`copy()`].
pub static COPY_RUNGS: [Rung<CopyFn>; 4] = [
    Rung { name: "naive", idea: NAIVE, run: |_, n, x, p, y, q| naive::copy(n, x, p, y, q), simd: false },
    Rung {
        name: "tiles",
        idea: "whole rows where they lie together, else tiles of 16×16, so that every cache line is used whole",
        run: |_, n, x, p, y, q| copy::tiles(n, x, p, y, q),
        simd: false,
    },
    Rung { name: "threads", idea: THREADS, run: |_, n, x, p, y, q| copy::threads(n, x, p, y, q), simd: false },
    Rung { name: "streamed", idea: STREAMED, run: |_, n, x, p, y, q| copy::streamed(n, x, p, y, q), simd: false },
];

const STREAMED: &str = "an output larger than the caches is written past them, which saves reading its lines first";
const NAIVE: &str = "one element after the other";
const SIMD: &str = "8 or 16 elements at a time; exp, tanh, erf and ln become polynomials on vectors";
const SIMD_ALONE: &str = "8 or 16 elements at a time, along rows into which the strides are merged";
const THREADS: &str =
    "stretches of the output on all threads: twice the load and store slots, and more of the memory bus";

/// y = op(x), elementwise.
///
/// # Panics
/// Where the lengths differ.
pub fn unary(op: Unary, x: &[f32], y: &mut [f32]) {
    unary::streamed(Isa::active(), op, x, y);
}

/// dx = dy·op′, elementwise, from what [`Unary::saves`] names: x, y, or an empty slice for nothing.
///
/// # Panics
/// Where the lengths differ.
pub fn unary_backward(op: Unary, saved: &[f32], dy: &[f32], dx: &mut [f32]) {
    unary::streamed_backward(Isa::active(), op, saved, dy, dx);
}

/// The same where dx takes the place of dy: `d` is dy before and dx after.
///
/// # Panics
/// Where the lengths differ.
pub fn unary_backward_in_place(op: Unary, saved: &[f32], d: &mut [f32]) {
    unary::in_place(Isa::active(), op, saved, d);
}

/// # Panics
/// Where the lengths do not fit.
fn assert_saved(op: Unary, saved: usize, dy: usize, dx: usize) {
    let expected = if op.saves() == Saves::Nothing { 0 } else { dy };
    assert_eq!((saved, dx), (expected, dy), "lengths of (saved, dx) for {op:?}");
}

/// y = op(a, b) over `shape`; y is contiguous, a and b are read at their strides (0 broadcasts).
///
/// # Panics
/// Where y has another size, strides are missing, a or b is too short for its strides, or there are over [`MAX_DIMS`]
/// dimensions.
pub fn binary(
    op: Binary,
    shape: &[usize],
    a: &[f32],
    a_strides: &[usize],
    b: &[f32],
    b_strides: &[usize],
    y: &mut [f32],
) {
    binary::streamed(Isa::active(), op, shape, a, a_strides, b, b_strides, y);
}

/// y = a where cond ≠ 0, b elsewhere, over `shape`; y is contiguous, the others are read at their strides.
///
/// # Panics
/// As [`binary()`].
pub fn select(
    shape: &[usize],
    cond: &[f32],
    cond_strides: &[usize],
    a: &[f32],
    a_strides: &[usize],
    b: &[f32],
    b_strides: &[usize],
    y: &mut [f32],
) {
    binary::select_streamed(Isa::active(), shape, cond, cond_strides, a, a_strides, b, b_strides, y);
}

/// y at `y_strides` = x at `x_strides`, over `shape`.
///
/// # Panics
/// Where x or y is too short for its strides, strides are missing, there are over [`MAX_DIMS`] dimensions, or the
/// output may overlap itself: sorted by stride, each stride must be larger than all that the smaller ones reach.
pub fn copy<T: Pod + Send + Sync>(shape: &[usize], x: &[T], x_strides: &[usize], y: &mut [T], y_strides: &[usize]) {
    copy::streamed(shape, x, x_strides, y, y_strides);
}

simd_fn! {
    fn axpy_loop<S>(s: S, k: f32, x: &[f32], y: &mut [f32]) {
        let factor = s.splat(k);
        let (mut xs, mut ys) = (x.chunks_exact(S::N), y.chunks_exact_mut(S::N));
        for (x, y) in (&mut xs).zip(&mut ys) {
            s.store(y, s.mul_add(factor, s.load(x), s.load(y)));
        }
        let (x, y) = (xs.remainder(), ys.into_remainder());
        s.store_partial(y, s.mul_add(factor, s.load_partial(x), s.load_partial(y)));
    }
}

/// y ← y + k·x
///
/// # Panics
/// Where the lengths differ.
pub fn axpy(k: f32, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "lengths of x and y");
    let (isa, n) = (Isa::active(), crate::parallel::items_per_task(y.len(), 1));
    if n >= y.len() {
        return axpy_loop(isa, k, x, y);
    }
    y.par_chunks_mut(n).zip(x.par_chunks(n)).for_each(|(y, x)| axpy_loop(isa, k, x, y));
}

/// y ← y + x: how gradients of one value add up.
///
/// # Panics
/// Where the lengths differ.
pub fn accumulate(y: &mut [f32], x: &[f32]) {
    axpy(1.0, x, y);
}

simd_fn! {
    fn scale_loop<S>(s: S, k: f32, y: &mut [f32]) {
        for y in y.chunks_mut(S::N) {
            s.store_partial(y, s.mul(s.splat(k), s.load_partial(y)));
        }
    }
}

/// y ← k·y
pub fn scale_in_place(k: f32, y: &mut [f32]) {
    let (isa, n) = (Isa::active(), crate::parallel::items_per_task(y.len(), 1));
    if n >= y.len() {
        return scale_loop(isa, k, y);
    }
    y.par_chunks_mut(n).for_each(|y| scale_loop(isa, k, y));
}
