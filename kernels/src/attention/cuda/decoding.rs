//! Decoding: one query, or a few, against a cache of keys and values in `f32`, or in bf16 ([`bf16_cache`]).

pub mod bf16_cache;

use super::arguments::{Inputs, Output, Problem, blocks, product, scratch, steps};
use super::forward::{self, Forward};
use crate::attention::Shape;
use crate::cuda::{Capability, CudaRung, Gpu, Module, Result, Size, SliceMut, module};

pub(super) static WARP: Module = module!("attention", "decode_warp");
pub(super) static SPLIT: Module = module!("attention", "decode_split");

/// The ladder of decoding: few queries.
pub static DECODE_CUDA_RUNGS: [CudaRung<Forward>; 4] = [
    rung("naive", "the definition", forward::naive),
    rung("tiled", "the general rung: tiles of 16 queries, most of them empty", forward::tiled),
    rung("warp", WARP_IDEA, |gpu, inputs, o, lse| {
        if fits(inputs) {
            by_warps(gpu, "attention_decode_warp", inputs, o, lse)
        } else {
            forward::tiled(gpu, inputs, o, lse)
        }
    }),
    rung("split", SPLIT_IDEA, |gpu, inputs, o, lse| {
        if fits(inputs) {
            split(gpu, "attention_decode_split", inputs, o, lse)
        } else {
            forward::tiled(gpu, inputs, o, lse)
        }
    }),
];

const WARP_IDEA: &str = "a warp for each query reads the cache as it lies, without shared memory";
const SPLIT_IDEA: &str =
    "keys split among warps and blocks and put together in a fixed order, so that few queries fill the card";

const fn rung<F: Copy>(name: &'static str, idea: &'static str, run: F) -> CudaRung<F> {
    CudaRung { name, idea, run, needs: Capability::SM_75 }
}

/// As many queries read the cache one by one; more share it in tiles.
const FEW: usize = 4;

/// Whether the best rung is one of these.
pub(super) fn is_decoding<C>(inputs: &Inputs<'_, C>) -> bool {
    inputs.shape.tq <= FEW && fits(inputs)
}

/// The best rung of decoding, for sizes of [`is_decoding`].
pub(super) fn best(gpu: &Gpu, inputs: &Inputs<'_>, o: Output<'_>, lse: SliceMut<'_, f32>) -> Result<()> {
    split(gpu, "attention_decode_split", inputs, o, lse)
}

/// The columns that a warp holds, four a lane.
const COLUMNS: usize = 128;
const THREADS: u32 = 256;
const WARPS: usize = 8;

fn fits<C>(inputs: &Inputs<'_, C>) -> bool {
    inputs.shape.d <= COLUMNS
}

fn by_warps<C: Copy>(
    gpu: &Gpu,
    kernel: &'static str,
    inputs: &Inputs<'_, C>,
    o: Output<'_>,
    lse: SliceMut<'_, f32>,
) -> Result<()> {
    assert!(fits(inputs), "attention: {} columns on a rung for {COLUMNS}", inputs.shape.d);
    let (problem, Shape { b, h, tq, .. }) = (Problem::new(inputs)?.0, inputs.shape);
    let [q, k, v, os] = [inputs.q.strides, inputs.k.strides, inputs.v.strides, o.strides].map(steps);
    let mask = inputs.options.mask.map(|mask| mask.keep);
    let size = Size::blocks(blocks(&[product(&[b, h, tq]).div_ceil(WARPS)])?, THREADS);
    let arguments = (problem, q, k, v, os, mask, inputs.q.data, inputs.k.data, inputs.v.data, o.data, lse);
    // SAFETY: there is a warp for each row of Q, O and lse; those past the last return. It reads rows of keys before Tk, and columns
    // before D, of which its lanes have 128; `Inputs` and `Output` have shown that they lie in their memory. The name of the kernel says C.
    unsafe { gpu.launch(&WARP, kernel, size, arguments) }
}

/// At least so many keys are worth a block of their own.
const KEYS_OF_A_PART: usize = 128;

/// How many blocks share the keys of a query: so many that there are two for each multiprocessor.
fn parts(gpu: &Gpu, Shape { b, h, tq, tk, .. }: Shape) -> usize {
    let rows = product(&[b, h, tq]).max(1);
    (2 * gpu.properties().multiprocessors).div_ceil(rows).min(tk.div_ceil(KEYS_OF_A_PART)).max(1)
}

fn split<C: Copy>(
    gpu: &Gpu,
    kernel: &'static str,
    inputs: &Inputs<'_, C>,
    o: Output<'_>,
    mut lse: SliceMut<'_, f32>,
) -> Result<()> {
    assert!(fits(inputs), "attention: {} columns on a rung for {COLUMNS}", inputs.shape.d);
    let (problem, Shape { b, h, tq, d, .. }, parts) = (Problem::new(inputs)?.0, inputs.shape, parts(gpu, inputs.shape));
    let [q, k, v, os] = [inputs.q.strides, inputs.k.strides, inputs.v.strides, o.strides].map(steps);
    let mask = inputs.options.mask.map(|mask| mask.keep);
    let rows = product(&[b, h, tq]);
    let (mut partials, len) = scratch::<f32>(gpu, &[if parts == 1 { 0 } else { rows }, parts, 2 + d])?;
    let arguments = (
        problem,
        q,
        k,
        v,
        os,
        parts as u32,
        mask,
        inputs.q.data,
        inputs.k.data,
        inputs.v.data,
        partials.slice_mut::<f32>(0..len),
        o.data,
        lse.reborrow(),
    );
    // SAFETY: there are `parts` blocks for each row of Q, O and lse. Each reads rows of keys before Tk, and columns before D, of which its
    // lanes have 128; `Inputs` and `Output` have shown that they lie in their memory. With several parts it writes the 2 + D numbers of its
    // part, and no O. The second kernel has a warp for each row. The name of the kernel says C.
    unsafe {
        gpu.launch(&SPLIT, kernel, Size::blocks(blocks(&[rows, parts])?, THREADS), arguments)?;
        if parts == 1 {
            return Ok(());
        }
        let size = Size::blocks(blocks(&[rows.div_ceil(WARPS)])?, THREADS);
        let arguments = (problem, os, parts as u32, partials.slice::<f32>(0..len), o.data, lse);
        gpu.launch(&SPLIT, "attention_decode_combine", size, arguments)
    }
}
