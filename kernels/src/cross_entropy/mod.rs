//! Cross-entropy from logits: softmax, logarithm and the choice of the target in one operation.
//!
//! For row r with logits x of V classes, target t, smoothing ε and L = ln Σⱼ exp(xⱼ)
//!
//! - loss_r = (1 − ε)·(L − x_t) + ε/V·Σⱼ (L − xⱼ), the cross-entropy against (1 − ε)·onehot(t) + ε/V
//!   (Szegedy et al., "Rethinking the Inception Architecture", 2016, section 7);
//! - the result is the mean over the rows whose target is not `ignore_index`, NaN where there is none (as PyTorch);
//! - backwards dxⱼ = d_loss / count · (exp(xⱼ − L) − (1 − ε)·[j = t] − ε/V), zero in ignored rows.
//!
//! The probabilities are never stored: L alone is kept, and the backward pass computes them again from the logits.
//!
//! Cost of `rows` × V: an exponential an element each way; 4 bytes of traffic an element forward and 8 backward,
//! against 12 and 24 for softmax, logarithm and choice one after the other.
//!
//! The ladder: [`naive`], [`simd`], [`apart`], [`threads`].

pub mod apart;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod naive;
pub mod simd;
#[cfg(test)]
mod tests;
pub mod threads;

use crate::{Isa, Rung, memory::Elements, rows::expect_len};

/// Which rows count, and how much the targets are smoothed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Options {
    /// Rows with this target have no loss and no gradient, and the mean does not count them.
    pub ignore_index: Option<u32>,
    /// ε: the share of the target's probability that is spread over all classes, in [0, 1].
    pub label_smoothing: f32,
}

impl Options {
    fn ignores(&self, target: u32) -> bool {
        self.ignore_index == Some(target)
    }

    /// How many rows count. Without branches, so that the compiler makes vectors of it: all other threads wait for it.
    fn counted(&self, v: usize, targets: &[u32]) -> usize {
        let ignored = |t: u32| u32::from(self.ignores(t));
        let count = targets.len() - targets.iter().map(|&t| ignored(t) as usize).sum::<usize>();
        let largest = targets.iter().fold(0, |m, &t| m.max(t * (1 - ignored(t))));
        assert!(count == 0 || (largest as usize) < v, "target {largest} of {v} classes");
        count
    }
}

/// What [`forward`] reads.
#[derive(Clone, Copy, Debug)]
pub struct InputOf<S, T> {
    /// How many rows.
    pub rows: usize,
    /// V: how many classes, which is how many logits a row has.
    pub v: usize,
    /// Which rows count, and how much the targets are smoothed.
    pub options: Options,
    /// The logits, `rows` × `v`.
    pub logits: S,
    /// The class of each row, below `v` or ignored, `rows` elements.
    pub targets: T,
}

/// The same in the memory of the CPU.
pub type Input<'a, E = f32> = InputOf<&'a [E], &'a [u32]>;

/// What [`forward`] writes, beside the mean that it returns.
#[derive(Debug)]
pub struct OutputOf<S> {
    /// The loss of each row, 0 where it is ignored, `rows` elements.
    pub losses: S,
    /// L, the log-sum-exp of the logits of each row, `rows` elements; the backward pass needs it.
    pub lse: S,
}

/// The same in the memory of the CPU.
pub type Output<'a, E = f32> = OutputOf<&'a mut [E]>;

/// What [`backward`] reads.
#[derive(Clone, Copy, Debug)]
pub struct BackwardInputOf<S, T> {
    /// How many rows.
    pub rows: usize,
    /// V: how many classes, which is how many logits a row has.
    pub v: usize,
    /// Those of the forward pass.
    pub options: Options,
    /// The logits, `rows` × `v`.
    pub logits: S,
    /// The class of each row, below `v` or ignored, `rows` elements.
    pub targets: T,
    /// L of each row, as [`forward`] wrote it, `rows` elements.
    pub lse: S,
    /// The gradient of the mean loss, one element.
    pub d_loss: S,
}

/// The same in the memory of the CPU.
pub type BackwardInput<'a, E = f32> = BackwardInputOf<&'a [E], &'a [u32]>;

/// Panics unless the lengths and the smoothing are what they should be.
fn expect(rows: usize, v: usize, options: Options, logits: usize, targets: usize, per_row: &[usize]) {
    expect_len("logits", rows, v, logits);
    expect_len("targets", rows, 1, targets);
    per_row.iter().for_each(|&len| expect_len("losses or log-sum-exp", rows, 1, len));
    assert!((0.0..=1.0).contains(&options.label_smoothing), "label smoothing {}", options.label_smoothing);
}

impl<S: Elements, T: Elements> InputOf<S, T> {
    /// Panics unless the lengths and options are as their fields say.
    fn check_lengths<M: Elements>(&self, output: &OutputOf<M>) {
        let per_row = [output.losses.count(), output.lse.count()];
        expect(self.rows, self.v, self.options, self.logits.count(), self.targets.count(), &per_row);
    }
}

