//! Softmax on CUDA: the ladder, and the functions of the contract by its best rung.

use super::{expect_backward, expect_forward};
use crate::cuda::{Buffer, Capability, CudaRung, Gpu, Module, Result, Size, Slice, SliceMut, module, narrow};

static NAIVE: Module = module!("softmax", "naive");
static BLOCK: Module = module!("softmax", "block");
static WARP: Module = module!("softmax", "warp");
static ONLINE: Module = module!("softmax", "online");
static VECTOR: Module = module!("softmax", "vector");
static SPLIT: Module = module!("softmax", "split");
static SPLIT_BACKWARD: Module = module!("softmax", "split_backward");

/// The files of kernels.
pub(crate) const MODULES: &[&Module] = &[&NAIVE, &BLOCK, &WARP, &ONLINE, &VECTOR, &SPLIT, &SPLIT_BACKWARD];

/// The threads of a block.
const THREADS: u32 = 256;
/// The rows of a block where each warp has one.
const WARPS: usize = 8;
/// The longest row that a warp, and that a block keeps in its registers.
const KEPT_BY_WARP: usize = 512;
const KEPT_BY_BLOCK: usize = 4096;
/// The least elements of a row that are worth a block of their own where a row is cut.
const PART: usize = 1024;

/// `(gpu, rows, c, x, y)`
pub type Forward = fn(&Gpu, usize, usize, Slice<'_, f32>, SliceMut<'_, f32>) -> Result<()>;
/// `(gpu, rows, c, y, dy, dx)`
pub type Backward = fn(&Gpu, usize, usize, Slice<'_, f32>, Slice<'_, f32>, SliceMut<'_, f32>) -> Result<()>;

const NAIVE_IDEA: &str = "one thread a row, pass after pass";
const BLOCK_IDEA: &str =
    "a block a row: neighbouring threads read neighbouring elements, so that all of a transaction is used";
const WARP_IDEA: &str = "a warp a row: sums by shuffles alone, without barriers, and eight short rows in a block";
const ONLINE_IDEA: &str = "maximum and sum in one pass: a row is read twice instead of three times";
const VECTOR_IDEA: &str = "loads of 16 bytes, and the row stays in registers: it is read once";
const SPLIT_IDEA: &str = "a long row is cut among several blocks, so that few rows keep all multiprocessors busy";

const fn rung<F: Copy>(name: &'static str, idea: &'static str, run: F) -> CudaRung<F> {
    CudaRung { name, idea, run, needs: Capability::SM_75 }
}

/// The ladder of softmax (`""`) or of its logarithm (`"log_"`).
macro_rules! forward_ladder {
    ($log:literal) => {
        [
            rung("naive", NAIVE_IDEA, |gpu, rows, c, x, y| {
                a_thread_a_row(gpu, concat!("softmax_naive_", $log, "forward"), rows, c, x, y)
            }),
            rung("block", BLOCK_IDEA, |gpu, rows, c, x, y| {
                a_block_a_row(gpu, (&BLOCK, concat!("softmax_block_", $log, "forward")), rows, c, x, y)
            }),
            rung("warp", WARP_IDEA, |gpu, rows, c, x, y| {
                several_rows(gpu, (&WARP, concat!("softmax_warp_", $log, "forward")), WARPS, rows, c, x, y)
            }),
            rung("online", ONLINE_IDEA, |gpu, rows, c, x, y| {
                a_block_a_row(gpu, (&ONLINE, concat!("softmax_online_", $log, "forward")), rows, c, x, y)
            }),
            rung("vector", VECTOR_IDEA, |gpu, rows, c, x, y| {
                let of_warp = concat!("softmax_vector_warp_", $log, "forward");
                let of_block = concat!("softmax_vector_block_", $log, "forward");
                match c {
                    _ if c <= KEPT_BY_WARP => several_rows(gpu, (&VECTOR, of_warp), WARPS, rows, c, x, y),
                    _ if c <= KEPT_BY_BLOCK => several_rows(gpu, (&VECTOR, of_block), 1, rows, c, x, y),
                    _ => a_block_a_row(gpu, (&ONLINE, concat!("softmax_online_", $log, "forward")), rows, c, x, y),
                }
            }),
            rung("split", SPLIT_IDEA, |gpu, rows, c, x, y| {
                split(gpu, concat!("softmax_split_", $log, "forward"), rows, c, x, y)
            }),
        ]
    };
}

/// The ladder of the gradient of softmax (`""`) or of its logarithm (`"log_"`).
macro_rules! backward_ladder {
    ($log:literal) => {
        [
            rung("naive", NAIVE_IDEA, |gpu, rows, c, y, dy, dx| {
                a_thread_a_row_backward(gpu, concat!("softmax_naive_", $log, "backward"), rows, c, y, dy, dx)
            }),
            rung("block", BLOCK_IDEA, |gpu, rows, c, y, dy, dx| {
                a_block_a_row_backward(gpu, concat!("softmax_block_", $log, "backward"), rows, c, y, dy, dx)
            }),
            rung("warp", WARP_IDEA, |gpu, rows, c, y, dy, dx| {
                let kernel = (&WARP, concat!("softmax_warp_", $log, "backward"));
                several_rows_backward(gpu, kernel, WARPS, rows, c, y, dy, dx)
            }),
            rung("vector", VECTOR_IDEA, |gpu, rows, c, y, dy, dx| {
                let of_warp = concat!("softmax_vector_warp_", $log, "backward");
                let of_block = concat!("softmax_vector_block_", $log, "backward");
                let of_long = concat!("softmax_block_", $log, "backward");
                match c {
                    _ if c <= KEPT_BY_WARP => several_rows_backward(gpu, (&VECTOR, of_warp), WARPS, rows, c, y, dy, dx),
                    _ if c <= KEPT_BY_BLOCK => several_rows_backward(gpu, (&VECTOR, of_block), 1, rows, c, y, dy, dx),
                    _ => a_block_a_row_backward(gpu, of_long, rows, c, y, dy, dx),
                }
            }),
            rung("split", SPLIT_IDEA, |gpu, rows, c, y, dy, dx| {
                let sum = concat!("softmax_split_", $log, "backward_sum");
                split_backward(gpu, sum, concat!("softmax_split_", $log, "backward"), rows, c, y, dy, dx)
            }),
        ]
    };
}

/// The rungs of softmax.
pub static FORWARD_CUDA_RUNGS: [CudaRung<Forward>; 6] = forward_ladder!("");
/// The rungs of log-softmax.
pub static LOG_FORWARD_CUDA_RUNGS: [CudaRung<Forward>; 6] = forward_ladder!("log_");
/// The rungs of softmax's gradient.
pub static BACKWARD_CUDA_RUNGS: [CudaRung<Backward>; 5] = backward_ladder!("");
/// The rungs of log-softmax's gradient.
pub static LOG_BACKWARD_CUDA_RUNGS: [CudaRung<Backward>; 5] = backward_ladder!("log_");

fn a_thread_a_row(
    gpu: &Gpu,
    name: &'static str,
    rows: usize,
    c: usize,
    x: Slice<'_, f32>,
    y: SliceMut<'_, f32>,
) -> Result<()> {
    expect_forward(rows, c, x.len(), y.len());
    let arguments = (narrow("rows", rows)?, narrow("c", c)?, x, y);
    // SAFETY: threads past the last row return, and a thread stays in its row of x and y, which have rows · c elements.
    unsafe { gpu.launch(&NAIVE, name, Size::threads(rows, THREADS)?, arguments) }
}

fn a_thread_a_row_backward(
    gpu: &Gpu,
    name: &'static str,
    rows: usize,
    c: usize,
    y: Slice<'_, f32>,
    dy: Slice<'_, f32>,
    dx: SliceMut<'_, f32>,
) -> Result<()> {
    expect_backward(rows, c, y.len(), dy.len(), dx.len());
    let arguments = (narrow("rows", rows)?, narrow("c", c)?, y, dy, dx);
    // SAFETY: threads past the last row return, and a thread stays in its row of y, dy and dx, which have rows · c elements.
    unsafe { gpu.launch(&NAIVE, name, Size::threads(rows, THREADS)?, arguments) }
}

fn a_block_a_row(
    gpu: &Gpu,
    (module, name): (&'static Module, &'static str),
    rows: usize,
    c: usize,
    x: Slice<'_, f32>,
    y: SliceMut<'_, f32>,
) -> Result<()> {
    expect_forward(rows, c, x.len(), y.len());
    // SAFETY: there is a block for each row, which stays in its row of x and y, and they have rows · c elements.
    unsafe { gpu.launch(module, name, Size::blocks(narrow("rows", rows)?, THREADS), (narrow("c", c)?, x, y)) }
}

fn a_block_a_row_backward(
    gpu: &Gpu,
    name: &'static str,
    rows: usize,
    c: usize,
    y: Slice<'_, f32>,
    dy: Slice<'_, f32>,
    dx: SliceMut<'_, f32>,
) -> Result<()> {
    expect_backward(rows, c, y.len(), dy.len(), dx.len());
    let size = Size::blocks(narrow("rows", rows)?, THREADS);
    // SAFETY: there is a block for each row, which stays in its row of y, dy and dx, and they have rows · c elements.
    unsafe { gpu.launch(&BLOCK, name, size, (narrow("c", c)?, y, dy, dx)) }
}

/// A block takes `per_block` rows; those of [`VECTOR`] have to fit into the registers of the threads of each.
fn several_rows(
    gpu: &Gpu,
    (module, name): (&'static Module, &'static str),
    per_block: usize,
    rows: usize,
    c: usize,
    x: Slice<'_, f32>,
    y: SliceMut<'_, f32>,
) -> Result<()> {
    expect_forward(rows, c, x.len(), y.len());
    let size = Size::blocks(narrow("rows", rows.div_ceil(per_block))?, THREADS);
    // SAFETY: warps past the last row have no elements, and the others stay in their rows of x and y, which have rows · c elements.
    unsafe { gpu.launch(module, name, size, (narrow("rows", rows)?, narrow("c", c)?, x, y)) }
}

#[allow(clippy::too_many_arguments)]
fn several_rows_backward(
    gpu: &Gpu,
    (module, name): (&'static Module, &'static str),
    per_block: usize,
    rows: usize,
    c: usize,
    y: Slice<'_, f32>,
    dy: Slice<'_, f32>,
    dx: SliceMut<'_, f32>,
) -> Result<()> {
    expect_backward(rows, c, y.len(), dy.len(), dx.len());
    let size = Size::blocks(narrow("rows", rows.div_ceil(per_block))?, THREADS);
    // SAFETY: as in `several_rows`, for y, dy and dx.
    unsafe { gpu.launch(module, name, size, (narrow("rows", rows)?, narrow("c", c)?, y, dy, dx)) }
}

/// Into how many parts a row is cut: by its length alone, so that the bits do not depend on the card; at most one for each thread of the
/// block that combines them.
fn parts_of(c: usize) -> usize {
    (c / PART).clamp(2, THREADS as usize)
}

fn split(
    gpu: &Gpu,
    name: &'static str,
    rows: usize,
    c: usize,
    x: Slice<'_, f32>,
    mut y: SliceMut<'_, f32>,
) -> Result<()> {
    expect_forward(rows, c, x.len(), y.len());
    let parts = parts_of(c);
    let size = Size::blocks(narrow("the parts of all rows", rows.saturating_mul(parts))?, THREADS);
    let (c, cut) = (narrow("c", c)?, narrow("parts", parts)?);
    let mut scratch = Buffer::new(gpu, rows * parts * 2 * size_of::<f32>())?;
    let all = 0..rows * parts * 2;
    // SAFETY: there are `parts` blocks for each row, which stay in their parts of x and y; the scratch has two numbers for each block.
    unsafe {
        gpu.launch(&SPLIT, "softmax_split_online", size, (c, cut, x, scratch.slice_mut::<f32>(all.clone())))?;
        gpu.launch(&SPLIT, name, size, (c, cut, x, scratch.slice::<f32>(all), y.reborrow()))
    }
}

#[allow(clippy::too_many_arguments)]
fn split_backward(
    gpu: &Gpu,
    sum: &'static str,
    write: &'static str,
    rows: usize,
    c: usize,
    y: Slice<'_, f32>,
    dy: Slice<'_, f32>,
    dx: SliceMut<'_, f32>,
) -> Result<()> {
    expect_backward(rows, c, y.len(), dy.len(), dx.len());
    let parts = parts_of(c);
    let size = Size::blocks(narrow("the parts of all rows", rows.saturating_mul(parts))?, THREADS);
    let (c, cut, all) = (narrow("c", c)?, narrow("parts", parts)?, 0..rows * parts);
    let mut scratch = Buffer::new(gpu, rows * parts * size_of::<f32>())?;
    // SAFETY: as in `split`; the scratch has a number for each block.
    unsafe {
        gpu.launch(&SPLIT_BACKWARD, sum, size, (c, cut, y, dy, scratch.slice_mut::<f32>(all.clone())))?;
        gpu.launch(&SPLIT_BACKWARD, write, size, (c, cut, y, dy, scratch.slice::<f32>(all), dx))
    }
}

/// Whether the rows are too few to keep the multiprocessors busy, two blocks each, and long enough to be cut.
fn is_cut(gpu: &Gpu, rows: usize, c: usize) -> bool {
    c > KEPT_BY_BLOCK && rows < 2 * gpu.properties().multiprocessors
}

/// The best rung of a ladder that ends with the rungs `vector` and `split`.
fn best<F: Copy, const N: usize>(ladder: &[CudaRung<F>; N], gpu: &Gpu, rows: usize, c: usize) -> F {
    ladder[if is_cut(gpu, rows, c) { N - 1 } else { N - 2 }].run
}

/// The functions of the contract for softmax or for its logarithm.
macro_rules! contract {
    ($what:literal, $forward:ident by $forward_rungs:ident, $backward:ident by $backward_rungs:ident) => {
        #[doc = concat!("y = ", $what, " of each row of x; see [`super::", stringify!($forward), "`].")]
        ///
        /// # Errors
        /// Where the launch fails, or rows or columns are over 2³².
        ///
        /// # Panics
        /// Unless `x` and `y` have `rows` · `c` elements.
        pub fn $forward(gpu: &Gpu, rows: usize, c: usize, x: Slice<'_, f32>, y: SliceMut<'_, f32>) -> Result<()> {
            best(&$forward_rungs, gpu, rows, c)(gpu, rows, c, x, y)
        }

        #[doc = concat!("The gradient of ", $what, " from its output y; see [`super::", stringify!($backward), "`].")]
        ///
        /// # Errors
        #[doc = concat!("As [`", stringify!($forward), "`].")]
        ///
        /// # Panics
        /// Unless `y`, `dy` and `dx` have `rows` · `c` elements.
        pub fn $backward(
            gpu: &Gpu,
            rows: usize,
            c: usize,
            y: Slice<'_, f32>,
            dy: Slice<'_, f32>,
            dx: SliceMut<'_, f32>,
        ) -> Result<()> {
            best(&$backward_rungs, gpu, rows, c)(gpu, rows, c, y, dy, dx)
        }
    };
}
contract!("softmax", forward by FORWARD_CUDA_RUNGS, backward by BACKWARD_CUDA_RUNGS);
contract!("the logarithm of softmax", log_forward by LOG_FORWARD_CUDA_RUNGS, log_backward by LOG_BACKWARD_CUDA_RUNGS);
