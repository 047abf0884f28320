//! The backward ladder.

use super::arguments::{Inputs, Output, Problem, Saved, blocks, product, scratch, steps};
use super::forward::{COLUMNS, TILE, WIDTHS, tiles_bytes, width};
use crate::attention::Shape;
use crate::cuda::{Buffer, Capability, CudaRung, Gpu, Module, Result, Size, module};

pub(super) static NAIVE: Module = module!("attention", "naive_backward");
pub(super) static RECOMPUTE: Module = module!("attention", "recompute");
pub(super) static REGISTER: Module = module!("attention", "register_backward");

/// A backward rung: `(gpu, inputs, saved, [dq, dk, dv])`.
pub type Backward = for<'a> fn(&Gpu, &Inputs<'a>, &Saved<'a>, [Output<'_>; 3]) -> Result<()>;

/// The backward ladder.
pub static BACKWARD_CUDA_RUNGS: [CudaRung<Backward>; 3] = [
    rung("naive", "the definition: probabilities and dS as matrices in memory", naive),
    rung(
        "recompute",
        "scores computed again in tiles, one owner for every gradient: no matrices in memory, no atomics",
        recompute,
    ),
    rung("register", "register tiles of scores, dP and gradients; tiles that nobody sees are skipped", register),
];

const fn rung(name: &'static str, idea: &'static str, run: Backward) -> CudaRung<Backward> {
    CudaRung { name, idea, run, needs: Capability::SM_75 }
}

