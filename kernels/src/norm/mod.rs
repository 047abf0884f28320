//! Layer norm and RMS norm over the last axis.
//!
//! For every row x of `c` elements, with its mean μ and x̂ = (x − μ)·rstd, where rstd = 1/√(mean((x − μ)²) + eps):
//!
//! - y = x̂·γ + β;
//! - dγ = Σ_rows dy∘x̂, dβ = Σ_rows dy, and with g = dy∘γ
//!   dx = rstd·(g − mean(g) − x̂·mean(g∘x̂)).
//!
//! This is layer norm (Ba, Kiros and Hinton, "Layer Normalization", 2016). The variance is over c, not c − 1. RMS norm (Zhang
//! and Sennrich, "Root Mean Square Layer Normalization", 2019) does not centre its rows: in the formulas μ, mean(g) and β are
//! 0. That is one pass and one parameter less. Which norm is computed follows from the mean: with a place for it
//! ([`OutputOf::mean`], [`BackwardInputOf::mean`]) it is layer norm, without one RMS norm.
//!
//! γ (`gamma`) may be left out and counts as 1, β (`beta`) as 0. The forward pass keeps μ and rstd, one number a row each; x̂ is
//! computed again from x. Backward, dx may be added to the gradient that is in its memory already, as in a residual stream.
//!
//! Cost of `rows` × `c`: for each element about 8 operations forward and 14 backward (RMS norm 5 and 10), and 8 and 12 bytes of
//! memory traffic.
//!
//! # How large and how small
//! Rows of elements of up to 10³⁷ are normalised, and their gradients computed, as exactly as rows of elements near 1; where
//! eps is 0, also rows down to 10⁻³⁰. Where squares leave the range of `f32`, from 2·10¹⁹ on and, without eps, below 10⁻¹⁵,
//! the row is scaled by a power of two first. Larger elements have an rstd or an x − μ that `f32` cannot hold. A NaN makes its
//! row NaN, and so does ∞ in layer norm. In RMS norm ∞ gives NaN in its own place and 0 in all others of its row. Neither
//! changes another row.
//!
//! The ladder: [`naive`], [`simd`], [`threads`], [`streamed`].

#[cfg(feature = "cuda")]
pub mod cuda;
pub mod naive;
mod out_of_range;
pub mod simd;
pub mod streamed;
#[cfg(test)]
mod tests;
pub mod threads;

use crate::{Isa, Rung, memory::Elements, rows::expect_len};

/// What [`forward`] reads.
#[derive(Clone, Copy, Debug)]
pub struct InputOf<S> {
    /// How many rows.
    pub rows: usize,
    /// How many elements a row has.
    pub c: usize,
    /// What is added to the mean square, so that a row of equal elements has a finite rstd.
    pub eps: f32,
    /// The matrix to normalise, `rows` × `c`.
    pub x: S,
    /// γ, the scale of each column, `c` elements; 1 where it is left out.
    pub gamma: Option<S>,
    /// β, the bias of each column, `c` elements; 0 where it is left out. RMS norm has none.
    pub beta: Option<S>,
}

/// The same in the memory of the CPU.
pub type Input<'a, E = f32> = InputOf<&'a [E]>;

/// What [`forward`] writes.
#[derive(Debug)]
pub struct OutputOf<S> {
    /// The normalised matrix, `rows` × `c`.
    pub y: S,
    /// μ of each row, `rows` elements, for layer norm; none for RMS norm. The backward pass needs it.
    pub mean: Option<S>,
    /// 1/√(mean((x − μ)²) + eps) of each row, `rows` elements. The backward pass needs it.
    pub rstd: S,
}

/// The same in the memory of the CPU.
pub type Output<'a, E = f32> = OutputOf<&'a mut [E]>;

/// What [`backward`] reads.
#[derive(Clone, Copy, Debug)]
pub struct BackwardInputOf<S> {
    /// How many rows.
    pub rows: usize,
    /// How many elements a row has.
    pub c: usize,
    /// The matrix that was normalised, `rows` × `c`.
    pub x: S,
    /// γ, `c` elements; 1 where it is left out.
    pub gamma: Option<S>,
    /// μ of each row, as [`forward`] wrote it, `rows` elements, for layer norm; none for RMS norm.
    pub mean: Option<S>,
    /// rstd of each row, as [`forward`] wrote it, `rows` elements.
    pub rstd: S,
    /// The gradient of y, `rows` × `c`.
    pub dy: S,
}

/// The same in the memory of the CPU.
pub type BackwardInput<'a, E = f32> = BackwardInputOf<&'a [E]>;

/// What [`backward`] writes.
#[derive(Debug)]
pub struct GradientsOf<S> {
    /// The gradient of x, `rows` × `c`.
    pub dx: S,
    /// Whether the gradient of x is added to what `dx` holds; the other gradients are overwritten.
    pub add: bool,
    /// The gradient of γ, `c` elements, if it is wanted.
    pub dgamma: Option<S>,
    /// The gradient of β, `c` elements, if it is wanted. RMS norm has none.
    pub dbeta: Option<S>,
}

/// The same in the memory of the CPU.
pub type Gradients<'a, E = f32> = GradientsOf<&'a mut [E]>;

