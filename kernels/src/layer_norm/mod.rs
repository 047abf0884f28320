//! Layer norm over the last axis (Ba, Kiros and Hinton, "Layer Normalization", 2016).
//!
//! For every row x of `c` elements, with mean μ, variance σ² (over c, not c − 1) and x̂ = (x − μ)·rstd
//!
//! - rstd = 1/√(σ² + eps), y = x̂·γ + β;
//! - dγ = Σ_rows dy∘x̂, dβ = Σ_rows dy, and with g = dy∘γ
//!   dx = rstd·(g − mean(g) − x̂·mean(g∘x̂)).
//!
//! γ (`gamma`) may be left out and counts as 1, β (`beta`) as 0. The forward pass keeps μ and rstd, two numbers a row;
//! x̂ is made again from x.
//!
//! Cost of `rows` × `c`: about 8 operations an element forward and 14 backward; 8 and 12 bytes of memory traffic.
//!
//! The ladder: [`naive`], [`simd`], [`threads`], [`stream`]; of the norm of a sum: [`residual`].
//!
//! Measured (medians in GB/s, each input and output counted once; two cores of a shared Zen 4, AVX-512; a plain copy of
//! the same size on two threads reached 24 to 40 for all but the last column):
//!
//! | rows × c, direction | naive | simd | threads | stream |
//! | --- | --- | --- | --- | --- |
//! | 16384 × 384 forward | 3.7 | 20 | 27–37 | 43–45 |
//! | 16384 × 384 backward | 2.0 | 11 | 16–20 | 41–52 |
//! | 768 × 128 forward (in the cache) | 4.3 | 20 | 57–68 | |
//! | 768 × 128 backward | 2.3 | 39 | 61–83 | |
//!
//! The last columns are of runs where a copy past the caches made 44 to 47 GB/s and a triad 40 to 43.
//!
//! Backward, the norm is fused with the residual stream that runs past it: with `add`, dx is added to the gradient that
//! the stream has already, one pass over it instead of two. Forward, [`add_forward`] adds and normalises in one pass,
//! which saves reading the sum again, 4 of 20 bytes an element: a fifth of the time where it is far, a sixth in the
//! caches (see [`residual`]).

pub mod naive;
pub mod residual;
pub mod simd;
pub mod stream;
#[cfg(test)]
mod tests;
pub mod threads;

use crate::{Isa, Rung, rows::expect_len};

/// `(isa, rows, c, eps, x, gamma, beta, y, mean, rstd)`
pub type Forward =
    fn(Isa, usize, usize, f32, &[f32], Option<&[f32]>, Option<&[f32]>, &mut [f32], &mut [f32], &mut [f32]);
/// `(isa, rows, c, x, gamma, mean, rstd, dy, dx, add, dgamma, dbeta)`
pub type Backward = fn(
    Isa,
    usize,
    usize,
    &[f32],
    Option<&[f32]>,
    &[f32],
    &[f32],
    &[f32],
    &mut [f32],
    bool,
    Option<&mut [f32]>,
    Option<&mut [f32]>,
);

/// `(isa, rows, c, eps, x, added, gamma, beta, h, y, mean, rstd)`
pub type AddForward = fn(
    Isa,
    usize,
    usize,
    f32,
    &[f32],
    &[f32],
    Option<&[f32]>,
    Option<&[f32]>,
    &mut [f32],
    &mut [f32],
    &mut [f32],
    &mut [f32],
);

const NAIVE: &str = "mean, variance and result in a pass each, as the formula reads";
const SIMD: &str = "16 or 8 lanes; the row stays in the first cache between its passes";
const STREAM: &str = "large results are written past the caches, which saves reading what is overwritten";
const THREADS: &str = "chunks of rows on all cores, each with sums of its own for the parameters' gradients";

/// The rungs of the forward pass.
pub static FORWARD_RUNGS: [Rung<Forward>; 4] = [
    Rung {
        name: "naive",
        idea: NAIVE,
        run: |_, rows, c, eps, x, gamma, beta, y, mean, rstd| {
            naive::forward(rows, c, eps, x, gamma, beta, y, mean, rstd);
        },
        simd: false,
    },
    Rung { name: "simd", idea: SIMD, run: simd::forward, simd: true },
    Rung { name: "threads", idea: THREADS, run: threads::forward, simd: true },
    Rung { name: "stream", idea: STREAM, run: stream::forward, simd: true },
];

