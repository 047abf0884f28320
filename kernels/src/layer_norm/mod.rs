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
//! # How large and how small
//! Rows of elements of up to 10³⁷ are normalised, and their gradients made, as exactly as rows of elements near 1; where eps
//! is 0, also rows down to 10⁻³⁰. Where squares leave the range of `f32`, from 2·10¹⁹ on and, without eps, below 10⁻¹⁵, the row
//! is measured again in a unit of its own. Larger elements have an rstd or an x − μ that `f32` cannot hold. A row with a NaN
//! or ∞ in it gives NaN, and changes no other.
//!
//! The ladder: [`naive`], [`simd`], [`threads`], [`streamed`]; of the norm of a sum: [`residual`].
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
pub mod streamed;
#[cfg(test)]
mod tests;
pub mod threads;

use crate::{Isa, Rung, rows::expect_len};

/// What [`forward`] reads.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a, E = f32> {
    /// How many rows.
    pub rows: usize,
    /// How many elements a row has.
    pub c: usize,
    /// What is added to the variance, so that a row of equal elements has a finite rstd.
    pub eps: f32,
    /// The matrix to normalise, `rows` × `c`.
    pub x: &'a [E],
    /// γ, the scale of each column, `c` elements; 1 where it is left out.
    pub gamma: Option<&'a [E]>,
    /// β, the shift of each column, `c` elements; 0 where it is left out.
    pub beta: Option<&'a [E]>,
}

/// What [`forward`] writes.
#[derive(Debug)]
pub struct Output<'a, E = f32> {
    /// The normalised matrix, `rows` × `c`.
    pub y: &'a mut [E],
    /// μ of each row, `rows` elements; the backward pass needs it.
    pub mean: &'a mut [E],
    /// 1/√(σ² + eps) of each row, `rows` elements; the backward pass needs it.
    pub rstd: &'a mut [E],
}

/// What [`backward`] reads.
#[derive(Clone, Copy, Debug)]
pub struct BackwardInput<'a, E = f32> {
    /// How many rows.
    pub rows: usize,
    /// How many elements a row has.
    pub c: usize,
    /// The matrix that was normalised, `rows` × `c`.
    pub x: &'a [E],
    /// γ, `c` elements; 1 where it is left out.
    pub gamma: Option<&'a [E]>,
    /// μ of each row, as [`forward`] wrote it, `rows` elements.
    pub mean: &'a [E],
    /// 1/√(σ² + eps) of each row, as [`forward`] wrote it, `rows` elements.
    pub rstd: &'a [E],
    /// The gradient of y, `rows` × `c`.
    pub dy: &'a [E],
}

/// What [`backward`] writes.
#[derive(Debug)]
pub struct Gradients<'a, E = f32> {
    /// The gradient of x, `rows` × `c`.
    pub dx: &'a mut [E],
    /// Whether the gradient of x is added to what stands in `dx`; the others overwrite.
    pub add: bool,
    /// The gradient of γ, `c` elements, if it is wanted.
    pub dgamma: Option<&'a mut [E]>,
    /// The gradient of β, `c` elements, if it is wanted.
    pub dbeta: Option<&'a mut [E]>,
}

/// Panics unless the matrices are `rows` × `c`, the statistics have `rows` elements and the parameters `c`.
fn expect(rows: usize, c: usize, matrices: &[usize], statistics: &[usize], parameters: &[Option<usize>]) {
    matrices.iter().for_each(|&len| expect_len("x, y, dy or dx", rows, c, len));
    statistics.iter().for_each(|&len| expect_len("mean or rstd", rows, 1, len));
    parameters.iter().flatten().for_each(|&len| expect_len("gamma, beta or a gradient of them", 1, c, len));
}

impl<E> Input<'_, E> {
    /// Panics where a length is not the one that its field names.
    fn check(&self, output: &Output<'_, E>) {
        let matrices = [self.x.len(), output.y.len()];
        let parameters = [self.gamma, self.beta].map(|p| p.map(<[E]>::len));
        expect(self.rows, self.c, &matrices, &[output.mean.len(), output.rstd.len()], &parameters);
    }
}

impl<E> BackwardInput<'_, E> {
    /// Panics where a length is not the one that its field names.
    fn check(&self, gradients: &Gradients<'_, E>) {
        let Gradients { dx, dgamma, dbeta, .. } = gradients;
        let matrices = [self.x.len(), self.dy.len(), dx.len()];
        let parameters = [self.gamma, dgamma.as_deref(), dbeta.as_deref()].map(|p| p.map(<[E]>::len));
        expect(self.rows, self.c, &matrices, &[self.mean.len(), self.rstd.len()], &parameters);
    }
}

