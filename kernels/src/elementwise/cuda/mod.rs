//! Elementwise operations on CUDA: the ladders, and the functions of the contract by their best rungs.
//!
//! The functions of one number and of two are one table in CUDA C as well, `cuda/functions.cuh`, a line each in the order of [`Unary::ALL`]
//! and [`Binary::ALL`](super::Binary::ALL); a kernel is given the place of its function and switches on it, for all threads alike. Memory is the limit
//! of all of them, so the switch costs nothing, and there is one kernel to load where there would be thirteen.

mod copy;
pub(crate) mod strided;

pub use copy::{COPY_CUDA_RUNGS, Copy, copy};
pub use strided::{BINARY_CUDA_RUNGS, BinaryFn, SELECT_CUDA_RUNGS, SelectFn, binary, select};

use super::{Saves, Unary, assert_saved};
use crate::cuda::{Capability, CudaRung, Gpu, Module, Result, Size, Slice, SliceMut, module};

static NAIVE: Module = module!("elementwise", "naive");
static VECTOR: Module = module!("elementwise", "vector");
static ROWS: Module = module!("elementwise", "rows");
static TILES: Module = module!("elementwise", "tiles");

/// The files of kernels.
pub(crate) const MODULES: &[&Module] = &[&NAIVE, &VECTOR, &ROWS, &TILES];

/// The threads of a block: enough blocks of it fit on a multiprocessor to fill it.
const THREADS: u32 = 256;
/// The elements of a thread in the vector rungs.
const QUAD: usize = 4;

