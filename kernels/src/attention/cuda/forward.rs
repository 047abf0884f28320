//! The forward ladder.

use super::arguments::{Inputs, Output, Problem, blocks, product, scratch, steps};
use super::decoding;
use crate::attention::Shape;
use crate::cuda::{Capability, CudaRung, Gpu, Module, Result, Size, SliceMut, module};

pub(super) static NAIVE: Module = module!("attention", "naive");
pub(super) static TILED: Module = module!("attention", "tiled");
pub(super) static REGISTER: Module = module!("attention", "register");

/// A forward rung: `(gpu, inputs, o, lse)`; lse is \[B,H,Tq\].
pub type Forward = for<'a> fn(&Gpu, &Inputs<'a>, Output<'_>, SliceMut<'_, f32>) -> Result<()>;

/// The forward ladder.
pub static FORWARD_CUDA_RUNGS: [CudaRung<Forward>; 3] = [
    rung("naive", "the definition: scores as matrices in memory, in three kernels", naive),
    rung("tiled", "keys and values in shared memory, softmax corrected from tile to tile: no scores in memory", tiled),
    rung("register", "register tiles of scores and outputs; tiles that nobody sees are skipped", register),
];

const fn rung(name: &'static str, idea: &'static str, run: Forward) -> CudaRung<Forward> {
    CudaRung { name, idea, run, needs: Capability::SM_75 }
}

/// The best rung for these sizes.
pub(super) fn best(gpu: &Gpu, inputs: &Inputs<'_>, o: Output<'_>, lse: SliceMut<'_, f32>) -> Result<()> {
    if decoding::is_decoding(inputs) { decoding::best(gpu, inputs, o, lse) } else { register(gpu, inputs, o, lse) }
}

/// The threads of a block where each computes one number.
const THREADS: u32 = 256;

pub(super) fn naive(gpu: &Gpu, inputs: &Inputs<'_>, o: Output<'_>, mut lse: SliceMut<'_, f32>) -> Result<()> {
    let (problem, Shape { b, h, tq, tk, d, .. }) = (Problem::new(inputs)?.0, inputs.shape);
    let [q, k, v, os] = [inputs.q.strides, inputs.k.strides, inputs.v.strides, o.strides].map(steps);
    let mask = inputs.options.mask.map(|mask| mask.keep);
    let (mut scores, len) = scratch::<f32>(gpu, &[b, h, tq, tk])?;
    let size = |sizes: &[usize]| Size::threads(product(sizes), THREADS);
    // SAFETY: threads past the last number return; the others write one number of the scores, of which there are B·H·Tq·Tk, or a row
    // of them and a number of lse, or a number of O. `Inputs` and `Output` have shown that all rows lie in their memory.
    unsafe {
        let arguments = (problem, q, k, mask, inputs.q.data, inputs.k.data, scores.slice_mut::<f32>(0..len));
        gpu.launch(&NAIVE, "attention_naive_scores", size(&[b, h, tq, tk])?, arguments)?;
        let arguments = (problem, scores.slice_mut::<f32>(0..len), lse.reborrow());
        gpu.launch(&NAIVE, "attention_naive_softmax", size(&[b, h, tq])?, arguments)?;
        let arguments = (problem, v, os, scores.slice::<f32>(0..len), inputs.v.data, o.data);
        gpu.launch(&NAIVE, "attention_naive_output", size(&[b, h, tq, d])?, arguments)
    }
}

/// The queries and the keys of a tile, and the columns that a block of `tiled.cu` and `recompute.cu` owns.
pub(super) const TILE: usize = 16;
pub(super) const COLUMNS: usize = 64;

pub(super) fn tiled(gpu: &Gpu, inputs: &Inputs<'_>, o: Output<'_>, lse: SliceMut<'_, f32>) -> Result<()> {
    let (problem, Shape { b, h, tq, d, .. }) = (Problem::new(inputs)?.0, inputs.shape);
    let [q, k, v, os] = [inputs.q.strides, inputs.k.strides, inputs.v.strides, o.strides].map(steps);
    let mask = inputs.options.mask.map(|mask| mask.keep);
    let chunks = d.div_ceil(COLUMNS).max(1); // lse is written where there are no columns too
    let size = Size::blocks(blocks(&[b, h, tq.div_ceil(TILE), chunks])?, 256);
    let arguments =
        (problem, q, k, v, os, chunks as u32, mask, inputs.q.data, inputs.k.data, inputs.v.data, o.data, lse);
    // SAFETY: there is a block for each head, 16 queries and 64 columns. It reads rows of queries before Tq and of keys before Tk and
    // columns before D, and writes such rows and columns of O and lse; `Inputs` and `Output` have shown that they lie in their memory.
    unsafe { gpu.launch(&TILED, "attention_tiled_forward", size, arguments) }
}

/// The sizes of a head that the fast rungs are compiled for; a head is padded to the next.
pub(super) const WIDTHS: [usize; 4] = [16, 32, 64, 128];

/// The number of the width that D columns are padded to; `None` where there is none so large.
pub(super) fn width(d: usize) -> Option<usize> {
    WIDTHS.iter().position(|&width| d <= width)
}

/// The rows of so many numbers in `register.cuh`, which are four longer in shared memory.
const fn padded_rows(rows: usize, numbers: usize) -> usize {
    rows * (numbers + 4)
}

/// The shared memory of register tiles: of each width the bytes for `kept` tiles of the block's own rows, `passing` tiles of those that go
/// by, and the weights of the one for the other.
pub(super) fn tiles_bytes(width: usize, own: usize, others: usize, kept: usize, passing: usize) -> usize {
    4 * (kept * padded_rows(own, width) + passing * padded_rows(others, width) + padded_rows(own, others))
}

/// Of each width, how many keys `register.cu` has in a tile, and the kernel.
const REGISTER_KERNELS: [(usize, &str); 4] = [
    (64, "attention_register_forward_16"),
    (64, "attention_register_forward_32"),
    (64, "attention_register_forward_64"),
    (32, "attention_register_forward_128"),
];

/// The queries of a block of `register.cu`.
const QUERIES: usize = 64;

pub(super) fn register(gpu: &Gpu, inputs: &Inputs<'_>, o: Output<'_>, lse: SliceMut<'_, f32>) -> Result<()> {
    let Some(width) = width(inputs.shape.d) else { return tiled(gpu, inputs, o, lse) };
    let (problem, Shape { b, h, tq, .. }) = (Problem::new(inputs)?.0, inputs.shape);
    let [q, k, v, os] = [inputs.q.strides, inputs.k.strides, inputs.v.strides, o.strides].map(steps);
    let mask = inputs.options.mask.map(|mask| mask.keep);
    let (keys, kernel) = REGISTER_KERNELS[width];
    let size = Size::blocks(blocks(&[b, h, tq.div_ceil(QUERIES)])?, 256);
    let size = size.shared(tiles_bytes(WIDTHS[width], QUERIES, keys, 1, 1));
    let arguments = (problem, q, k, v, os, mask, inputs.q.data, inputs.k.data, inputs.v.data, o.data, lse);
    // SAFETY: there is a block for each head and 64 queries, with shared memory for a tile of queries, one of keys or values, and the
    // weights. It reads rows of queries before Tq and of keys before Tk and columns before D, and writes such rows and columns of O
    // and lse; `Inputs` and `Output` have shown that they lie in their memory.
    unsafe { gpu.launch(&REGISTER, kernel, size, arguments) }
}
