//! RMS norm over the last axis (Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019).
//!
//! For every row x of `c` elements, with rrms = 1/√(mean(x²) + eps) and x̂ = x·rrms
//!
//! - y = x̂·γ;
//! - dγ = Σ_rows dy∘x̂, and with g = dy∘γ: dx = rrms·(g − x̂·mean(g∘x̂)).
//!
//! It is layer norm without the mean: one pass less, one parameter less. γ (`gamma`) may be left out and counts as 1.
//! The forward pass keeps rrms, one number a row.
//!
//! Cost of `rows` × `c`: about 5 operations an element forward and 10 backward; 8 and 12 bytes of memory traffic.
//!
//! The ladder: [`naive`], [`simd`], [`threads`], [`stream`].
//!
//! Measured (medians in GB/s, each input and output counted once; two cores of a shared Zen 4, AVX-512): 16384 × 384 forward
//! naive 7.4, simd 15–25, threads 32–40; backward 5.6, 10–22, 22–30. Past the caches, in turn with
//! the rung below (ms, at two times): 0.85 and 1.30 instead of 1.03 and 1.78 forward, 1.59 and 1.74
//! instead of 1.71 and 2.01 backward.

pub mod naive;
pub mod simd;
pub mod stream;
#[cfg(test)]
mod tests;
pub mod threads;

use crate::{Isa, Rung, rows::expect_len};

/// `(isa, rows, c, eps, x, gamma, y, rrms)`
pub type Forward = fn(Isa, usize, usize, f32, &[f32], Option<&[f32]>, &mut [f32], &mut [f32]);
/// `(isa, rows, c, x, gamma, rrms, dy, dx, add, dgamma)`
pub type Backward = fn(Isa, usize, usize, &[f32], Option<&[f32]>, &[f32], &[f32], &mut [f32], bool, Option<&mut [f32]>);

const NAIVE: &str = "mean square and result in a pass each, as the formula reads";
const SIMD: &str = "16 or 8 lanes; the row stays in the first cache between its passes";
const STREAM: &str = "large results are written past the caches, which saves reading what is overwritten";
const THREADS: &str = "chunks of rows on all cores, each with a sum of its own for the parameter's gradient";

/// The rungs of the forward pass.
pub static FORWARD_RUNGS: [Rung<Forward>; 4] = [
    Rung {
        name: "naive",
        idea: NAIVE,
        run: |_, rows, c, eps, x, gamma, y, rrms| naive::forward(rows, c, eps, x, gamma, y, rrms),
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
        run: |_, rows, c, x, gamma, rrms, dy, dx, add, dgamma| {
            naive::backward(rows, c, x, gamma, rrms, dy, dx, add, dgamma)
        },
        simd: false,
    },
    Rung { name: "simd", idea: SIMD, run: simd::backward, simd: true },
    Rung { name: "threads", idea: THREADS, run: threads::backward, simd: true },
    Rung { name: "stream", idea: STREAM, run: stream::backward, simd: true },
];

/// Panics unless the matrices are `rows` × `c`, `rrms` has `rows` elements and the parameters have `c`.
fn expect(rows: usize, c: usize, matrices: &[usize], rrms: usize, parameters: &[Option<usize>]) {
    matrices.iter().for_each(|&len| expect_len("x, y, dy or dx", rows, c, len));
    expect_len("rrms", rows, 1, rrms);
    parameters.iter().flatten().for_each(|&len| expect_len("gamma or its gradient", 1, c, len));
}

/// y = x·rrms·γ for each row; `rrms` gets 1/√(mean(x²) + eps).
///
/// # Panics
/// Unless `x` and `y` have `rows` · `c` elements, `rrms` has `rows` and `gamma` has `c`.
///
/// ```
/// let (mut y, mut rrms) = ([0.0; 2], [0.0; 1]);
/// gradus_kernels::rms_norm::forward(1, 2, 0.0, &[4.0, -4.0], None, &mut y, &mut rrms);
/// assert_eq!((y, rrms), ([1.0, -1.0], [0.25]));
/// ```
pub fn forward(rows: usize, c: usize, eps: f32, x: &[f32], gamma: Option<&[f32]>, y: &mut [f32], rrms: &mut [f32]) {
    stream::forward(Isa::active(), rows, c, eps, x, gamma, y, rrms);
}

/// dx, and where it is asked for dγ, from dy and what [`forward`] kept. With `add`, dx is added to what stands in it; dγ
/// is overwritten.
///
/// # Panics
/// Unless `x`, `dy` and `dx` have `rows` · `c` elements, `rrms` has `rows`, `gamma` and `dgamma` have `c`.
pub fn backward(
    rows: usize,
    c: usize,
    x: &[f32],
    gamma: Option<&[f32]>,
    rrms: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    add: bool,
    dgamma: Option<&mut [f32]>,
) {
    stream::backward(Isa::active(), rows, c, x, gamma, rrms, dy, dx, add, dgamma);
}
