//! The step of an optimiser on CUDA, and the sum of squares of its gradients: the ladders, and the functions of the contract by their
//! best rungs.

use super::{AdamW, Sgd};
use crate::cuda::{Buffer, Capability, CudaRung, Gpu, Module, Result, Size, Slice, SliceMut, module};

static ADAMW: Module = module!("optimizer", "adamw");
static SGD: Module = module!("optimizer", "sgd");
static NORM: Module = module!("optimizer", "norm");

/// The files of kernels.
pub(crate) const MODULES: &[&Module] = &[&ADAMW, &SGD, &NORM];

/// The threads of a block.
const THREADS: u32 = 256;
/// The elements of a thread in the vector rungs.
const QUAD: usize = 4;

/// `(gpu, options, p, g, m, v)`
pub type AdamWFn =
    fn(&Gpu, AdamW, SliceMut<'_, f32>, Slice<'_, f32>, SliceMut<'_, f32>, SliceMut<'_, f32>) -> Result<()>;
/// `(gpu, options, p, g, velocity)`
pub type SgdFn = fn(&Gpu, Sgd, SliceMut<'_, f32>, Slice<'_, f32>, SliceMut<'_, f32>) -> Result<()>;
/// `(gpu, g, sum)`
pub type NormFn = fn(&Gpu, Slice<'_, f32>, SliceMut<'_, f64>) -> Result<()>;

const NAIVE_IDEA: &str = "one fused pass, an element a thread";
const VECTOR_IDEA: &str = "four elements a thread in accesses of 16 bytes: a quarter of the memory instructions";

/// The rungs of AdamW.
pub static ADAMW_CUDA_RUNGS: [CudaRung<AdamWFn>; 2] = [
    rung("naive", NAIVE_IDEA, |gpu, options, p, g, m, v| {
        run_adamw(gpu, ("optimizer_naive_adamw", 1), options, p, g, m, v)
    }),
    rung("vector", VECTOR_IDEA, |gpu, options, p, g, m, v| {
        run_adamw(gpu, ("optimizer_vector_adamw", QUAD), options, p, g, m, v)
    }),
];

/// The rungs of SGD.
pub static SGD_CUDA_RUNGS: [CudaRung<SgdFn>; 2] = [
    rung("naive", NAIVE_IDEA, |gpu, options, p, g, u| run_sgd(gpu, ("optimizer_naive_sgd", 1), options, p, g, u)),
    rung("vector", VECTOR_IDEA, |gpu, options, p, g, u| run_sgd(gpu, ("optimizer_vector_sgd", QUAD), options, p, g, u)),
];

/// The rungs of the sum of squares.
pub static NORM_CUDA_RUNGS: [CudaRung<NormFn>; 2] = [
    rung("naive", "one block, one sum for each of its threads", one_block),
    rung("blocks", "a part for each of so many blocks that the card is full, added by another launch", all_blocks),
];

const fn rung<F: Copy>(name: &'static str, idea: &'static str, run: F) -> CudaRung<F> {
    CudaRung { name, idea, run, needs: Capability::SM_75 }
}

/// A kernel's name, and how many elements a thread has.
type Kernel = (&'static str, usize);

fn run_adamw(
    gpu: &Gpu,
    (name, each): Kernel,
    options: AdamW,
    p: SliceMut<'_, f32>,
    g: Slice<'_, f32>,
    m: SliceMut<'_, f32>,
    v: SliceMut<'_, f32>,
) -> Result<()> {
    options.expect(p.len(), g.len(), m.len(), v.len());
    let (beta1, beta2, lr) = (f64::from(options.beta1), f64::from(options.beta2), f64::from(options.lr));
    let t = options.step as f64;
    // `struct AdamW` of the kernel.
    let numbers = [
        beta1,
        1.0 - beta1,
        beta2,
        1.0 - beta2,
        1.0 / (1.0 - beta2.powf(t)).sqrt(),
        -lr / (1.0 - beta1.powf(t)),
        1.0 - lr * f64::from(options.weight_decay),
        f64::from(options.eps),
        f64::from(options.grad_scale),
    ]
    .map(|x| x as f32);
    let size = Size::threads(p.len().div_ceil(each), THREADS)?;
    // SAFETY: all four have as many elements as the kernel is told, and threads past the last one do nothing.
    unsafe { gpu.launch(&ADAMW, name, size, (numbers, p.len() as u64, p, g, m, v)) }
}

fn run_sgd(
    gpu: &Gpu,
    (name, each): Kernel,
    options: Sgd,
    p: SliceMut<'_, f32>,
    g: Slice<'_, f32>,
    velocity: SliceMut<'_, f32>,
) -> Result<()> {
    options.expect(p.len(), g.len(), velocity.len());
    let numbers = [options.lr, options.momentum, options.weight_decay, options.grad_scale];
    let size = Size::threads(p.len().div_ceil(each), THREADS)?;
    let arguments = (numbers, u32::from(options.nesterov), p.len() as u64, p, g, velocity);
    // SAFETY: all three have as many elements as the kernel is told, and threads past the last one do nothing.
    unsafe { gpu.launch(&SGD, name, size, arguments) }
}

fn expect_sum(sum: usize) {
    assert_eq!(sum, 1, "the sum is one element");
}

fn one_block(gpu: &Gpu, g: Slice<'_, f32>, sum: SliceMut<'_, f64>) -> Result<()> {
    expect_sum(sum.len());
    partial(gpu, 1, g, sum)
}

/// The sums of `blocks` blocks, one number each.
fn partial(gpu: &Gpu, blocks: u32, g: Slice<'_, f32>, sums: SliceMut<'_, f64>) -> Result<()> {
    // SAFETY: g has as many elements as the kernel is told, and there is a number for each block.
    unsafe { gpu.launch(&NORM, "optimizer_norm_partial", Size::blocks(blocks, THREADS), (g.len() as u64, g, sums)) }
}

/// The most blocks, several for each multiprocessor of a large card, and the elements of a thread from which on there are more of them.
const MAX_BLOCKS: usize = 1024;
const AT_LEAST: usize = 8;

fn all_blocks(gpu: &Gpu, g: Slice<'_, f32>, mut sum: SliceMut<'_, f64>) -> Result<()> {
    expect_sum(sum.len());
    let blocks = g.len().div_ceil(AT_LEAST * THREADS as usize).clamp(1, MAX_BLOCKS);
    if blocks == 1 {
        return partial(gpu, 1, g, sum);
    }
    let mut parts = Buffer::new(gpu, blocks * size_of::<f64>())?;
    partial(gpu, blocks as u32, g, parts.slice_mut(0..blocks))?;
    let arguments = (blocks as u32, parts.slice::<f64>(0..blocks), sum.reborrow());
    // SAFETY: there are as many parts as the kernel is told, and the sum is one number.
    unsafe { gpu.launch(&NORM, "optimizer_norm_finish", Size::blocks(1, THREADS), arguments) }
}

/// One step of AdamW; see [`super::adamw()`].
///
/// # Errors
/// Where the launch fails.
///
/// # Panics
/// Unless all are of one length, `step` is at least 1 and both betas are in [0, 1).
pub fn adamw(
    gpu: &Gpu,
    options: AdamW,
    p: SliceMut<'_, f32>,
    g: Slice<'_, f32>,
    m: SliceMut<'_, f32>,
    v: SliceMut<'_, f32>,
) -> Result<()> {
    (ADAMW_CUDA_RUNGS[1].run)(gpu, options, p, g, m, v)
}

/// One step of SGD; see [`super::sgd()`].
///
/// # Errors
/// Where the launch fails.
///
/// # Panics
/// Unless all are of one length.
pub fn sgd(
    gpu: &Gpu,
    options: Sgd,
    p: SliceMut<'_, f32>,
    g: Slice<'_, f32>,
    velocity: SliceMut<'_, f32>,
) -> Result<()> {
    (SGD_CUDA_RUNGS[1].run)(gpu, options, p, g, velocity)
}

/// Σ g² written to `sum`, one element; see [`super::sum_of_squares_to`]. Squares are taken in `f64`, so none is out of range.
///
/// # Errors
/// Where a launch fails, or there is no memory for the sums of the blocks.
///
/// # Panics
/// Unless `sum` has one element.
pub fn sum_of_squares_to(gpu: &Gpu, g: Slice<'_, f32>, sum: SliceMut<'_, f64>) -> Result<()> {
    (NORM_CUDA_RUNGS[1].run)(gpu, g, sum)
}
