//! Softmax over the last axis, and its logarithm.
//!
//! For every row x of `c` elements
//!
//! - softmax: yᵢ = exp(xᵢ) / Σⱼ exp(xⱼ), and backwards dxᵢ = yᵢ·(dyᵢ − Σⱼ yⱼ·dyⱼ);
//! - log-softmax: yᵢ = xᵢ − ln Σⱼ exp(xⱼ), and backwards dxᵢ = dyᵢ − exp(yᵢ)·Σⱼ dyⱼ.
//!
//! Both are the same for x and x − max x, and with the maximum taken away no exponential overflows.
//! A row of −∞ alone (everything masked) has no softmax; it gets zeros (its logarithm −∞), so that a masked row of
//! attention adds nothing instead of NaN. A NaN in a row makes the whole row NaN.
//!
//! Cost of `rows` × `c`: an exponential and about 5 other operations an element; 8 bytes of memory traffic an element
//! forward and 12 backward, where a row stays in the cache between the passes.
//!
//! The ladder: [`naive`], [`online`], [`simd`], [`threads`], [`streamed`]. What runs is [`streamed`].
//!
//! Measured (medians in GB/s, each input and output counted once; two cores of a shared Zen 4, AVX-512; a plain copy on
//! two threads reached 22 to 30 in the same runs, at 64 MB):
//!
//! | rows × c, direction | naive | online | simd | threads | stream |
//! | --- | --- | --- | --- | --- | --- |
//! | 16384 × 256 forward | 2.1 | 0.9 | 11 | 34–42 | |
//! | 16384 × 256 backward | 9.4 | | 12–22 | 43–55 | |
//! | 4096 × 4096 forward | 1.8 | 1.3 | 15 | 20–31 | 23–38 |
//! | 4096 × 4096 backward | 7.4 | | 10–15 | 21–27 | 27–36 |
//! | 768 × 128 forward (in the cache) | 2.1 | 1.3 | 17 | 46–56 | |
//!
//! The last two columns are of runs where a copy past the caches made 42 to 48 GB/s and a triad 34 to 43. Since then, in turn
//! with those (medians, ms; neighbours were busy): 16384 × 256 forward 1.33 and 1.09, backward 2.24 and 1.77, which are
//! now past the caches, where a copy took 1.08 and a triad 1.86; 4096 × 4096 forward 5.97 and 5.71 (a copy 4.30). In the
//! caches, µs: 768 × 128 forward 14.1 and 11.9, 3072 × 64 29.7 and 27.6.
//!
//! What bounds the forward pass is arithmetic, until the memory does: 13 to 16 cycles for a vector of 16, as long as two
//! threads need to move 60 to 72 GB/s.

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

const NAIVE: &str = "pass after pass over each row: maximum, exponentials, their sum, division";
const NAIVE_LOG: &str = "pass after pass over each row: maximum, sum of the exponentials, difference";
const NAIVE_BACKWARD: &str = "two passes over each row: the sum of y·dy, the gradient";
const NAIVE_LOG_BACKWARD: &str = "two passes over each row: the sum of dy, the gradient with its exponentials";
const ONLINE: &str = "maximum and sum in one pass: the sum is rescaled when the maximum grows";
const SIMD: &str = "16 or 8 lanes, with a vector exponential of a dozen instructions";
const SIMD_BACKWARD: &str = "16 or 8 lanes; the next row is asked for while one is written";
const STREAMED: &str = "large results are written past the caches, which saves reading what is overwritten";
const THREADS: &str = "chunks of rows on all cores";

/// The rungs of softmax, from the specification upwards.
pub static FORWARD_RUNGS: [Rung<Forward>; 5] = [
    Rung { name: "naive", idea: NAIVE, run: |_, rows, c, x, y| naive::forward(rows, c, x, y), simd: false },
    Rung { name: "online", idea: ONLINE, run: |_, rows, c, x, y| online::forward(rows, c, x, y), simd: false },
    Rung { name: "simd", idea: SIMD, run: simd::forward, simd: true },
    Rung { name: "threads", idea: THREADS, run: threads::forward, simd: true },
    Rung { name: "streamed", idea: STREAMED, run: streamed::forward, simd: true },
];

/// The rungs of softmax's gradient.
pub static BACKWARD_RUNGS: [Rung<Backward>; 4] = [
    Rung {
        name: "naive",
        idea: NAIVE_BACKWARD,
        run: |_, rows, c, y, dy, dx| naive::backward(rows, c, y, dy, dx),
        simd: false,
    },
    Rung { name: "simd", idea: SIMD_BACKWARD, run: simd::backward, simd: true },
    Rung { name: "threads", idea: THREADS, run: threads::backward, simd: true },
    Rung { name: "streamed", idea: STREAMED, run: streamed::backward, simd: true },
];

/// The rungs of log-softmax.
pub static LOG_FORWARD_RUNGS: [Rung<Forward>; 5] = [
    Rung { name: "naive", idea: NAIVE_LOG, run: |_, rows, c, x, y| naive::log_forward(rows, c, x, y), simd: false },
    Rung { name: "online", idea: ONLINE, run: |_, rows, c, x, y| online::log_forward(rows, c, x, y), simd: false },
    Rung { name: "simd", idea: SIMD, run: simd::log_forward, simd: true },
    Rung { name: "threads", idea: THREADS, run: threads::log_forward, simd: true },
    Rung { name: "streamed", idea: STREAMED, run: streamed::log_forward, simd: true },
];

/// The rungs of log-softmax's gradient.
pub static LOG_BACKWARD_RUNGS: [Rung<Backward>; 4] = [
    Rung {
        name: "naive",
        idea: NAIVE_LOG_BACKWARD,
        run: |_, rows, c, y, dy, dx| naive::log_backward(rows, c, y, dy, dx),
        simd: false,
    },
    Rung { name: "simd", idea: SIMD, run: simd::log_backward, simd: true },
    Rung { name: "threads", idea: THREADS, run: threads::log_backward, simd: true },
    Rung { name: "streamed", idea: STREAMED, run: streamed::log_backward, simd: true },
];

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
