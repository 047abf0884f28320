//! Cross-entropy on CUDA: the ladders, and the functions of the contract by their best rungs.
//!
//! The targets are in the memory of the device, so they are not checked here: where one is no class and not ignored, nothing is read for
//! it, and the loss of its row, the mean and the gradient of its row are NaN. The number of rows that count is found on the device too.

use super::{BackwardInputOf, InputOf, Options, OutputOf};
use crate::cuda::{Buffer, Capability, CudaRung, Gpu, Module, Result, Size, Slice, SliceMut, module, narrow};
use crate::rows::expect_len;

static NAIVE: Module = module!("cross_entropy", "naive");
static MEAN: Module = module!("cross_entropy", "mean");

/// The files of kernels.
pub(crate) const MODULES: &[&Module] = &[&NAIVE, &MEAN];

/// The threads of a block.
const THREADS: u32 = 256;
/// The threads of the one block that adds the losses.
const MEAN_THREADS: u32 = 1024;

/// What [`mean_loss`] reads.
pub type Input<'a> = InputOf<Slice<'a, f32>, Slice<'a, u32>>;
/// What [`mean_loss`] writes, beside the mean.
pub type Output<'a> = OutputOf<SliceMut<'a, f32>>;
/// What [`backward`] reads.
pub type BackwardInput<'a> = BackwardInputOf<Slice<'a, f32>, Slice<'a, u32>>;

/// `(gpu, input, output, mean)`
pub type MeanLoss = fn(&Gpu, Input<'_>, Output<'_>, SliceMut<'_, f32>) -> Result<()>;
/// `(gpu, input, dlogits)`
pub type Backward = fn(&Gpu, BackwardInput<'_>, SliceMut<'_, f32>) -> Result<()>;

const NAIVE_IDEA: &str = "one thread a row, pass after pass";

/// The rungs of [`mean_loss`].
pub static MEAN_LOSS_CUDA_RUNGS: [CudaRung<MeanLoss>; 1] =
    [rung("naive", NAIVE_IDEA, |gpu, input, output, mean| run_forward(gpu, &THREAD_A_ROW, input, output, mean))];

/// The rungs of [`backward`].
pub static BACKWARD_CUDA_RUNGS: [CudaRung<Backward>; 1] =
    [rung("naive", NAIVE_IDEA, |gpu, input, dlogits| run_backward(gpu, &THREAD_A_ROW, input, dlogits))];

const fn rung<F: Copy>(name: &'static str, idea: &'static str, run: F) -> CudaRung<F> {
    CudaRung { name, idea, run, needs: Capability::SM_75 }
}

/// The kernels of a rung, and how many rows a block has.
struct Kernels {
    module: &'static Module,
    forward: &'static str,
    backward: &'static str,
    rows_per_block: usize,
}

static THREAD_A_ROW: Kernels = Kernels {
    module: &NAIVE,
    forward: "cross_entropy_naive_forward",
    backward: "cross_entropy_naive_backward",
    rows_per_block: THREADS as usize,
};

/// `struct CrossEntropyOptions` of the kernels.
fn ignored(options: Options) -> [u32; 2] {
    [u32::from(options.ignore_index.is_some()), options.ignore_index.unwrap_or(0)]
}

fn size(rows: usize, kernels: &Kernels) -> Result<Size> {
    Ok(Size::blocks(narrow("the number of blocks", rows.div_ceil(kernels.rows_per_block))?, THREADS))
}

fn run_forward(
    gpu: &Gpu,
    kernels: &Kernels,
    input: Input<'_>,
    output: Output<'_>,
    mean: SliceMut<'_, f32>,
) -> Result<()> {
    input.check_lengths(&output);
    expect_len("the mean", 1, 1, mean.len());
    let InputOf { rows, v, options, logits, targets } = input;
    let OutputOf { mut losses, lse } = output;
    let (count, classes, options, smoothing) =
        (narrow("rows", rows)?, narrow("classes", v)?, ignored(options), options.label_smoothing);
    let arguments = (count, classes, options, smoothing, logits, targets, losses.reborrow(), lse);
    // SAFETY: there are threads for all rows, those past the last one write nothing, and a row stays within its v logits, its target, its
    // loss and its log-sum-exp, which the check above has counted. A target at or above v is not used as an index.
    unsafe { gpu.launch(kernels.module, kernels.forward, size(rows, kernels)?, arguments) }?;
    let arguments = (count, options, targets, losses.as_slice(), mean);
    // SAFETY: one block goes through the `rows` targets and losses, and writes the one element of the mean.
    unsafe { gpu.launch(&MEAN, "cross_entropy_mean_loss", Size::blocks(1, MEAN_THREADS), arguments) }
}

fn run_backward(gpu: &Gpu, kernels: &Kernels, input: BackwardInput<'_>, dlogits: SliceMut<'_, f32>) -> Result<()> {
    input.check_lengths(dlogits.len());
    let BackwardInputOf { rows, v, options, logits, targets, lse, d_loss } = input;
    let (height, classes, options, smoothing) =
        (narrow("rows", rows)?, narrow("classes", v)?, ignored(options), options.label_smoothing);
    let mut buffer = Buffer::new(gpu, size_of::<u32>())?;
    let mut count = buffer.slice_mut::<u32>(0..1);
    let arguments = (height, options, targets, count.reborrow());
    // SAFETY: one block goes through the `rows` targets, and writes the one element of the count.
    unsafe { gpu.launch(&MEAN, "cross_entropy_mean_count", Size::blocks(1, MEAN_THREADS), arguments) }?;
    let arguments = (height, classes, options, smoothing, logits, targets, lse, d_loss, count.as_slice(), dlogits);
    // SAFETY: there are threads for all rows, those past the last one write nothing, and a row stays within its v logits and gradients and
    // reads its target and its log-sum-exp, which the check above has counted, as it has the one gradient of the loss.
    unsafe { gpu.launch(kernels.module, kernels.backward, size(rows, kernels)?, arguments) }
}

/// As [`super::mean_loss`].
///
/// # Errors
/// Where the device cannot run the kernels, or a size does not fit into 32 bits.
///
/// # Panics
/// As [`super::mean_loss`], but for the targets: with one that is no class and not ignored the mean is NaN.
pub fn mean_loss(gpu: &Gpu, input: Input<'_>, output: Output<'_>, mean: SliceMut<'_, f32>) -> Result<()> {
    run_forward(gpu, &THREAD_A_ROW, input, output, mean)
}

/// As [`super::backward`].
///
/// # Errors
/// As [`mean_loss`].
///
/// # Panics
/// As [`super::backward`], but for the targets: where one is no class and not ignored, the gradient of its row is NaN.
pub fn backward(gpu: &Gpu, input: BackwardInput<'_>, dlogits: SliceMut<'_, f32>) -> Result<()> {
    run_backward(gpu, &THREAD_A_ROW, input, dlogits)
}
