//! Cross-entropy on CUDA: the ladders, and the functions of the contract by their best rungs.
//!
//! The targets are in the memory of the device, so they are not checked here: where one is no class and not ignored, nothing is read for
//! it, and the loss of its row, the mean and the gradient of its row are NaN. The number of rows that count is found on the device too.

mod mean;

use super::{BackwardInputOf, InputOf, Options, OutputOf};
use crate::cuda::{Buffer, Capability, CudaRung, Gpu, Module, Result, Size, Slice, SliceMut, module, narrow};
use crate::rows::expect_len;
use mean::{Rows, Total};

static NAIVE: Module = module!("cross_entropy", "naive");
static WARP: Module = module!("cross_entropy", "warp");
static VECTOR: Module = module!("cross_entropy", "vector");
static MEAN: Module = module!("cross_entropy", "mean");

/// The files of kernels.
pub(crate) const MODULES: &[&Module] = &[&NAIVE, &WARP, &VECTOR, &MEAN];

/// The threads of a block.
const THREADS: u32 = 256;
/// The rows of a block where each warp has one.
const WARPS: usize = 8;
/// The longest row that is left to one warp.
const OF_WARP: usize = 1024;

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
const WARP_IDEA: &str = "a warp a row, maximum and sum in one pass: whole transactions, and a row is read once";
const WARP_BACKWARD_IDEA: &str = "a warp a row: neighbouring lanes read and write neighbouring elements";
const VECTOR_IDEA: &str = "loads of 16 bytes, and of a long vocabulary a block a row";
const PARTS_IDEA: &str = "the rows that count, and their losses, are added by a block for every 1024 rows";

/// The rungs of [`mean_loss`].
pub static MEAN_LOSS_CUDA_RUNGS: [CudaRung<MeanLoss>; 4] = [
    rung("naive", NAIVE_IDEA, |gpu, input, output, to| run_forward(gpu, &OF_THREAD, mean::at_once, input, output, to)),
    rung("warp", WARP_IDEA, |gpu, input, output, to| run_forward(gpu, &A_WARP, mean::at_once, input, output, to)),
    rung("vector", VECTOR_IDEA, |gpu, input, output, to| {
        run_forward(gpu, vector(input.v), mean::at_once, input, output, to)
    }),
    rung("parts", PARTS_IDEA, |gpu, input, output, to| {
        run_forward(gpu, vector(input.v), mean::by_parts, input, output, to)
    }),
];

/// The rungs of [`backward`].
pub static BACKWARD_CUDA_RUNGS: [CudaRung<Backward>; 4] = [
    rung("naive", NAIVE_IDEA, |gpu, input, dlogits| run_backward(gpu, &OF_THREAD, mean::at_once, input, dlogits)),
    rung("warp", WARP_BACKWARD_IDEA, |gpu, input, dlogits| run_backward(gpu, &A_WARP, mean::at_once, input, dlogits)),
    rung("vector", VECTOR_IDEA, |gpu, input, dlogits| {
        run_backward(gpu, vector(input.v), mean::at_once, input, dlogits)
    }),
    rung("parts", PARTS_IDEA, |gpu, input, dlogits| run_backward(gpu, vector(input.v), mean::by_parts, input, dlogits)),
];

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

macro_rules! kernels {
    ($module:ident, $rows_per_block:expr, $rung:literal) => {
        Kernels {
            module: &$module,
            forward: concat!("cross_entropy_", $rung, "_forward"),
            backward: concat!("cross_entropy_", $rung, "_backward"),
            rows_per_block: $rows_per_block,
        }
    };
}

static OF_THREAD: Kernels = kernels!(NAIVE, THREADS as usize, "naive");
static A_WARP: Kernels = kernels!(WARP, WARPS, "warp");
static VECTOR_OF_WARP: Kernels = kernels!(VECTOR, WARPS, "vector_warp");
static VECTOR_OF_BLOCK: Kernels = kernels!(VECTOR, 1, "vector_block");

/// The kernels with 16-byte loads: a row by a warp, or by a block where there are many classes.
fn vector(v: usize) -> &'static Kernels {
    if v <= OF_WARP { &VECTOR_OF_WARP } else { &VECTOR_OF_BLOCK }
}

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
    total: Total,
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
    total(gpu, Rows { options, targets, losses: Some(losses.as_slice()) }, Some(mean), None)
}

fn run_backward(
    gpu: &Gpu,
    kernels: &Kernels,
    total: Total,
    input: BackwardInput<'_>,
    dlogits: SliceMut<'_, f32>,
) -> Result<()> {
    input.check_lengths(dlogits.len());
    let BackwardInputOf { rows, v, options, logits, targets, lse, d_loss } = input;
    let (height, classes, options, smoothing) =
        (narrow("rows", rows)?, narrow("classes", v)?, ignored(options), options.label_smoothing);
    let mut buffer = Buffer::new(gpu, size_of::<u32>())?;
    let mut count = buffer.slice_mut::<u32>(0..1);
    total(gpu, Rows { options, targets, losses: None }, None, Some(count.reborrow()))?;
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
    (MEAN_LOSS_CUDA_RUNGS[3].run)(gpu, input, output, mean)
}

/// As [`super::backward`].
///
/// # Errors
/// As [`mean_loss`].
///
/// # Panics
/// As [`super::backward`], but for the targets: where one is no class and not ignored, the gradient of its row is NaN.
pub fn backward(gpu: &Gpu, input: BackwardInput<'_>, dlogits: SliceMut<'_, f32>) -> Result<()> {
    (BACKWARD_CUDA_RUNGS[3].run)(gpu, input, dlogits)
}
