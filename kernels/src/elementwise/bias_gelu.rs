//! Fused: y = gelu_tanh(x + bias), as in the feed-forward half of a Transformer block.
//!
//! Apart, the sum is written to memory and read again before GELU sees it: 2 of 4 passes over the activations. Fused,
//! x is read once and y written once, and the bias of one row stays in the first-level cache. The gradient of the bias
//! is the sum of dx over the rows, [`crate::reduce::reduce`] over columns.
//!
//! Measured, 16384×1536, 2 threads, AVX-512: 6.3 ms, streamed 5.0, and 9.4 for a sum and GELU one after the other, both
//! streamed; backward 8.7 ms, streamed 7.2.
//!
//! The rung `apart` does the two one after the other, each by its top rung, with the sum in memory that is kept between calls.
//! Two threads of a Granite Rapids, AVX-512, medians in turn of two reports, apart and fused: 14.2 and 8.2 ms; backward 17.0
//! and 10.9. Backward, apart has to make the sum again; of a sum that was kept instead of x, GELU's own backward pass took
//! 10.4 and 10.9 in the same reports, so that fusion saves time in the forward pass alone. Writing past the caches bought
//! nothing there forward (8.2 without it), and backward 11.5 became 10.9.

use super::unary::{self, COST};
use super::{Binary, NAIVE, THREADS, Unary, binary, naive};
use crate::parallel::items_per_task;
use crate::rows::{AHEAD, Access, for_vectors, is_far, prefetch};
use crate::simd::math;
use crate::{Isa, Rung, scratch, simd_fn};
use rayon::prelude::*;

/// A rung of [`bias_gelu()`].
pub type BiasGeluFn = fn(Isa, &[f32], &[f32], &mut [f32]);
/// A rung of [`bias_gelu_backward`].
pub type BiasGeluBackwardFn = fn(Isa, &[f32], &[f32], &[f32], &mut [f32]);

const SIMD: &str = "8 or 16 elements at a time; tanh by an exponential on vectors and a division";
const APART: &str = "the sum, then GELU, each at its best";
const FUSED: &str = "one pass, which saves writing and reading the sum; a large output goes past the caches";

/// The ladder of [`bias_gelu()`].
pub static BIAS_GELU_RUNGS: [Rung<BiasGeluFn>; 5] = [
    Rung { name: "naive", idea: NAIVE, run: |_, x, bias, y| naive::bias_gelu(x, bias, y), simd: false },
    Rung { name: "simd", idea: SIMD, run: simd, simd: true },
    Rung { name: "threads", idea: THREADS, run: threads, simd: true },
    Rung { name: "apart", idea: APART, run: apart, simd: true },
    Rung { name: "streamed", idea: FUSED, run: streamed, simd: true },
];

/// The ladder of [`bias_gelu_backward`].
pub static BIAS_GELU_BACKWARD_RUNGS: [Rung<BiasGeluBackwardFn>; 5] = [
    Rung {
        name: "naive",
        idea: NAIVE,
        run: |_, x, bias, dy, dx| naive::bias_gelu_backward(x, bias, dy, dx),
        simd: false,
    },
    Rung { name: "simd", idea: SIMD, run: simd_backward, simd: true },
    Rung { name: "threads", idea: THREADS, run: threads_backward, simd: true },
    Rung { name: "apart", idea: APART, run: apart_backward, simd: true },
    Rung { name: "streamed", idea: FUSED, run: streamed_backward, simd: true },
];

/// # Panics
/// Where a length is no whole number of rows, or they differ.
pub(super) fn assert_rows(row: usize, lens: &[usize]) {
    assert!(lens.iter().all(|&len| len == lens[0]), "lengths {lens:?} differ");
    assert!(lens[0].is_multiple_of(row), "{} elements are no rows of {row}", lens[0]);
}

simd_fn! {
    fn forward_rows<S>(s: S, far: bool, x: &[f32], bias: &[f32], y: &mut [f32]) {
        let n = bias.len();
        for (x, y) in x.chunks_exact(n).zip(y.chunks_exact_mut(n)) {
            for_vectors!(S, n, |i, at| {
                if far {
                    prefetch(x, i + AHEAD);
                }
                let sum = s.add(at.load(s, &x[i..]), at.load(s, &bias[i..]));
                at.write(s, far, &mut y[i..], math::gelu_tanh(s, sum));
            });
        }
        s.fence();
    }
}

simd_fn! {
    fn backward_rows<S>(s: S, far: bool, x: &[f32], bias: &[f32], dy: &[f32], dx: &mut [f32]) {
        let n = bias.len();
        for ((x, dy), dx) in x.chunks_exact(n).zip(dy.chunks_exact(n)).zip(dx.chunks_exact_mut(n)) {
            for_vectors!(S, n, |i, at| {
                if far {
                    prefetch(x, i + AHEAD);
                    prefetch(dy, i + AHEAD);
                }
                let sum = s.add(at.load(s, &x[i..]), at.load(s, &bias[i..]));
                let slope = math::gelu_tanh_derivative(s, sum);
                at.write(s, far, &mut dx[i..], s.mul(at.load(s, &dy[i..]), slope));
            });
        }
        s.fence();
    }
}