/// The best rung for these sizes.
pub(super) fn best(gpu: &Gpu, inputs: &Inputs<'_>, saved: &Saved<'_>, gradients: [Output<'_>; 3]) -> Result<()> {
    register(gpu, inputs, saved, gradients)
}

/// The threads of a block where each computes one number, or a warp one row.
const THREADS: u32 = 256;
const WARPS: usize = 8;

fn naive(gpu: &Gpu, inputs: &Inputs<'_>, saved: &Saved<'_>, [dq, dk, dv]: [Output<'_>; 3]) -> Result<()> {
    let (problem, Shape { b, h, h_kv, tq, tk, d }) = (Problem::new(inputs)?.0, inputs.shape);
    let [q, k, v] = [inputs.q.strides, inputs.k.strides, inputs.v.strides].map(steps);
    let [os, gs] = [saved.o.strides, saved.d_o.strides].map(steps);
    let [dqs, dks, dvs] = [dq.strides, dk.strides, dv.strides].map(steps);
    let mask = inputs.options.mask.map(|mask| mask.keep);
    let (mut delta, rows) = scratch::<f32>(gpu, &[b, h, tq])?;
    let ((mut dropped, len), (mut ds, _)) =
        (scratch::<f32>(gpu, &[b, h, tq, tk])?, scratch::<f32>(gpu, &[b, h, tq, tk])?);
    let size = |sizes: &[usize]| Size::threads(product(sizes), THREADS);
    // SAFETY: threads past the last number return; the others write one number of each matrix, of which there are B·H·Tq·Tk, of δ, or of
    // the gradients. `Inputs`, `Saved` and `Output` have shown that all rows lie in their memory.
    unsafe {
        let arguments = (problem, os, gs, saved.o.data, saved.d_o.data, delta.slice_mut::<f32>(0..rows));
        gpu.launch(&NAIVE, "attention_naive_delta", size(&[b, h, tq])?, arguments)?;
        let operands = (inputs.q.data, inputs.k.data, inputs.v.data, saved.d_o.data);
        let arguments = (
            problem,
            q,
            k,
            v,
            gs,
            mask,
            operands.0,
            operands.1,
            operands.2,
            operands.3,
            saved.lse,
            delta.slice::<f32>(0..rows),
            dropped.slice_mut::<f32>(0..len),
            ds.slice_mut::<f32>(0..len),
        );
        gpu.launch(&NAIVE, "attention_naive_matrices", size(&[b, h, tq, tk])?, arguments)?;
        let (dropped, ds) = (dropped.slice::<f32>(0..len), ds.slice::<f32>(0..len));
        let arguments = (problem, k, dqs, inputs.k.data, ds, dq.data);
        gpu.launch(&NAIVE, "attention_naive_dq", size(&[b, h, tq, d])?, arguments)?;
        let arguments = (problem, q, gs, dks, dvs, inputs.q.data, saved.d_o.data, dropped, ds, dk.data, dv.data);
        gpu.launch(&NAIVE, "attention_naive_dk_dv", size(&[b, h_kv, tk, d])?, arguments)
    }
}

/// δ = Σ dO·O of each row, \[B,H,Tq\].
pub(super) fn delta(gpu: &Gpu, inputs: &Inputs<'_>, saved: &Saved<'_>) -> Result<(Buffer, usize)> {
    let (problem, Shape { b, h, tq, .. }) = (Problem::new(inputs)?.0, inputs.shape);
    let (mut delta, rows) = scratch::<f32>(gpu, &[b, h, tq])?;
    let [os, gs] = [saved.o.strides, saved.d_o.strides].map(steps);
    let size = Size::blocks(blocks(&[rows.div_ceil(WARPS)])?, THREADS);
    let arguments = (problem, os, gs, saved.o.data, saved.d_o.data, delta.slice_mut::<f32>(0..rows));
    // SAFETY: there is a warp for each row of O, dO and δ; those past the last touch nothing. `Saved` has shown that the rows lie in
    // their memory.
    unsafe { gpu.launch(&RECOMPUTE, "attention_recompute_delta", size, arguments)? };
    Ok((delta, rows))
}

fn recompute(gpu: &Gpu, inputs: &Inputs<'_>, saved: &Saved<'_>, [dq, dk, dv]: [Output<'_>; 3]) -> Result<()> {
    let (problem, Shape { b, h, h_kv, tq, tk, d }) = (Problem::new(inputs)?.0, inputs.shape);
    let [q, k, v, gs] = [inputs.q.strides, inputs.k.strides, inputs.v.strides, saved.d_o.strides].map(steps);
    let [dqs, dks, dvs] = [dq.strides, dk.strides, dv.strides].map(steps);
    let mask = inputs.options.mask.map(|mask| mask.keep);
    let (delta, rows) = delta(gpu, inputs, saved)?;
    let chunks = d.div_ceil(COLUMNS);
    let size =
        |owners: [usize; 3]| Ok(Size::blocks(blocks(&[owners[0], owners[1], owners[2].div_ceil(TILE), chunks])?, 256));
    let operands =
        (inputs.q.data, inputs.k.data, inputs.v.data, saved.d_o.data, saved.lse, delta.slice::<f32>(0..rows));
    let (a0, a1, a2, a3, a4, a5) = operands;
    let c = chunks as u32;
    // SAFETY: there is a block for each 16 keys, or queries, of a head and 64 columns. It reads rows of queries before Tq and of keys before
    // Tk and columns before D, and writes such rows and columns; `Inputs`, `Saved` and `Output` have shown that they lie in their memory.
    unsafe {
        let arguments = (problem, q, k, v, gs, dks, dvs, c, mask, a0, a1, a2, a3, a4, a5, dk.data, dv.data);
        gpu.launch(&RECOMPUTE, "attention_recompute_dk_dv", size([b, h_kv, tk])?, arguments)?;
        let arguments = (problem, q, k, v, gs, dqs, c, mask, a0, a1, a2, a3, a4, a5, dq.data);
        gpu.launch(&RECOMPUTE, "attention_recompute_dq", size([b, h, tq])?, arguments)
    }
}

/// Of each width the rows that a block of `register_backward.cu` owns, those that go by at a time, and the kernels of both passes.
const REGISTER_KERNELS: [(usize, usize, [&str; 2]); 4] = [
    (64, 64, ["attention_register_dk_dv_16", "attention_register_dq_16"]),
    (64, 64, ["attention_register_dk_dv_32", "attention_register_dq_32"]),
    (64, 32, ["attention_register_dk_dv_64", "attention_register_dq_64"]),
    (32, 16, ["attention_register_dk_dv_128", "attention_register_dq_128"]),
];

pub(super) fn register(gpu: &Gpu, inputs: &Inputs<'_>, saved: &Saved<'_>, gradients: [Output<'_>; 3]) -> Result<()> {
    let Some(width) = width(inputs.shape.d) else { return recompute(gpu, inputs, saved, gradients) };
    let (problem, Shape { b, h, h_kv, tq, tk, .. }) = (Problem::new(inputs)?.0, inputs.shape);
    let [q, k, v, gs] = [inputs.q.strides, inputs.k.strides, inputs.v.strides, saved.d_o.strides].map(steps);
    let [dqs, dks, dvs] = gradients.each_ref().map(|gradient| steps(gradient.strides));
    let [dq, dk, dv] = gradients.map(|gradient| gradient.data);
    let mask = inputs.options.mask.map(|mask| mask.keep);
    let (delta, rows) = delta(gpu, inputs, saved)?;
    let (own, others, kernels) = REGISTER_KERNELS[width];
    let bytes = tiles_bytes(WIDTHS[width], own, others, 2, 2);
    let size = |owners: [usize; 3]| {
        Ok(Size::blocks(blocks(&[owners[0], owners[1], owners[2].div_ceil(own)])?, 256).shared(bytes))
    };
    let (a0, a1, a2, a3) = (inputs.q.data, inputs.k.data, inputs.v.data, saved.d_o.data);
    let (lse, delta) = (saved.lse, delta.slice::<f32>(0..rows));
    // SAFETY: there is a block for each `own` keys, or queries, of a head, with shared memory for two tiles of them, two of the others, and
    // the weights. It reads rows of queries before Tq and of keys before Tk and columns before D, and writes such rows and columns;
    // `Inputs`, `Saved` and `Output` have shown that they lie in their memory.
    unsafe {
        let arguments = (problem, q, k, v, gs, dks, dvs, mask, a0, a1, a2, a3, lse, delta, dk, dv);
        gpu.launch(&REGISTER, kernels[0], size([b, h_kv, tk])?, arguments)?;
        let arguments = (problem, q, k, v, gs, dqs, mask, a0, a1, a2, a3, lse, delta, dq);
        gpu.launch(&REGISTER, kernels[1], size([b, h, tq])?, arguments)
    }
}