/// A rung of [`unary()`]: `(gpu, function, x, y)`
pub type UnaryFn = fn(&Gpu, Unary, Slice<'_, f32>, SliceMut<'_, f32>) -> Result<()>;
/// A rung of [`unary_backward`]: `(gpu, function, saved, dy, dx)`
pub type UnaryBackwardFn = fn(&Gpu, Unary, Slice<'_, f32>, Slice<'_, f32>, SliceMut<'_, f32>) -> Result<()>;
/// A rung of [`unary_backward_in_place`]: `(gpu, function, saved, d)`
pub type UnaryInPlaceFn = fn(&Gpu, Unary, Slice<'_, f32>, SliceMut<'_, f32>) -> Result<()>;
/// A rung of [`axpy`]: `(gpu, k, x, y)`
pub type AxpyFn = fn(&Gpu, f32, Slice<'_, f32>, SliceMut<'_, f32>) -> Result<()>;
/// A rung of [`scale_in_place`]: `(gpu, k, y)`
pub type ScaleFn = fn(&Gpu, f32, SliceMut<'_, f32>) -> Result<()>;

const NAIVE_IDEA: &str = "an element a thread; neighbouring threads have neighbouring elements";
const VECTOR_IDEA: &str =
    "four elements a thread in accesses of 16 bytes: a quarter of the memory instructions and of the indices";

/// The ladder of [`unary()`].
pub static UNARY_CUDA_RUNGS: [CudaRung<UnaryFn>; 2] = ladder([
    |gpu, op, x, y| run_unary(gpu, (&NAIVE, "elementwise_naive_unary", 1), op, x, y),
    |gpu, op, x, y| run_unary(gpu, (&VECTOR, "elementwise_vector_unary", QUAD), op, x, y),
]);

/// The ladder of [`unary_backward`].
pub static UNARY_BACKWARD_CUDA_RUNGS: [CudaRung<UnaryBackwardFn>; 2] = ladder([
    |gpu, op, saved, dy, dx| run_backward(gpu, (&NAIVE, "elementwise_naive_unary_backward", 1), op, saved, dy, dx),
    |gpu, op, saved, dy, dx| run_backward(gpu, (&VECTOR, "elementwise_vector_unary_backward", QUAD), op, saved, dy, dx),
]);

/// The ladder of [`unary_backward_in_place`].
pub static UNARY_IN_PLACE_CUDA_RUNGS: [CudaRung<UnaryInPlaceFn>; 2] = ladder([
    |gpu, op, saved, d| run_in_place(gpu, (&NAIVE, "elementwise_naive_unary_in_place", 1), op, saved, d),
    |gpu, op, saved, d| run_in_place(gpu, (&VECTOR, "elementwise_vector_unary_in_place", QUAD), op, saved, d),
]);

/// The ladder of [`axpy`].
pub static AXPY_CUDA_RUNGS: [CudaRung<AxpyFn>; 2] = ladder([
    |gpu, k, x, y| run_axpy(gpu, (&NAIVE, "elementwise_naive_axpy", 1), k, x, y),
    |gpu, k, x, y| run_axpy(gpu, (&VECTOR, "elementwise_vector_axpy", QUAD), k, x, y),
]);

/// The ladder of [`scale_in_place`].
pub static SCALE_CUDA_RUNGS: [CudaRung<ScaleFn>; 2] = ladder([
    |gpu, k, y| run_scale(gpu, (&NAIVE, "elementwise_naive_scale", 1), k, y),
    |gpu, k, y| run_scale(gpu, (&VECTOR, "elementwise_vector_scale", QUAD), k, y),
]);

/// The two rungs that all ladders here but that of [`copy()`] have.
const fn ladder<F: std::marker::Copy>([naive, vector]: [F; 2]) -> [CudaRung<F>; 2] {
    [
        CudaRung { name: "naive", idea: NAIVE_IDEA, run: naive, needs: Capability::SM_75 },
        CudaRung { name: "vector", idea: VECTOR_IDEA, run: vector, needs: Capability::SM_75 },
    ]
}

/// A kernel: its file, its name, and how many elements a thread has.
type Kernel = (&'static Module, &'static str, usize);

/// A launch with enough threads for `len` elements, `each` to a thread.
fn threads(len: usize, each: usize) -> Result<Size> {
    Size::threads(len.div_ceil(each), THREADS)
}

fn run_unary(gpu: &Gpu, kernel: Kernel, op: Unary, x: Slice<'_, f32>, y: SliceMut<'_, f32>) -> Result<()> {
    assert_eq!(x.len(), y.len(), "lengths of x and y");
    let (module, name, each) = kernel;
    let arguments = (op as u32, x.len() as u64, x, y);
    // SAFETY: x and y have as many elements as the kernel is told, and threads past the last one return.
    unsafe { gpu.launch(module, name, threads(arguments.1 as usize, each)?, arguments) }
}

/// What the function saves; a null pointer where that is nothing.
fn if_any(op: Unary, saved: Slice<'_, f32>) -> Option<Slice<'_, f32>> {
    (op.saves() != Saves::Nothing).then_some(saved)
}

fn run_backward(
    gpu: &Gpu,
    (module, name, each): Kernel,
    op: Unary,
    saved: Slice<'_, f32>,
    dy: Slice<'_, f32>,
    dx: SliceMut<'_, f32>,
) -> Result<()> {
    assert_saved(op, saved.len(), dy.len(), dx.len());
    let size = threads(dx.len(), each)?;
    // SAFETY: dy, dx and, unless it is null, saved have as many elements as the kernel is told; threads past the last one return.
    unsafe { gpu.launch(module, name, size, (op as u32, dx.len() as u64, if_any(op, saved), dy, dx)) }
}

fn run_in_place(
    gpu: &Gpu,
    (module, name, each): Kernel,
    op: Unary,
    saved: Slice<'_, f32>,
    d: SliceMut<'_, f32>,
) -> Result<()> {
    assert_saved(op, saved.len(), d.len(), d.len());
    let size = threads(d.len(), each)?;
    // SAFETY: d and, unless it is null, saved have as many elements as the kernel is told; a thread reads its own elements of d
    // before it writes them, and threads past the last one return.
    unsafe { gpu.launch(module, name, size, (op as u32, d.len() as u64, if_any(op, saved), d)) }
}

fn run_axpy(gpu: &Gpu, (module, name, each): Kernel, k: f32, x: Slice<'_, f32>, y: SliceMut<'_, f32>) -> Result<()> {
    assert_eq!(x.len(), y.len(), "lengths of x and y");
    let size = threads(y.len(), each)?;
    // SAFETY: x and y have as many elements as the kernel is told, and threads past the last one return.
    unsafe { gpu.launch(module, name, size, (y.len() as u64, k, x, y)) }
}

fn run_scale(gpu: &Gpu, (module, name, each): Kernel, k: f32, y: SliceMut<'_, f32>) -> Result<()> {
    let size = threads(y.len(), each)?;
    // SAFETY: y has as many elements as the kernel is told, and threads past the last one return.
    unsafe { gpu.launch(module, name, size, (y.len() as u64, k, y)) }
}

/// y = op(x), elementwise; see [`super::unary()`].
///
/// # Errors
/// Where the launch fails.
///
/// # Panics
/// Where the lengths differ.
pub fn unary(gpu: &Gpu, op: Unary, x: Slice<'_, f32>, y: SliceMut<'_, f32>) -> Result<()> {
    (UNARY_CUDA_RUNGS[1].run)(gpu, op, x, y)
}

/// dx = dy·op′, elementwise; see [`super::unary_backward`].
///
/// # Errors
/// Where the launch fails.
///
/// # Panics
/// Where the lengths differ.
pub fn unary_backward(
    gpu: &Gpu,
    op: Unary,
    saved: Slice<'_, f32>,
    dy: Slice<'_, f32>,
    dx: SliceMut<'_, f32>,
) -> Result<()> {
    (UNARY_BACKWARD_CUDA_RUNGS[1].run)(gpu, op, saved, dy, dx)
}

/// The same where dx takes the place of dy: `d` is dy before and dx after.
///
/// # Errors
/// Where the launch fails.
///
/// # Panics
/// Where the lengths differ.
pub fn unary_backward_in_place(gpu: &Gpu, op: Unary, saved: Slice<'_, f32>, d: SliceMut<'_, f32>) -> Result<()> {
    (UNARY_IN_PLACE_CUDA_RUNGS[1].run)(gpu, op, saved, d)
}

/// y ← y + k·x
///
/// # Errors
/// Where the launch fails.
///
/// # Panics
/// Where the lengths differ.
pub fn axpy(gpu: &Gpu, k: f32, x: Slice<'_, f32>, y: SliceMut<'_, f32>) -> Result<()> {
    (AXPY_CUDA_RUNGS[1].run)(gpu, k, x, y)
}

/// y ← y + x: how gradients of one value add up.
///
/// # Errors
/// Where the launch fails.
///
/// # Panics
/// Where the lengths differ.
pub fn accumulate(gpu: &Gpu, y: SliceMut<'_, f32>, x: Slice<'_, f32>) -> Result<()> {
    axpy(gpu, 1.0, x, y)
}

/// y ← k·y
///
/// # Errors
/// Where the launch fails.
pub fn scale_in_place(gpu: &Gpu, k: f32, y: SliceMut<'_, f32>) -> Result<()> {
    (SCALE_CUDA_RUNGS[1].run)(gpu, k, y)
}
