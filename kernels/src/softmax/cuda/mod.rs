//! Softmax on CUDA: the ladder, and the functions of the contract by its best rung.

use super::{expect_backward, expect_forward};
use crate::cuda::{Capability, CudaRung, Gpu, Module, Result, Size, Slice, SliceMut, module, narrow};

static NAIVE: Module = module!("softmax", "naive");
static BLOCK: Module = module!("softmax", "block");

/// The files of kernels.
pub(crate) const MODULES: &[&Module] = &[&NAIVE, &BLOCK];

/// The threads of a block where each has a row of its own, and where all of them have one row.
const THREADS: u32 = 256;

/// `(gpu, rows, c, x, y)`
pub type Forward = fn(&Gpu, usize, usize, Slice<'_, f32>, SliceMut<'_, f32>) -> Result<()>;
/// `(gpu, rows, c, y, dy, dx)`
pub type Backward = fn(&Gpu, usize, usize, Slice<'_, f32>, Slice<'_, f32>, SliceMut<'_, f32>) -> Result<()>;

const NAIVE_IDEA: &str = "one thread a row, pass after pass";
const BLOCK_IDEA: &str = "a block a row: neighbouring threads read neighbouring elements, so that all of a transaction is used";

/// The rungs of softmax.
pub static FORWARD_CUDA_RUNGS: [CudaRung<Forward>; 2] = [
    rung("naive", NAIVE_IDEA, |gpu, rows, c, x, y| a_thread_a_row(gpu, "softmax_naive_forward", rows, c, x, y)),
    rung("block", BLOCK_IDEA, |gpu, rows, c, x, y| a_block_a_row(gpu, "softmax_block_forward", rows, c, x, y)),
];

const fn rung<F: Copy>(name: &'static str, idea: &'static str, run: F) -> CudaRung<F> {
    CudaRung { name, idea, run, needs: Capability::SM_75 }
}

fn a_thread_a_row(gpu: &Gpu, name: &'static str, rows: usize, c: usize, x: Slice<'_, f32>, y: SliceMut<'_, f32>) -> Result<()> {
    expect_forward(rows, c, x.len(), y.len());
    let arguments = (narrow("rows", rows)?, narrow("c", c)?, x, y);
    // SAFETY: threads past the last row return, and a thread stays in its row of x and y, which have rows · c elements.
    unsafe { gpu.launch(&NAIVE, name, Size::threads(rows, THREADS)?, arguments) }
}

fn a_block_a_row(gpu: &Gpu, name: &'static str, rows: usize, c: usize, x: Slice<'_, f32>, y: SliceMut<'_, f32>) -> Result<()> {
    expect_forward(rows, c, x.len(), y.len());
    // SAFETY: there is a block for each row, which stays in its row of x and y, and they have rows · c elements.
    unsafe { gpu.launch(&BLOCK, name, Size::blocks(narrow("rows", rows)?, THREADS), (narrow("c", c)?, x, y)) }
}