impl<E> Input<'_, E> {
    /// Panics unless the lengths, targets and options are as their fields say; how many rows count.
    fn check(&self, output: &Output<'_, E>) -> usize {
        self.check_lengths(output);
        self.options.counted(self.v, self.targets)
    }
}

impl<S: Elements, T: Elements> BackwardInputOf<S, T> {
    /// Panics unless the lengths and options are as their fields say, and `dlogits` is `rows` × `v`.
    fn check_lengths(&self, dlogits: usize) {
        let BackwardInputOf { rows, v, options, .. } = *self;
        expect(rows, v, options, self.logits.count(), self.targets.count(), &[self.lse.count()]);
        expect_len("dlogits", rows, v, dlogits);
        expect_len("the gradient of the loss", 1, 1, self.d_loss.count());
    }
}

impl<E> BackwardInput<'_, E> {
    /// Panics unless the lengths, targets and options are as their fields say, and `dlogits` is `rows` × `v`; how many
    /// rows count.
    fn check(&self, dlogits: &[E]) -> usize {
        self.check_lengths(dlogits.len());
        self.options.counted(self.v, self.targets)
    }
}

/// A rung of [`forward`].
pub type Forward = fn(Isa, Input<'_>, Output<'_>) -> f32;
/// A rung of [`backward`]: `(isa, input, dlogits)`.
pub type Backward = fn(Isa, BackwardInput<'_>, &mut [f32]);

const NAIVE: &str = "row by row, as the formula reads";
const SIMD: &str =
    "16 or 8 lanes, with a vector exponential; vectors go on from row to row, masked where two share one";
const APART: &str = "log-softmax into memory, then the choice of the target, each at its best on all cores";
const APART_BACKWARD: &str =
    "log-softmax into memory, then its exponential minus the target, each at its best on all cores";
const THREADS: &str = "chunks of rows on all cores; the mean is added in one fixed order";
const THREADS_BACKWARD: &str = "chunks of rows on all cores; a large gradient of long rows is written past the caches";

/// The rungs of the forward pass.
pub static FORWARD_RUNGS: [Rung<Forward>; 4] = [
    Rung { name: "naive", idea: NAIVE, run: |_, input, output| naive::forward(input, output), simd: false },
    Rung { name: "simd", idea: SIMD, run: simd::forward, simd: true },
    Rung { name: "apart", idea: APART, run: apart::forward, simd: true },
    Rung { name: "threads", idea: THREADS, run: threads::forward, simd: true },
];

/// The rungs of the backward pass.
pub static BACKWARD_RUNGS: [Rung<Backward>; 4] = [
    Rung { name: "naive", idea: NAIVE, run: |_, input, dlogits| naive::backward(input, dlogits), simd: false },
    Rung { name: "simd", idea: SIMD, run: simd::backward, simd: true },
    Rung { name: "apart", idea: APART_BACKWARD, run: apart::backward, simd: true },
    Rung { name: "threads", idea: THREADS_BACKWARD, run: threads::backward, simd: true },
];

/// The mean of the losses; those of ignored rows are zero. Eight sums in `f64`, so that it takes negligible time.
fn mean(losses: &[f32], count: usize) -> f32 {
    let mut sums = [0.0_f64; 8];
    for chunk in losses.chunks(8) {
        for (sum, &loss) in sums.iter_mut().zip(chunk) {
            *sum += f64::from(loss);
        }
    }
    (sums.iter().sum::<f64>() / count as f64) as f32
}

/// The mean loss of the rows that count (NaN where none does), as `f32`; for each row loss_r and L = ln Σⱼ exp(xⱼ).
///
/// # Panics
/// Where a length is not the one that its field names; where a target is not below `v` and not ignored; where the
/// smoothing is outside [0, 1].
///
/// ```
/// use gradus_kernels::cross_entropy::{Input, Options, Output, forward};
/// let (mut losses, mut lse) = ([0.0; 1], [0.0; 1]);
/// let input = Input { rows: 1, v: 4, options: Options::default(), logits: &[1.0; 4], targets: &[2] };
/// let loss = forward(input, Output { losses: &mut losses, lse: &mut lse });
/// assert!((loss - 4_f32.ln()).abs() < 1e-6);
/// ```
pub fn forward(input: Input<'_>, output: Output<'_>) -> f32 {
    threads::forward(Isa::active(), input, output)
}

/// [`forward`] with the mean written to `mean`, one element, in the memory of the device.
///
/// # Panics
/// As [`forward`], and unless `mean` has one element.
pub fn mean_loss(input: Input<'_>, output: Output<'_>, mean: &mut [f32]) {
    expect_len("the mean", 1, 1, mean.len());
    mean[0] = forward(input, output);
}

/// The gradient of the logits, d_loss / count · (exp(x − L) − (1 − ε)·onehot(t) − ε/V), zero in ignored rows; `dlogits`
/// is `rows` × `v`.
///
/// # Panics
/// As [`forward`], and unless `dlogits` has `rows` · `v` elements.
pub fn backward(input: BackwardInput<'_>, dlogits: &mut [f32]) {
    threads::backward(Isa::active(), input, dlogits);
}