/// The rungs of the backward pass.
pub static BACKWARD_RUNGS: [Rung<Backward>; 4] = [
    Rung {
        name: "naive",
        idea: NAIVE,
        run: |_, rows, c, x, gamma, mean, rstd, dy, dx, add, dgamma, dbeta| {
            naive::backward(rows, c, x, gamma, mean, rstd, dy, dx, add, dgamma, dbeta);
        },
        simd: false,
    },
    Rung { name: "simd", idea: SIMD, run: simd::backward, simd: true },
    Rung { name: "threads", idea: THREADS, run: threads::backward, simd: true },
    Rung { name: "stream", idea: STREAM, run: stream::backward, simd: true },
];

/// The rungs of the forward pass of a sum.
pub static ADD_FORWARD_RUNGS: [Rung<AddForward>; 3] = [
    Rung {
        name: "naive",
        idea: NAIVE,
        run: |_, rows, c, eps, x, added, gamma, beta, h, y, mean, rstd| {
            residual::naive(rows, c, eps, x, added, gamma, beta, h, y, mean, rstd);
        },
        simd: false,
    },
    Rung { name: "apart", idea: "the addition, then the norm, each at its best", run: residual::apart, simd: true },
    Rung { name: "fused", idea: "one pass, which saves reading the sum again", run: residual::fused, simd: true },
];

/// Panics unless the matrices are `rows` × `c`, the statistics have `rows` elements and the parameters `c`.
fn expect(rows: usize, c: usize, matrices: &[usize], statistics: &[usize], parameters: &[Option<usize>]) {
    matrices.iter().for_each(|&len| expect_len("x, y, dy or dx", rows, c, len));
    statistics.iter().for_each(|&len| expect_len("mean or rstd", rows, 1, len));
    parameters.iter().flatten().for_each(|&len| expect_len("gamma, beta or a gradient of them", 1, c, len));
}

/// y = (x − μ)·rstd·γ + β for each row; `mean` gets μ and `rstd` 1/√(σ² + eps).
///
/// # Panics
/// Unless `x` and `y` have `rows` · `c` elements, `mean` and `rstd` have `rows`, `gamma` and `beta` have `c`.
///
/// ```
/// let (mut y, mut mean, mut rstd) = ([0.0; 2], [0.0; 1], [0.0; 1]);
/// gradus_kernels::layer_norm::forward(1, 2, 0.0, &[1.0, 3.0], None, None, &mut y, &mut mean, &mut rstd);
/// assert_eq!((y, mean, rstd), ([-1.0, 1.0], [2.0], [1.0]));
/// ```
pub fn forward(
    rows: usize,
    c: usize,
    eps: f32,
    x: &[f32],
    gamma: Option<&[f32]>,
    beta: Option<&[f32]>,
    y: &mut [f32],
    mean: &mut [f32],
    rstd: &mut [f32],
) {
    stream::forward(Isa::active(), rows, c, eps, x, gamma, beta, y, mean, rstd);
}

/// h = x + `added`, and [`forward`] of h.
///
/// # Panics
/// Unless `x`, `added`, `h` and `y` have `rows` · `c` elements, `mean` and `rstd` have `rows`, `gamma` and `beta` have
/// `c`.
///
/// ```
/// let (mut h, mut y, mut mean, mut rstd) = ([0.0; 2], [0.0; 2], [0.0; 1], [0.0; 1]);
/// let (x, added) = ([0.0, 1.0], [1.0, 2.0]);
/// gradus_kernels::layer_norm::add_forward(
///     1, 2, 0.0, &x, &added, None, None, &mut h, &mut y, &mut mean, &mut rstd,
/// );
/// assert_eq!((h, y, mean, rstd), ([1.0, 3.0], [-1.0, 1.0], [2.0], [1.0]));
/// ```
pub fn add_forward(
    rows: usize,
    c: usize,
    eps: f32,
    x: &[f32],
    added: &[f32],
    gamma: Option<&[f32]>,
    beta: Option<&[f32]>,
    h: &mut [f32],
    y: &mut [f32],
    mean: &mut [f32],
    rstd: &mut [f32],
) {
    residual::fused(Isa::active(), rows, c, eps, x, added, gamma, beta, h, y, mean, rstd);
}

/// dx, and where they are asked for dγ and dβ, from dy and what [`forward`] kept. With `add`, dx is added to what stands
/// in it; dγ and dβ are overwritten.
///
/// # Panics
/// Unless `x`, `dy` and `dx` have `rows` · `c` elements, `mean` and `rstd` have `rows`, `gamma`, `dgamma` and `dbeta`
/// have `c`.
pub fn backward(
    rows: usize,
    c: usize,
    x: &[f32],
    gamma: Option<&[f32]>,
    mean: &[f32],
    rstd: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    add: bool,
    dgamma: Option<&mut [f32]>,
    dbeta: Option<&mut [f32]>,
) {
    stream::backward(Isa::active(), rows, c, x, gamma, mean, rstd, dy, dx, add, dgamma, dbeta);
}
