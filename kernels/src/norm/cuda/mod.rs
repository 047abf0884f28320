//! Layer norm and RMS norm on CUDA: the ladders, and the functions of the contract by their best rungs.

mod split;

use super::{BackwardInputOf, GradientsOf, InputOf, OutputOf};
use crate::cuda::{Buffer, Capability, CudaRung, Gpu, Module, Result, Size, Slice, SliceMut, module, narrow};

static NAIVE: Module = module!("norm", "naive");
static BLOCK: Module = module!("norm", "block");
static WARP: Module = module!("norm", "warp");
static VECTOR: Module = module!("norm", "vector");
static PARTIAL: Module = module!("norm", "partial");
static SPLIT: Module = module!("norm", "split");

/// The files of kernels.
pub(crate) const MODULES: &[&Module] = &[&NAIVE, &BLOCK, &WARP, &VECTOR, &PARTIAL, &SPLIT];

/// The threads of a block.
const THREADS: usize = 256;
/// The threads of a warp.
const LANES: usize = 32;
/// The longest row that a warp, and that a block keeps in its registers.
const KEPT_BY_WARP: usize = 512;
const KEPT_BY_BLOCK: usize = 4096;
/// How many rows are summed by one block at least, and how many blocks of rows there are at most.
const ROWS_OF_CHUNK: usize = 64;
const CHUNKS: usize = 64;

/// `(gpu, input, output)`
pub type Forward = fn(&Gpu, InputOf<Slice<'_, f32>>, OutputOf<SliceMut<'_, f32>>) -> Result<()>;
/// `(gpu, input, gradients)`
pub type Backward = fn(&Gpu, BackwardInputOf<Slice<'_, f32>>, GradientsOf<SliceMut<'_, f32>>) -> Result<()>;