/// Panics unless the matrices are `rows` × `c`, the statistics have `rows` elements and the parameters `c`.
fn expect(rows: usize, c: usize, matrices: &[usize], statistics: &[usize], parameters: &[Option<usize>]) {
    matrices.iter().for_each(|&len| expect_len("x, y, dy or dx", rows, c, len));
    statistics.iter().for_each(|&len| expect_len("mean or rstd", rows, 1, len));
    parameters.iter().flatten().for_each(|&len| expect_len("gamma, beta or a gradient of them", 1, c, len));
}

impl<S: Elements> InputOf<S> {
    /// Panics where a length is not the one that its field names, and where RMS norm has a β.
    fn check(&self, output: &OutputOf<impl Elements>) {
        let OutputOf { y, mean, rstd } = output;
        let mean = mean.as_ref().map(Elements::count);
        let parameters = [&self.gamma, &self.beta].map(|p| p.as_ref().map(Elements::count));
        let statistics = [mean.unwrap_or(self.rows), rstd.count()];
        expect(self.rows, self.c, &[self.x.count(), y.count()], &statistics, &parameters);
        assert!(mean.is_some() || self.beta.is_none(), "RMS norm has no beta");
    }
}

impl<S: Elements> BackwardInputOf<S> {
    /// Panics where a length is not the one that its field names, and where RMS norm has a dβ.
    fn check(&self, gradients: &GradientsOf<impl Elements>) {
        let GradientsOf { dx, dgamma, dbeta, .. } = gradients;
        let matrices = [self.x.count(), self.dy.count(), dx.count()];
        let statistics = [self.mean.as_ref().map_or(self.rows, Elements::count), self.rstd.count()];
        let [dgamma, dbeta_len] = [dgamma, dbeta].map(|d| d.as_ref().map(Elements::count));
        let parameters = [self.gamma.as_ref().map(Elements::count), dgamma, dbeta_len];
        expect(self.rows, self.c, &matrices, &statistics, &parameters);
        assert!(self.mean.is_some() || dbeta.is_none(), "RMS norm has no beta");
    }
}

/// A rung of [`forward`].
pub type Forward = fn(Isa, Input<'_>, Output<'_>);
/// A rung of [`backward`].
pub type Backward = fn(Isa, BackwardInput<'_>, Gradients<'_>);

const NAIVE: &str = "mean (layer norm alone), mean square and result in a pass each, as the formula reads";
const NAIVE_BACKWARD: &str = "the means of a row, then all gradients an element at a time, as the formula reads";
const SIMD: &str = "16 or 8 lanes; the row stays in the first cache between its passes";
const STREAMED: &str = "large results are written past the caches, which saves reading what is overwritten";
const THREADS: &str = "chunks of rows on all cores";
const THREADS_BACKWARD: &str = "chunks of rows on all cores, each with sums of its own for the parameters' gradients";

/// The rungs of the forward pass, of either norm.
pub static FORWARD_RUNGS: [Rung<Forward>; 4] = [
    Rung { name: "naive", idea: NAIVE, run: |_, input, output| naive::forward(input, output), simd: false },
    Rung { name: "simd", idea: SIMD, run: simd::forward, simd: true },
    Rung { name: "threads", idea: THREADS, run: threads::forward, simd: true },
    Rung { name: "streamed", idea: STREAMED, run: streamed::forward, simd: true },
];

/// The rungs of the backward pass, of either norm.
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

/// y = (x − μ)·rstd·γ + β for each row, with the statistics μ and rstd = 1/√(mean((x − μ)²) + eps): layer norm. Without a place
/// for the mean y = x·rstd·γ with rstd = 1/√(mean(x²) + eps): RMS norm.
///
/// # Panics
/// Where a length is not the one that its field names, and where RMS norm has a β.
///
/// ```
/// use gradus_kernels::norm::{Input, Output, forward};
/// let (mut y, mut mean, mut rstd) = ([0.0; 2], [0.0; 1], [0.0; 1]);
/// let input = Input { rows: 1, c: 2, eps: 0.0, x: &[1.0, 3.0], gamma: None, beta: None };
/// forward(input, Output { y: &mut y, mean: Some(&mut mean), rstd: &mut rstd });
/// assert_eq!((y, mean, rstd), ([-1.0, 1.0], [2.0], [1.0]));
///
/// let input = Input { x: &[4.0, -4.0], ..input };
/// forward(input, Output { y: &mut y, mean: None, rstd: &mut rstd });
/// assert_eq!((y, rstd), ([1.0, -1.0], [0.25]));
/// ```
pub fn forward(input: Input<'_>, output: Output<'_>) {
    streamed::forward(Isa::active(), input, output);
}

/// dx = rstd·(g − mean(g) − x̂·mean(g∘x̂)) with g = dy∘γ, and if they are wanted dγ = Σ dy∘x̂ and dβ = Σ dy. RMS norm, without
/// the means of the rows, has no mean(g).
///
/// # Panics
/// Where a length is not the one that its field names, and where RMS norm has a dβ.
pub fn backward(input: BackwardInput<'_>, gradients: Gradients<'_>) {
    streamed::backward(Isa::active(), input, gradients);
}
