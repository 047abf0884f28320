//! Reductions on CUDA: the ladders, and the functions of the contract by their best rungs.

mod shared;

use super::{Reduce, assert_argmax, assert_reach};
use crate::cuda::{Capability, CudaRung, Gpu, Module, Result, Size, Slice, SliceMut, module, narrow};
use crate::elementwise::dims::size;
use shared::{Axes, By, Job};

static NAIVE: Module = module!("reduce", "naive");
static ROWS: Module = module!("reduce", "rows");
static COLUMNS: Module = module!("reduce", "columns");

/// The files of kernels.
pub(crate) const MODULES: &[&Module] = &[&NAIVE, &ROWS, &COLUMNS];

/// The threads of a block.
const THREADS: u32 = 256;
/// Up to so many elements a result is left to one thread.
const SHORT: usize = 16;

/// `(gpu, operation, kept shape and strides, reduced shape and strides, x, y)`
pub type ReduceFn =
    fn(&Gpu, Reduce, &[usize], &[usize], &[usize], &[usize], Slice<'_, f32>, SliceMut<'_, f32>) -> Result<()>;
/// `(gpu, kept shape and strides, reduced shape and strides, x, y)`
pub type ArgmaxFn = fn(&Gpu, &[usize], &[usize], &[usize], &[usize], Slice<'_, f32>, SliceMut<'_, u32>) -> Result<()>;

const NAIVE_IDEA: &str = "a thread a result, one element after the other";
const ROWS_IDEA: &str = "a warp a result: neighbouring lanes read neighbouring elements of a row";
const COLUMNS_IDEA: &str =
    "where results lie side by side, a block for 32 of them: neighbouring lanes read neighbouring columns";
const SPLIT_IDEA: &str = "the elements of few results are cut into chunks, whose results are joined in one order";

/// The rungs of [`reduce`].
pub static REDUCE_CUDA_RUNGS: [CudaRung<ReduceFn>; 4] = [
    rung("naive", NAIVE_IDEA, |gpu, op, kept, p, reduced, q, x, y| {
        reduce_naive(gpu, op, (kept, p), (reduced, q), x, y)
    }),
    rung("rows", ROWS_IDEA, |gpu, op, kept, p, reduced, q, x, y| {
        reduce_shared(gpu, By::Rows, op, (kept, p), (reduced, q), x, y)
    }),
    rung("columns", COLUMNS_IDEA, |gpu, op, kept, p, reduced, q, x, y| {
        reduce_shared(gpu, By::Columns, op, (kept, p), (reduced, q), x, y)
    }),
    rung("split", SPLIT_IDEA, |gpu, op, kept, p, reduced, q, x, y| {
        reduce_shared(gpu, By::Chunks, op, (kept, p), (reduced, q), x, y)
    }),
];
/// The rungs of [`argmax`].
pub static ARGMAX_CUDA_RUNGS: [CudaRung<ArgmaxFn>; 4] = [
    rung("naive", NAIVE_IDEA, |gpu, kept, p, reduced, q, x, y| argmax_naive(gpu, (kept, p), (reduced, q), x, y)),
    rung("rows", ROWS_IDEA, |gpu, kept, p, reduced, q, x, y| {
        argmax_shared(gpu, By::Rows, (kept, p), (reduced, q), x, y)
    }),
    rung("columns", COLUMNS_IDEA, |gpu, kept, p, reduced, q, x, y| {
        argmax_shared(gpu, By::Columns, (kept, p), (reduced, q), x, y)
    }),
    rung("split", SPLIT_IDEA, |gpu, kept, p, reduced, q, x, y| {
        argmax_shared(gpu, By::Chunks, (kept, p), (reduced, q), x, y)
    }),
];

const fn rung<F: Copy>(name: &'static str, idea: &'static str, run: F) -> CudaRung<F> {
    CudaRung { name, idea, run, needs: Capability::SM_75 }
}

/// Shape and strides.
type Shape<'a> = (&'a [usize], &'a [usize]);

/// The number of the operation in the kernels, and what a sum is divided by in the end.
fn numbers(op: Reduce, n: usize) -> (u32, f32) {
    match op {
        Reduce::Sum => (0, 1.0),
        Reduce::Mean => (1, n as f32),
        Reduce::Max => (2, 1.0),
        Reduce::Min => (3, 1.0),
        Reduce::Variance { correction } => (4, n.saturating_sub(correction) as f32),
    }
}

