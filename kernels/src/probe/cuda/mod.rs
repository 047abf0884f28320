//! Launches the probes. What they compute is known, so that tests see that the work which is counted is done.

use crate::cuda::{Gpu, Module, Result, Size, Slice, SliceMut, module, narrow};

static FMA: Module = module!("probe", "fma");
static MMA: Module = module!("probe", "mma", SM_80);
static MEMORY: Module = module!("probe", "memory");

/// The files of kernels.
pub(crate) const MODULES: &[&Module] = &[&FMA, &MMA, &MEMORY];

/// The threads of a block.
pub const THREADS: usize = 256;
/// The blocks of a multiprocessor: of 256 threads each, so many that all kinds of cards are full.
const BLOCKS: usize = 8;
/// The multiply-adds of a thread in a link of [`fma`].
pub const CHAINS: usize = 8;
/// FLOPs of a warp in a link of [`mma`]: eight products of 16×16 by 16×8.
pub const MMA_FLOPS: usize = 8 * 2 * 16 * 16 * 8;
/// The elements that a thread moves at a time.
const QUAD: usize = 4;

/// The threads that fill the card, each of which writes one element of y.
pub fn threads(gpu: &Gpu) -> usize {
    gpu.properties().multiprocessors * BLOCKS * THREADS
}

fn size(threads: usize) -> Result<Size> {
    assert!(threads > 0 && threads.is_multiple_of(THREADS), "{threads} elements are not those of whole blocks");
    Size::threads(threads, THREADS as u32)
}

fn quads(elements: usize) -> u64 {
    assert!(elements.is_multiple_of(QUAD), "{elements} elements, which is no multiple of {QUAD}");
    (elements / QUAD) as u64
}

/// Chains of `links` multiply-adds x ← a·x + b in `f32`, [`CHAINS`] in each thread; chain i begins with i, and a thread's element of `y`
/// becomes the sum of its chains. There are as many threads as elements of `y`.
///
/// # Errors
/// Where the launch fails.
///
/// # Panics
/// Where `y` does not have the elements of whole blocks of [`THREADS`].
pub fn fma(gpu: &Gpu, links: u32, a: f32, b: f32, y: SliceMut<'_, f32>) -> Result<()> {
    // SAFETY: each thread writes its element of y, which has as many as there are threads.
    unsafe { gpu.launch(&FMA, "probe_fma", size(y.len())?, (links, a, b, y)) }
}

/// Chains of `links` products on tensor cores, C ← C + A·B with all of A equal to `a` and all of B to `b`, rounded to bf16; eight in each
/// warp. A thread's element of `y` becomes the sum of what it holds: 512·`links`·`a`·`b`.
///
/// # Errors
/// Where the launch fails, or the card has no such tensor cores.
///
/// # Panics
/// As [`fma`].
pub fn mma(gpu: &Gpu, links: u32, a: f32, b: f32, y: SliceMut<'_, f32>) -> Result<()> {
    // SAFETY: as in `fma`; blocks are whole warps.
    unsafe { gpu.launch(&MMA, "probe_mma", size(y.len())?, (links, a, b, y)) }
}

/// Reads all of `x` by as many threads as `y` has elements, and leaves in each the sum of what its thread has read.
///
/// # Errors
/// Where the launch fails.
///
/// # Panics
/// As [`fma`]; where `x` is not of a multiple of 4 elements that begins at a multiple of 16 bytes.
pub fn read(gpu: &Gpu, x: Slice<'_, f32>, y: SliceMut<'_, f32>) -> Result<()> {
    assert!(x.is_aligned(16), "x begins at no multiple of 16 bytes");
    // SAFETY: threads read groups of four elements before the last, and each writes its element of y.
    unsafe { gpu.launch(&MEMORY, "probe_read", size(y.len())?, (quads(x.len()), x, y)) }
}

/// y = x.
///
/// # Errors
/// Where the launch fails.
///
/// # Panics
/// Where `x` and `y` are not of one length, a multiple of 4 elements, and begin at multiples of 16 bytes.
pub fn copy(gpu: &Gpu, x: Slice<'_, f32>, y: SliceMut<'_, f32>) -> Result<()> {
    assert_eq!(x.len(), y.len(), "elements of x and y");
    assert!(x.is_aligned(16) && y.as_slice().is_aligned(16), "x or y begins at no multiple of 16 bytes");
    let blocks = Size::blocks(narrow("the number of blocks", threads(gpu) / THREADS)?, THREADS as u32);
    // SAFETY: threads read and write groups of four elements before the last of x and y, which have as many.
    unsafe { gpu.launch(&MEMORY, "probe_copy", blocks, (quads(x.len()), x, y)) }
}

/// All of `y` = `value`.
///
/// # Errors
/// Where the launch fails.
///
/// # Panics
/// Where `y` is not of a multiple of 4 elements that begins at a multiple of 16 bytes.
pub fn write(gpu: &Gpu, value: f32, y: SliceMut<'_, f32>) -> Result<()> {
    assert!(y.as_slice().is_aligned(16), "y begins at no multiple of 16 bytes");
    let blocks = Size::blocks(narrow("the number of blocks", threads(gpu) / THREADS)?, THREADS as u32);
    // SAFETY: threads write groups of four elements before the last of y.
    unsafe { gpu.launch(&MEMORY, "probe_write", blocks, (quads(y.len()), value, y)) }
}