/// The kernels of a rung: how many threads share a row, and their names for layer norm and for RMS norm.
struct Kernels {
    module: &'static Module,
    team: usize,
    forward: [&'static str; 2],
    backward: [&'static str; 2],
}

macro_rules! kernels {
    ($module:ident, $team:expr, $rung:literal) => {
        Kernels {
            module: &$module,
            team: $team,
            forward: [concat!("norm_", $rung, "_layer_forward"), concat!("norm_", $rung, "_rms_forward")],
            backward: [concat!("norm_", $rung, "_layer_backward"), concat!("norm_", $rung, "_rms_backward")],
        }
    };
}

static OF_THREAD: Kernels = kernels!(NAIVE, 1, "naive");
static OF_BLOCK: Kernels = kernels!(BLOCK, THREADS, "block");
static OF_WARP: Kernels = kernels!(WARP, LANES, "warp");
static KEPT_OF_WARP: Kernels = kernels!(VECTOR, LANES, "vector_warp");
static KEPT_OF_BLOCK: Kernels = kernels!(VECTOR, THREADS, "vector_block");

/// The kernels with 16-byte loads, for rows that fit into registers; longer rows are read again by a block.
fn vector(c: usize) -> &'static Kernels {
    match c {
        _ if c <= KEPT_BY_WARP => &KEPT_OF_WARP,
        _ if c <= KEPT_BY_BLOCK => &KEPT_OF_BLOCK,
        _ => &OF_BLOCK,
    }
}

const BLOCK_IDEA: &str = "a block a row: neighbouring threads read neighbouring elements";
const WARP_IDEA: &str = "a warp a row: sums by shuffles alone, without barriers";
const VECTOR_IDEA: &str = "loads of 16 bytes, and the row stays in registers: it is read once";
const SPLIT_IDEA: &str = "a long row is cut among several blocks, so that few rows keep all multiprocessors busy";

const fn rung<F: Copy>(name: &'static str, idea: &'static str, run: F) -> CudaRung<F> {
    CudaRung { name, idea, run, needs: Capability::SM_75 }
}

/// The rungs of the forward pass, of either norm.
pub static FORWARD_CUDA_RUNGS: [CudaRung<Forward>; 5] = [
    rung("naive", "one thread a row, pass after pass", |gpu, input, output| {
        run_forward(gpu, &OF_THREAD, input, output)
    }),
    rung("block", BLOCK_IDEA, |gpu, input, output| run_forward(gpu, &OF_BLOCK, input, output)),
    rung("warp", WARP_IDEA, |gpu, input, output| run_forward(gpu, &OF_WARP, input, output)),
    rung("vector", VECTOR_IDEA, |gpu, input, output| run_forward(gpu, vector(input.c), input, output)),
    rung("split", SPLIT_IDEA, split::forward),
];

/// The rungs of the backward pass, of either norm.
pub static BACKWARD_CUDA_RUNGS: [CudaRung<Backward>; 6] = [
    rung("naive", "one thread a row, and one a column for the parameters", |gpu, input, gradients| {
        run_backward(gpu, &OF_THREAD, of_columns, input, gradients)
    }),
    rung("block", BLOCK_IDEA, |gpu, input, gradients| run_backward(gpu, &OF_BLOCK, of_columns, input, gradients)),
    rung("warp", WARP_IDEA, |gpu, input, gradients| run_backward(gpu, &OF_WARP, of_columns, input, gradients)),
    rung("vector", VECTOR_IDEA, |gpu, input, gradients| {
        run_backward(gpu, vector(input.c), of_columns, input, gradients)
    }),
    rung("partial", "the parameters' gradients by blocks of rows, added in a fixed order", |gpu, input, gradients| {
        run_backward(gpu, vector(input.c), by_chunks, input, gradients)
    }),
    rung("split", SPLIT_IDEA, split::backward),
];

/// The blocks that `rows` teams of threads fill.
fn size(team: usize, rows: usize) -> Result<Size> {
    Ok(Size::blocks(narrow("the number of blocks", rows.div_ceil(THREADS / team))?, THREADS as u32))
}

fn run_forward(
    gpu: &Gpu,
    kernels: &Kernels,
    input: InputOf<Slice<'_, f32>>,
    output: OutputOf<SliceMut<'_, f32>>,
) -> Result<()> {
    input.check(&output);
    let InputOf { rows, c, eps, x, gamma, beta } = input;
    let OutputOf { y, mean, rstd } = output;
    let name = kernels.forward[usize::from(mean.is_none())];
    let arguments = (narrow("rows", rows)?, narrow("c", c)?, eps, x, gamma, beta, y, mean, rstd);
    // SAFETY: `check` has compared all lengths with rows and c; a team past the last row has no elements and writes nothing, the others stay
    // in their row, and only the kernel of layer norm uses the mean.
    unsafe { gpu.launch(kernels.module, name, size(kernels.team, rows)?, arguments) }
}

/// Computes dγ and dβ.
type Parameters =
    fn(&Gpu, &BackwardInputOf<Slice<'_, f32>>, Option<SliceMut<'_, f32>>, Option<SliceMut<'_, f32>>) -> Result<()>;

fn run_backward(
    gpu: &Gpu,
    kernels: &Kernels,
    parameters: Parameters,
    input: BackwardInputOf<Slice<'_, f32>>,
    gradients: GradientsOf<SliceMut<'_, f32>>,
) -> Result<()> {
    input.check(&gradients);
    let GradientsOf { dx, add, dgamma, dbeta } = gradients;
    if dgamma.is_some() || dbeta.is_some() {
        parameters(gpu, &input, dgamma, dbeta)?;
    }
    let BackwardInputOf { rows, c, x, gamma, mean, rstd, dy } = input;
    let name = kernels.backward[usize::from(mean.is_none())];
    let arguments = (narrow("rows", rows)?, narrow("c", c)?, u32::from(add), x, gamma, mean, rstd, dy, dx);
    // SAFETY: as in `run_forward`.
    unsafe { gpu.launch(kernels.module, name, size(kernels.team, rows)?, arguments) }
}

/// dγ and dβ, one thread a column.
fn of_columns(
    gpu: &Gpu,
    input: &BackwardInputOf<Slice<'_, f32>>,
    dgamma: Option<SliceMut<'_, f32>>,
    dbeta: Option<SliceMut<'_, f32>>,
) -> Result<()> {
    let &BackwardInputOf { rows, c, x, mean, rstd, dy, .. } = input;
    let arguments = (narrow("rows", rows)?, narrow("c", c)?, x, mean, rstd, dy, dgamma, dbeta);
    // SAFETY: threads past the last column return, and lengths have been compared with rows and c.
    unsafe { gpu.launch(&NAIVE, "norm_naive_parameters", Size::threads(c, THREADS as u32)?, arguments) }
}

/// dγ and dβ by blocks of rows, the number of which depends on the sizes alone.
fn by_chunks(
    gpu: &Gpu,
    input: &BackwardInputOf<Slice<'_, f32>>,
    dgamma: Option<SliceMut<'_, f32>>,
    dbeta: Option<SliceMut<'_, f32>>,
) -> Result<()> {
    let &BackwardInputOf { rows, c, x, mean, rstd, dy, .. } = input;
    let of_chunk = rows.div_ceil(CHUNKS).max(ROWS_OF_CHUNK);
    let chunks = rows.div_ceil(of_chunk);
    let all = 0..chunks * c;
    let scratch =
        |wanted: bool| if wanted { Buffer::new(gpu, chunks * c * size_of::<f32>()).map(Some) } else { Ok(None) };
    let (mut for_gamma, mut for_beta) = (scratch(dgamma.is_some())?, scratch(dbeta.is_some())?);
    let [gamma, beta] =
        [&mut for_gamma, &mut for_beta].map(|part| part.as_mut().map(|part| part.slice_mut::<f32>(all.clone())));
    let (rows, narrow_c) = (narrow("rows", rows)?, narrow("c", c)?);
    let blocks = Size::blocks(narrow("the number of blocks", chunks * c.div_ceil(LANES))?, THREADS as u32);
    let arguments = (rows, narrow_c, narrow("rows of a block", of_chunk)?, x, mean, rstd, dy, gamma, beta);
    // SAFETY: there is a block for each chunk of rows and 32 columns; it skips rows and columns past the last, and writes a number for each
    // of its columns, of which the scratch has `chunks` rows.
    unsafe { gpu.launch(&PARTIAL, "norm_partial_sums", blocks, arguments)? };
    for (part, total) in [(for_gamma, dgamma), (for_beta, dbeta)] {
        let (Some(part), Some(total)) = (part, total) else { continue };
        let arguments = (narrow("chunks", chunks)?, narrow_c, part.slice::<f32>(all.clone()), total);
        // SAFETY: threads past the last column return; the scratch has `chunks` rows of c, the total has c elements.
        unsafe { gpu.launch(&PARTIAL, "norm_partial_total", Size::threads(c, THREADS as u32)?, arguments)? };
    }
    Ok(())
}

/// Layer norm, or without a place for the mean RMS norm; see [`super::forward`].
///
/// # Errors
/// Where the launch fails, or rows or columns are over 2³².
///
/// # Panics
/// Where a length is not the one that its field names, and where RMS norm has a β.
pub fn forward(gpu: &Gpu, input: InputOf<Slice<'_, f32>>, output: OutputOf<SliceMut<'_, f32>>) -> Result<()> {
    (FORWARD_CUDA_RUNGS[if split::is_cut(gpu, input.rows, input.c) { 4 } else { 3 }].run)(gpu, input, output)
}

/// The gradients of x, γ and β; see [`super::backward`].
///
/// # Errors
/// As [`forward`], and where there is no memory for the sums of blocks of rows.
///
/// # Panics
/// Where a length is not the one that its field names, and where RMS norm has a dβ.
pub fn backward(
    gpu: &Gpu,
    input: BackwardInputOf<Slice<'_, f32>>,
    gradients: GradientsOf<SliceMut<'_, f32>>,
) -> Result<()> {
    (BACKWARD_CUDA_RUNGS[if split::is_cut(gpu, input.rows, input.c) { 5 } else { 4 }].run)(gpu, input, gradients)
}