fn reduce_naive(
    gpu: &Gpu,
    op: Reduce,
    kept: Shape<'_>,
    reduced: Shape<'_>,
    x: Slice<'_, f32>,
    y: SliceMut<'_, f32>,
) -> Result<()> {
    assert_eq!(y.len(), size(kept.0), "length of y");
    let n = size(reduced.0);
    let (kept, reduced) = assert_reach(kept, reduced, x.len());
    let (results, threads) = (narrow("the number of results", y.len())?, Size::threads(y.len(), THREADS)?);
    let (op, divisor) = numbers(op, n);
    let n = narrow("the number of elements of a result", n)?;
    let (kept, reduced) = (Axes::new(&kept)?, Axes::new(&reduced)?);
    let (p, q) = (kept.strides, reduced.strides);
    let arguments = (op, results, n, divisor, kept.rank, kept.sizes, p, reduced.rank, reduced.sizes, q, x, y);
    // SAFETY: threads past the last result return; `assert_reach` has checked that x holds all that the strides of both reach, and x is
    // not read where there are no elements.
    unsafe { gpu.launch(&NAIVE, "reduce_naive_reduce", threads, arguments) }
}

fn argmax_naive(gpu: &Gpu, kept: Shape<'_>, reduced: Shape<'_>, x: Slice<'_, f32>, y: SliceMut<'_, u32>) -> Result<()> {
    assert_argmax(kept.0, reduced.0, y.len());
    let n = narrow("the number of elements of a result", size(reduced.0))?;
    let (kept, reduced) = assert_reach(kept, reduced, x.len());
    let (results, threads) = (narrow("the number of results", y.len())?, Size::threads(y.len(), THREADS)?);
    let (kept, reduced) = (Axes::new(&kept)?, Axes::new(&reduced)?);
    let (p, q) = (kept.strides, reduced.strides);
    let arguments = (results, n, kept.rank, kept.sizes, p, reduced.rank, reduced.sizes, q, x, y);
    // SAFETY: as in `reduce_naive`; there are elements wherever there are results.
    unsafe { gpu.launch(&NAIVE, "reduce_naive_argmax", threads, arguments) }
}

fn reduce_shared(
    gpu: &Gpu,
    by: By,
    op: Reduce,
    kept: Shape<'_>,
    reduced: Shape<'_>,
    x: Slice<'_, f32>,
    y: SliceMut<'_, f32>,
) -> Result<()> {
    assert_eq!(y.len(), size(kept.0), "length of y");
    let (results, n) = (y.len(), size(reduced.0));
    let (kept, reduced) = assert_reach(kept, reduced, x.len());
    // No operation asks in which order it is given the elements.
    let job = Job::new(by, &kept, &reduced.sorted_by(0), results, n)?;
    let (op, divisor) = numbers(op, n);
    job.reduce(gpu, op, divisor, x, y)
}

fn argmax_shared(
    gpu: &Gpu,
    by: By,
    kept: Shape<'_>,
    reduced: Shape<'_>,
    x: Slice<'_, f32>,
    y: SliceMut<'_, u32>,
) -> Result<()> {
    assert_argmax(kept.0, reduced.0, y.len());
    let n = size(reduced.0);
    let (kept, reduced) = assert_reach(kept, reduced, x.len());
    Job::new(by, &kept, &reduced, y.len(), n)?.argmax(gpu, x, y)
}

/// The place in a ladder of the rung that is best for results of so many elements.
fn best(reduced_shape: &[usize]) -> usize {
    if size(reduced_shape) <= SHORT { 0 } else { 3 }
}

/// As [`super::reduce`].
///
/// # Errors
/// Where the device cannot run the kernel, or a number of results or of elements of one does not fit into 32 bits.
///
/// # Panics
/// As [`super::reduce`].
#[allow(clippy::too_many_arguments)]
pub fn reduce(
    gpu: &Gpu,
    op: Reduce,
    kept_shape: &[usize],
    kept_strides: &[usize],
    reduced_shape: &[usize],
    reduced_strides: &[usize],
    x: Slice<'_, f32>,
    y: SliceMut<'_, f32>,
) -> Result<()> {
    let rung = &REDUCE_CUDA_RUNGS[best(reduced_shape)];
    (rung.run)(gpu, op, kept_shape, kept_strides, reduced_shape, reduced_strides, x, y)
}

/// As [`super::argmax`].
///
/// # Errors
/// As [`reduce`].
///
/// # Panics
/// As [`super::argmax`].
pub fn argmax(
    gpu: &Gpu,
    kept_shape: &[usize],
    kept_strides: &[usize],
    reduced_shape: &[usize],
    reduced_strides: &[usize],
    x: Slice<'_, f32>,
    y: SliceMut<'_, u32>,
) -> Result<()> {
    let rung = &ARGMAX_CUDA_RUNGS[best(reduced_shape)];
    (rung.run)(gpu, kept_shape, kept_strides, reduced_shape, reduced_strides, x, y)
}
