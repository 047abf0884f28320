//! Softmax over the last axis, and its logarithm.
//!
//! For every row x of `c` elements
//!
//! - softmax: yᵢ = exp(xᵢ) / Σⱼ exp(xⱼ), and backwards dxᵢ = yᵢ·(dyᵢ − Σⱼ yⱼ·dyⱼ);
//! - log-softmax: yᵢ = xᵢ − ln Σⱼ exp(xⱼ), and backwards dxᵢ = dyᵢ − exp(yᵢ)·Σⱼ dyⱼ.
//!
//! Both are the same for x and x − max x, and once the maximum is subtracted no exponential overflows.
//! A row of −∞ alone (everything masked) has no softmax; it gets zeros (its logarithm −∞), so that a masked row of
//! attention adds nothing instead of NaN. A NaN in a row makes the whole row NaN.
//!
//! Cost of `rows` × `c`: an exponential and about 5 other operations an element; 8 bytes of memory traffic an element
//! forward and 12 backward, where a row stays in the cache between the passes.
//!
//! The ladder: [`naive`], [`online`], [`simd`], [`threads`], [`streamed`].

#[cfg(feature = "cuda")]
pub mod cuda;
pub mod naive;
pub mod online;
pub mod simd;
pub mod streamed;
#[cfg(test)]
mod tests;
pub mod threads;

use crate::{Isa, Rung, rows::expect_len};

/// `(isa, rows, c, x, y)`
pub type Forward = fn(Isa, usize, usize, &[f32], &mut [f32]);
/// `(isa, rows, c, y, dy, dx)`
pub type Backward = fn(Isa, usize, usize, &[f32], &[f32], &mut [f32]);

const ONLINE: &str = "maximum and sum in one pass: the sum is rescaled when the maximum grows";
const SIMD: &str = "16 or 8 lanes, with a vector exponential of a dozen instructions";
const SIMD_BACKWARD: &str = "16 or 8 lanes; the next row is prefetched while one is written";
const STREAMED: &str = "large results are written past the caches, which saves reading what is overwritten";
const THREADS: &str = "chunks of rows on all cores";

/// The ladder of a forward pass, with the idea of its naive rung.
const fn forward_ladder(idea: &'static str, rungs: [Forward; 5]) -> [Rung<Forward>; 5] {
    let [naive, online, simd, threads, streamed] = rungs;
    [
        Rung { name: "naive", idea, run: naive, simd: false },
        Rung { name: "online", idea: ONLINE, run: online, simd: false },
        Rung { name: "simd", idea: SIMD, run: simd, simd: true },
        Rung { name: "threads", idea: THREADS, run: threads, simd: true },
        Rung { name: "streamed", idea: STREAMED, run: streamed, simd: true },
    ]
}

/// The ladder of a backward pass, with the idea of its naive rung.
const fn backward_ladder(idea: &'static str, rungs: [Backward; 4]) -> [Rung<Backward>; 4] {
    let [naive, simd, threads, streamed] = rungs;
    [
        Rung { name: "naive", idea, run: naive, simd: false },
        Rung { name: "simd", idea: SIMD_BACKWARD, run: simd, simd: true },
        Rung { name: "threads", idea: THREADS, run: threads, simd: true },
        Rung { name: "streamed", idea: STREAMED, run: streamed, simd: true },
    ]
}

/// The rungs of softmax, from the specification upwards.
pub static FORWARD_RUNGS: [Rung<Forward>; 5] = forward_ladder(
    "pass after pass over each row: maximum, exponentials, their sum, division",
    [
        |_, rows, c, x, y| naive::forward(rows, c, x, y),
        |_, rows, c, x, y| online::forward(rows, c, x, y),
        simd::forward,
        threads::forward,
        streamed::forward,
    ],
);

/// The rungs of softmax's gradient.
pub static BACKWARD_RUNGS: [Rung<Backward>; 4] = backward_ladder(
    "two passes over each row: the sum of y·dy, the gradient",
    [
        |_, rows, c, y, dy, dx| naive::backward(rows, c, y, dy, dx),
        simd::backward,
        threads::backward,
        streamed::backward,
    ],
);

/// The rungs of log-softmax.
pub static LOG_FORWARD_RUNGS: [Rung<Forward>; 5] = forward_ladder(
    "pass after pass over each row: maximum, sum of the exponentials, difference",
    [
        |_, rows, c, x, y| naive::log_forward(rows, c, x, y),
        |_, rows, c, x, y| online::log_forward(rows, c, x, y),
        simd::log_forward,
        threads::log_forward,
        streamed::log_forward,
    ],
);

/// The rungs of log-softmax's gradient.
pub static LOG_BACKWARD_RUNGS: [Rung<Backward>; 4] = backward_ladder(
    "two passes over each row: the sum of dy, the gradient with its exponentials",
    [
        |_, rows, c, y, dy, dx| naive::log_backward(rows, c, y, dy, dx),
        simd::log_backward,
        threads::log_backward,
        streamed::log_backward,
    ],
);

fn expect_forward(rows: usize, c: usize, x: usize, y: usize) {
    expect_len("x", rows, c, x);
    expect_len("y", rows, c, y);
}

fn expect_backward(rows: usize, c: usize, y: usize, dy: usize, dx: usize) {
    expect_len("y", rows, c, y);
    expect_len("dy", rows, c, dy);
    expect_len("dx", rows, c, dx);
}

/// y = softmax of each row of x; a row of −∞ alone gives zeros.
///
/// # Panics
/// Unless `x` and `y` have `rows` · `c` elements.
///
/// ```
/// let mut y = [0.0; 4];
/// gradus_kernels::softmax::forward(2, 2, &[0.0, 0.0, 1e4, -1e4], &mut y);
/// assert_eq!(y, [0.5, 0.5, 1.0, 0.0]);
/// ```
pub fn forward(rows: usize, c: usize, x: &[f32], y: &mut [f32]) {
    streamed::forward(Isa::active(), rows, c, x, y);
}

/// dx = y ∘ (dy − Σ y∘dy) of each row, from softmax's output y.
///
/// # Panics
/// Unless `y`, `dy` and `dx` have `rows` · `c` elements.
pub fn backward(rows: usize, c: usize, y: &[f32], dy: &[f32], dx: &mut [f32]) {
    streamed::backward(Isa::active(), rows, c, y, dy, dx);
}

/// y = x − ln Σ exp(x) of each row; a row of −∞ alone stays so.
///
/// # Panics
/// Unless `x` and `y` have `rows` · `c` elements.
pub fn log_forward(rows: usize, c: usize, x: &[f32], y: &mut [f32]) {
    streamed::log_forward(Isa::active(), rows, c, x, y);
}

/// dx = dy − exp(y)·Σ dy of each row, from log-softmax's output y.
///
/// # Panics
/// Unless `y`, `dy` and `dx` have `rows` · `c` elements.
pub fn log_backward(rows: usize, c: usize, y: &[f32], dy: &[f32], dx: &mut [f32]) {
    streamed::log_backward(Isa::active(), rows, c, y, dy, dx);
}
