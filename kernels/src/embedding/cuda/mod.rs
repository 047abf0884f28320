//! Embedding on CUDA: the ladders, and the functions of the contract by their best rungs.
//!
//! The ids are in the memory of the device, so they are not checked here: one that is no row of the table reads and writes nothing outside; its row
//! of y is NaN, and its gradient goes nowhere.

use crate::cuda::{Capability, CudaRung, Gpu, Module, Result, Size, Slice, SliceMut, module, narrow};
use crate::rows::expect_len;
use half::bf16;

mod sorted;

static ROWS: Module = module!("embedding", "rows");
static SORT: Module = module!("embedding", "sort");
static SORTED: Module = module!("embedding", "sorted");

/// The files of kernels.
pub(crate) const MODULES: &[&Module] = &[&ROWS, &SORT, &SORTED];

/// The threads of a block.
const THREADS: u32 = 256;

/// `(gpu, v, c, table, ids, y)`
pub type Forward<E = f32> = fn(&Gpu, usize, usize, Slice<'_, E>, Slice<'_, u32>, SliceMut<'_, f32>) -> Result<()>;
/// `(gpu, v, c, ids, dy, dtable)`
pub type Backward = fn(&Gpu, usize, usize, Slice<'_, u32>, Slice<'_, f32>, SliceMut<'_, f32>) -> Result<()>;

const ROWS_IDEA: &str = "a thread an element, neighbouring ones of one row";
const OWNER_IDEA: &str = "a thread owns an element of the table's gradient and goes through all ids in their order";
const SORTED_IDEA: &str =
    "positions sorted by id, in order for each: a warp a row of the table reads its gradients alone";
const PIECES_IDEA: &str = "long lists of a frequent id are summed in pieces of one length, by a warp each";

/// The rungs of [`forward`].
pub static FORWARD_CUDA_RUNGS: [CudaRung<Forward>; 1] = [rung("rows", ROWS_IDEA, forward)];
/// The rungs of [`forward_stored`].
pub static FORWARD_STORED_CUDA_RUNGS: [CudaRung<Forward<bf16>>; 1] = [rung("rows", ROWS_IDEA, forward_stored)];
/// The rungs of [`backward`].
pub static BACKWARD_CUDA_RUNGS: [CudaRung<Backward>; 3] = [
    rung("rows", OWNER_IDEA, by_owners),
    rung("sorted", SORTED_IDEA, |gpu, v, c, ids, dy, dtable| sorted::backward(gpu, (v, c), ids, dy, dtable, false)),
    rung("pieces", PIECES_IDEA, |gpu, v, c, ids, dy, dtable| sorted::backward(gpu, (v, c), ids, dy, dtable, true)),
];

const fn rung<F: Copy>(name: &'static str, idea: &'static str, run: F) -> CudaRung<F> {
    CudaRung { name, idea, run, needs: Capability::SM_75 }
}

fn run_forward<E>(
    gpu: &Gpu,
    name: &'static str,
    (v, c): (usize, usize),
    table: Slice<'_, E>,
    ids: Slice<'_, u32>,
    y: SliceMut<'_, f32>,
) -> Result<()> {
    expect_len("the table or its gradient", v, c, table.len());
    expect_len("y or dy", ids.len(), c, y.len());
    let (size, elements) = (Size::threads(y.len(), THREADS)?, y.len() as u64);
    let arguments = (narrow("rows", v)?, narrow("c", c)?, elements, table, ids, y);
    // SAFETY: threads past the last element of y return; y has c elements for each id, and an id at or above v is not used as an index of
    // the table, which has v · c elements of the type that the kernel reads.
    unsafe { gpu.launch(&ROWS, name, size, arguments) }
}

/// As [`super::forward`].
///
/// # Errors
/// Where the device cannot run the kernel, or a size does not fit into 32 bits.
///
/// # Panics
/// As [`super::forward`], but for the ids: where one is no row of the table, its row of y is NaN.
pub fn forward(
    gpu: &Gpu,
    v: usize,
    c: usize,
    table: Slice<'_, f32>,
    ids: Slice<'_, u32>,
    y: SliceMut<'_, f32>,
) -> Result<()> {
    run_forward(gpu, "embedding_rows_forward", (v, c), table, ids, y)
}

/// As [`super::forward_stored`].
///
/// # Errors
/// As [`forward`].
///
/// # Panics
/// As [`forward`].
pub fn forward_stored(
    gpu: &Gpu,
    v: usize,
    c: usize,
    table: Slice<'_, bf16>,
    ids: Slice<'_, u32>,
    y: SliceMut<'_, f32>,
) -> Result<()> {
    run_forward(gpu, "embedding_rows_forward_stored", (v, c), table, ids, y)
}

/// Panics unless the gradient of the table and those of the results have their sizes.
fn expect_backward(v: usize, c: usize, ids: usize, dy: usize, dtable: usize) {
    expect_len("the table or its gradient", v, c, dtable);
    expect_len("y or dy", ids, c, dy);
}

fn by_owners(
    gpu: &Gpu,
    v: usize,
    c: usize,
    ids: Slice<'_, u32>,
    dy: Slice<'_, f32>,
    dtable: SliceMut<'_, f32>,
) -> Result<()> {
    expect_backward(v, c, ids.len(), dy.len(), dtable.len());
    let (size, elements) = (Size::threads(dtable.len(), THREADS)?, dtable.len() as u64);
    let arguments = (narrow("c", c)?, elements, narrow("ids", ids.len())?, ids, dy, dtable);
    // SAFETY: threads past the last element of dtable return; the others read all ids, and dy, of c elements for each id, below that.
    unsafe { gpu.launch(&ROWS, "embedding_rows_backward", size, arguments) }
}

/// As [`super::backward`].
///
/// # Errors
/// As [`forward`], and where there is no memory for the sorted positions.
///
/// # Panics
/// As [`super::backward`], but for the ids: the gradient of one that is no row of the table is not counted.
pub fn backward(
    gpu: &Gpu,
    v: usize,
    c: usize,
    ids: Slice<'_, u32>,
    dy: Slice<'_, f32>,
    dtable: SliceMut<'_, f32>,
) -> Result<()> {
    (BACKWARD_CUDA_RUNGS[2].run)(gpu, v, c, ids, dy, dtable)
}