/// The elements of a task: whole rows.
fn elements_per_task(len: usize, row: usize) -> usize {
    items_per_task(len / row.max(1), row * COST) * row
}

/// Vectors, one thread.
pub(super) fn simd(isa: Isa, x: &[f32], bias: &[f32], y: &mut [f32]) {
    assert_rows(bias.len(), &[x.len(), y.len()]);
    if !y.is_empty() {
        forward_rows(isa, false, x, bias, y);
    }
}

/// Vectors, one thread.
pub(super) fn simd_backward(isa: Isa, x: &[f32], bias: &[f32], dy: &[f32], dx: &mut [f32]) {
    assert_rows(bias.len(), &[x.len(), dy.len(), dx.len()]);
    if !dx.is_empty() {
        backward_rows(isa, false, x, bias, dy, dx);
    }
}

/// A task for a few rows; `far`: whether y goes past the caches.
fn forward_with(isa: Isa, far: bool, x: &[f32], bias: &[f32], y: &mut [f32]) {
    let n = elements_per_task(y.len(), bias.len());
    if n >= y.len() {
        return simd(isa, x, bias, y);
    }
    assert_rows(bias.len(), &[x.len(), y.len()]);
    y.par_chunks_mut(n).zip(x.par_chunks(n)).for_each(|(y, x)| forward_rows(isa, far, x, bias, y));
}

/// A task for a few rows; `far`: whether dx goes past the caches.
fn backward_with(isa: Isa, far: bool, x: &[f32], bias: &[f32], dy: &[f32], dx: &mut [f32]) {
    let n = elements_per_task(dx.len(), bias.len());
    if n >= dx.len() {
        return simd_backward(isa, x, bias, dy, dx);
    }
    assert_rows(bias.len(), &[x.len(), dy.len(), dx.len()]);
    let tasks = dx.par_chunks_mut(n).zip(x.par_chunks(n)).zip(dy.par_chunks(n));
    tasks.for_each(|((dx, x), dy)| backward_rows(isa, far, x, bias, dy, dx));
}

/// Vectors on all threads.
pub(super) fn threads(isa: Isa, x: &[f32], bias: &[f32], y: &mut [f32]) {
    forward_with(isa, false, x, bias, y);
}

/// Vectors on all threads.
pub(super) fn threads_backward(isa: Isa, x: &[f32], bias: &[f32], dy: &[f32], dx: &mut [f32]) {
    backward_with(isa, false, x, bias, dy, dx);
}

/// Calls `then` with x + bias, which the top rung of the addition has written to memory.
fn with_sum(isa: Isa, x: &[f32], bias: &[f32], then: impl FnOnce(&[f32])) {
    let c = bias.len();
    scratch::with(x.len(), |sum| {
        binary::streamed(isa, Binary::Add, &[x.len() / c, c], x, &[c, 1], bias, &[0, 1], sum);
        then(sum);
    });
}

/// One operation after the other, each at its best.
fn apart(isa: Isa, x: &[f32], bias: &[f32], y: &mut [f32]) {
    assert_rows(bias.len(), &[x.len(), y.len()]);
    if !y.is_empty() {
        with_sum(isa, x, bias, |sum| unary::streamed(isa, Unary::GeluTanh, sum, y));
    }
}

/// One operation after the other, each at its best.
fn apart_backward(isa: Isa, x: &[f32], bias: &[f32], dy: &[f32], dx: &mut [f32]) {
    assert_rows(bias.len(), &[x.len(), dy.len(), dx.len()]);
    if !dx.is_empty() {
        with_sum(isa, x, bias, |sum| unary::streamed_backward(isa, Unary::GeluTanh, sum, dy, dx));
    }
}

/// Threads, and an output too large for the caches goes past them.
pub(super) fn streamed(isa: Isa, x: &[f32], bias: &[f32], y: &mut [f32]) {
    forward_with(isa, is_far(y.len()), x, bias, y);
}

/// Threads, and an output too large for the caches goes past them.
pub(super) fn streamed_backward(isa: Isa, x: &[f32], bias: &[f32], dy: &[f32], dx: &mut [f32]) {
    backward_with(isa, is_far(dx.len()), x, bias, dy, dx);
}

/// y = gelu_tanh(x + bias) for every row of `bias.len()` elements.
///
/// # Panics
/// Where the lengths differ or are no whole rows.
pub fn bias_gelu(x: &[f32], bias: &[f32], y: &mut [f32]) {
    streamed(Isa::active(), x, bias, y);
}

/// dx = dy·gelu_tanh′(x + bias); the gradient of the bias is the sum of dx over the rows.
///
/// # Panics
/// As [`bias_gelu()`].
pub fn bias_gelu_backward(x: &[f32], bias: &[f32], dy: &[f32], dx: &mut [f32]) {
    streamed_backward(Isa::active(), x, bias, dy, dx);
}
