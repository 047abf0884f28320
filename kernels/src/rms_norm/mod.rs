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
//! # How large and how small
//! Rows of elements of up to 10³⁷ are normalised, and their gradients made, as exactly as rows of elements near 1; where eps
//! is 0, also rows down to 10⁻³⁰. Where squares leave the range of `f32`, from 2·10¹⁹ on and, without eps, below 10⁻¹⁵, the row
//! is measured again in a unit of its own. Larger elements have an rrms that `f32` cannot hold. A NaN makes its row NaN; ∞
//! gives 0 in all other places of its row, and NaN in its own. Neither changes another row.
//!
//! The ladder: [`naive`], [`simd`], [`threads`], [`streamed`].
//!
//! Measured (medians in GB/s, each input and output counted once; two cores of a shared Zen 4, AVX-512): 16384 × 384 forward
//! naive 7.4, simd 15–25, threads 32–40; backward 5.6, 10–22, 22–30. Past the caches, in turn with
//! the rung below (ms, at two times): 0.85 and 1.30 instead of 1.03 and 1.78 forward, 1.59 and 1.74
//! instead of 1.71 and 2.01 backward.

pub mod naive;
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
    /// What is added to the mean square, so that a row of zeros has a finite rrms.
    pub eps: f32,
    /// The matrix to normalise, `rows` × `c`.
    pub x: &'a [E],
    /// γ, the scale of each column, `c` elements; 1 where it is left out.
    pub gamma: Option<&'a [E]>,
}

/// What [`forward`] writes.
#[derive(Debug)]
pub struct Output<'a, E = f32> {
    /// The normalised matrix, `rows` × `c`.
    pub y: &'a mut [E],
    /// 1/√(mean(x²) + eps) of each row, `rows` elements; the backward pass needs it.
    pub rrms: &'a mut [E],
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
    /// 1/√(mean(x²) + eps) of each row, as [`forward`] wrote it, `rows` elements.
    pub rrms: &'a [E],
    /// The gradient of y, `rows` × `c`.
    pub dy: &'a [E],
}

/// What [`backward`] writes.
#[derive(Debug)]
pub struct Gradients<'a, E = f32> {
    /// The gradient of x, `rows` × `c`.
    pub dx: &'a mut [E],
    /// Whether the gradient of x is added to what stands in `dx`; that of γ overwrites.
    pub add: bool,
    /// The gradient of γ, `c` elements, if it is wanted.
    pub dgamma: Option<&'a mut [E]>,
}

/// Panics unless the matrices are `rows` × `c`, `rrms` has `rows` elements and the parameters have `c`.
fn expect(rows: usize, c: usize, matrices: &[usize], rrms: usize, parameters: &[Option<usize>]) {
    matrices.iter().for_each(|&len| expect_len("x, y, dy or dx", rows, c, len));
    expect_len("rrms", rows, 1, rrms);
    parameters.iter().flatten().for_each(|&len| expect_len("gamma or its gradient", 1, c, len));
}

impl<E> Input<'_, E> {
    /// Panics where a length is not the one that its field names.
    fn check(&self, output: &Output<'_, E>) {
        let matrices = [self.x.len(), output.y.len()];
        expect(self.rows, self.c, &matrices, output.rrms.len(), &[self.gamma.map(<[E]>::len)]);
    }
}

impl<E> BackwardInput<'_, E> {
    /// Panics where a length is not the one that its field names.
    fn check(&self, gradients: &Gradients<'_, E>) {
        let matrices = [self.x.len(), self.dy.len(), gradients.dx.len()];
        let parameters = [self.gamma, gradients.dgamma.as_deref()].map(|p| p.map(<[E]>::len));
        expect(self.rows, self.c, &matrices, self.rrms.len(), &parameters);
    }
}

/// A rung of [`forward`].
pub type Forward = fn(Isa, Input<'_>, Output<'_>);
/// A rung of [`backward`].
pub type Backward = fn(Isa, BackwardInput<'_>, Gradients<'_>);

const NAIVE: &str = "mean square and result in a pass each, as the formula reads";
const NAIVE_BACKWARD: &str = "one mean of a row, then both gradients an element at a time, as the formula reads";
const SIMD: &str = "16 or 8 lanes; the row stays in the first cache between its passes";
const STREAMED: &str = "large results are written past the caches, which saves reading what is overwritten";
const THREADS: &str = "chunks of rows on all cores";
const THREADS_BACKWARD: &str = "chunks of rows on all cores, each with a sum of its own for the parameter's gradient";

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

/// y = x·rrms·γ for each row, and the statistic rrms = 1/√(mean(x²) + eps).
///
/// # Panics
/// Where a length is not the one that its field names.
///
/// ```
/// use gradus_kernels::rms_norm::{Input, Output, forward};
/// let (mut y, mut rrms) = ([0.0; 2], [0.0; 1]);
/// let input = Input { rows: 1, c: 2, eps: 0.0, x: &[4.0, -4.0], gamma: None };
/// forward(input, Output { y: &mut y, rrms: &mut rrms });
/// assert_eq!((y, rrms), ([1.0, -1.0], [0.25]));
/// ```
pub fn forward(input: Input<'_>, output: Output<'_>) {
    streamed::forward(Isa::active(), input, output);
}

/// dx = rrms·(g − x̂·mean(g∘x̂)) with g = dy∘γ, and if it is wanted dγ = Σ dy∘x̂.
///
/// # Panics
/// Where a length is not the one that its field names.
pub fn backward(input: BackwardInput<'_>, gradients: Gradients<'_>) {
    streamed::backward(Isa::active(), input, gradients);
}