/// A rung of [`forward`].
pub type Forward = fn(Isa, Input<'_>, Output<'_>);
/// A rung of [`backward`].
pub type Backward = fn(Isa, BackwardInput<'_>, Gradients<'_>);
/// A rung of [`add_forward`]: `(isa, input, added, h, output)`.
pub type AddForward = fn(Isa, Input<'_>, &[f32], &mut [f32], Output<'_>);

const NAIVE: &str = "mean, variance and result in a pass each, as the formula reads";
const NAIVE_BACKWARD: &str = "two means of a row, then all gradients an element at a time, as the formula reads";
const SIMD: &str = "16 or 8 lanes; the row stays in the first cache between its passes";
const STREAMED: &str = "large results are written past the caches, which saves reading what is overwritten";
const THREADS: &str = "chunks of rows on all cores";
const THREADS_BACKWARD: &str = "chunks of rows on all cores, each with sums of its own for the parameters' gradients";

/// The rungs of the forward pass.
pub static FORWARD_RUNGS: [Rung<Forward>; 4] = [
    Rung { name: "naive", idea: NAIVE, run: |_, input, output| naive::forward(input, output), simd: false },
    Rung { name: "simd", idea: SIMD, run: simd::forward, simd: true },
    Rung { name: "threads", idea: THREADS, run: threads::forward, simd: true },
    Rung { name: "streamed", idea: STREAMED, run: streamed::forward, simd: true },
];

/// The rungs of the backward pass.
pub static BACKWARD_RUNGS: [Rung<Backward>; 4] = [
    Rung {
        name: "naive",
        idea: NAIVE_BACKWARD,
        run: |_, input, gradients| naive::backward(input, gradients),
        simd: false,
    },
    Rung { name: "simd", idea: SIMD, run: simd::backward, simd: true },
    Rung { name: "threads", idea: THREADS_BACKWARD, run: threads::backward, simd: true },
    Rung { name: "streamed", idea: STREAMED, run: streamed::backward, simd: true },
];

/// The rungs of the forward pass of a sum.
pub static ADD_FORWARD_RUNGS: [Rung<AddForward>; 3] = [
    Rung {
        name: "naive",
        idea: "the sum, then mean, variance and result in a pass each",
        run: |_, input, added, h, output| residual::naive(input, added, h, output),
        simd: false,
    },
    Rung { name: "apart", idea: "the addition, then the norm, each at its best", run: residual::apart, simd: true },
    Rung { name: "fused", idea: "one pass, which saves reading the sum again", run: residual::fused, simd: true },
];

/// y = (x − μ)·rstd·γ + β for each row, and the statistics μ and rstd = 1/√(σ² + eps).
///
/// # Panics
/// Where a length is not the one that its field names.
///
/// ```
/// use gradus_kernels::layer_norm::{Input, Output, forward};
/// let (mut y, mut mean, mut rstd) = ([0.0; 2], [0.0; 1], [0.0; 1]);
/// let input = Input { rows: 1, c: 2, eps: 0.0, x: &[1.0, 3.0], gamma: None, beta: None };
/// forward(input, Output { y: &mut y, mean: &mut mean, rstd: &mut rstd });
/// assert_eq!((y, mean, rstd), ([-1.0, 1.0], [2.0], [1.0]));
/// ```
pub fn forward(input: Input<'_>, output: Output<'_>) {
    streamed::forward(Isa::active(), input, output);
}

/// h = x + `added`, and [`forward`] of h.
///
/// # Panics
/// Where a length is not the one that its field names; unless `added` and `h` are as long as x.
///
/// ```
/// use gradus_kernels::layer_norm::{Input, Output, add_forward};
/// let (mut h, mut y, mut mean, mut rstd) = ([0.0; 2], [0.0; 2], [0.0; 1], [0.0; 1]);
/// let input = Input { rows: 1, c: 2, eps: 0.0, x: &[0.0, 1.0], gamma: None, beta: None };
/// add_forward(input, &[1.0, 2.0], &mut h, Output { y: &mut y, mean: &mut mean, rstd: &mut rstd });
/// assert_eq!((h, y, mean, rstd), ([1.0, 3.0], [-1.0, 1.0], [2.0], [1.0]));
/// ```
pub fn add_forward(input: Input<'_>, added: &[f32], h: &mut [f32], output: Output<'_>) {
    residual::fused(Isa::active(), input, added, h, output);
}

/// dx = rstd·(g − mean(g) − x̂·mean(g∘x̂)) with g = dy∘γ, and if they are wanted dγ = Σ dy∘x̂ and dβ = Σ dy.
///
/// # Panics
/// Where a length is not the one that its field names.
pub fn backward(input: BackwardInput<'_>, gradients: Gradients<'_>) {
    streamed::backward(Isa::active(), input, gradients);
}
