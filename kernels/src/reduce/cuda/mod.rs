//! Reductions on CUDA: the ladders, and the functions of the contract by their best rungs.

use super::{Reduce, assert_argmax, assert_reach};
use crate::cuda::{Capability, CudaRung, Gpu, Module, Result, Size, Slice, SliceMut, module, narrow};
use crate::elementwise::{cuda::strided::axes, dims::size};

static NAIVE: Module = module!("reduce", "naive");

/// The files of kernels.
pub(crate) const MODULES: &[&Module] = &[&NAIVE];

/// The threads of a block.
const THREADS: u32 = 256;

/// `(gpu, operation, kept shape and strides, reduced shape and strides, x, y)`
pub type ReduceFn =
    fn(&Gpu, Reduce, &[usize], &[usize], &[usize], &[usize], Slice<'_, f32>, SliceMut<'_, f32>) -> Result<()>;
/// `(gpu, kept shape and strides, reduced shape and strides, x, y)`
pub type ArgmaxFn = fn(&Gpu, &[usize], &[usize], &[usize], &[usize], Slice<'_, f32>, SliceMut<'_, u32>) -> Result<()>;

const NAIVE_IDEA: &str = "a thread a result, one element after the other";

/// The rungs of [`reduce`].
pub static REDUCE_CUDA_RUNGS: [CudaRung<ReduceFn>; 1] = [rung("naive", NAIVE_IDEA, reduce)];
/// The rungs of [`argmax`].
pub static ARGMAX_CUDA_RUNGS: [CudaRung<ArgmaxFn>; 1] = [rung("naive", NAIVE_IDEA, argmax)];

const fn rung<F: Copy>(name: &'static str, idea: &'static str, run: F) -> CudaRung<F> {
    CudaRung { name, idea, run, needs: Capability::SM_75 }
}

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
    assert_eq!(y.len(), size(kept_shape), "length of y");
    let n = size(reduced_shape);
    let (kept, reduced) = assert_reach((kept_shape, kept_strides), (reduced_shape, reduced_strides), x.len());
    let (kept_rank, kept_sizes, kept_strides) = axes::<1, 8>(&kept, kept.shape().len())?;
    let (rank, sizes, strides) = axes::<1, 8>(&reduced, reduced.shape().len())?;
    let (results, threads) = (narrow("the number of results", y.len())?, Size::threads(y.len(), THREADS)?);
    let (op, divisor) = numbers(op, n);
    let n = narrow("the number of elements of a result", n)?;
    let arguments = (op, results, n, divisor, kept_rank, kept_sizes, kept_strides, rank, sizes, strides, x, y);
    // SAFETY: threads past the last result return; `assert_reach` has checked that x holds all that the strides of both reach, and x is
    // not read where there are no elements.
    unsafe { gpu.launch(&NAIVE, "reduce_naive_reduce", threads, arguments) }
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
    assert_argmax(kept_shape, reduced_shape, y.len());
    let (kept, reduced) = assert_reach((kept_shape, kept_strides), (reduced_shape, reduced_strides), x.len());
    let (kept_rank, kept_sizes, kept_strides) = axes::<1, 8>(&kept, kept.shape().len())?;
    let (rank, sizes, strides) = axes::<1, 8>(&reduced, reduced.shape().len())?;
    let (results, threads) = (narrow("the number of results", y.len())?, Size::threads(y.len(), THREADS)?);
    let n = narrow("the number of elements of a result", size(reduced_shape))?;
    let arguments = (results, n, kept_rank, kept_sizes, kept_strides, rank, sizes, strides, x, y);
    // SAFETY: as in `reduce`; there are elements wherever there are results.
    unsafe { gpu.launch(&NAIVE, "reduce_naive_argmax", threads, arguments) }
}
