//! Attention with operands rounded to bf16, as [`crate::attention::bf16`].
//!
//! Q, K, V and dO are rounded once, into scratch memory (`round.cu` says why). On tensor cores P and dS are rounded as well, when they become
//! operands; on cards without them, and for heads of more than 128 columns, the rungs of `f32` run on rounded operands.

use super::arguments::{Inputs, Options, Output, Problem, Saved, View, blocks, product, scratch, steps};
use super::forward::{WIDTHS, width};
use super::{Backward, Forward, backward as ladder_backward, decoding, forward as ladder_forward};
use crate::attention::{Shape, Strides};
use crate::cuda::{Buffer, Capability, CudaRung, Gpu, Module, Result, Size, Slice, SliceMut, module, narrow};

pub(super) static ROUND: Module = module!("attention", "round");
pub(super) static TENSOR: Module = module!("attention", "tensor", SM_80);
pub(super) static SWIZZLED: Module = module!("attention", "swizzled", SM_80);
pub(super) static STAGED: Module = module!("attention", "staged", SM_80);
pub(super) static TENSOR_BACKWARD: Module = module!("attention", "tensor_backward", SM_80);

/// The forward ladder. What comes below is that of `f32`, for there is nothing about bf16 in it.
pub static FORWARD_CUDA_RUNGS: [CudaRung<Forward>; 4] = [
    CudaRung { name: "rounded", idea: ROUNDED_IDEA, run: rounded_forward, needs: Capability::SM_75 },
    CudaRung {
        name: "tensor",
        idea: "both products on tensor cores, P rounded in its registers",
        run: |gpu, inputs, o, lse| by_tensor_cores(gpu, &TENSOR, TENSOR_KERNELS, 8, 2, inputs, o, lse),
        needs: Capability::SM_80,
    },
    CudaRung {
        name: "swizzled",
        idea: "fragments by ldmatrix from swizzled tiles",
        run: |gpu, inputs, o, lse| by_tensor_cores(gpu, &SWIZZLED, SWIZZLED_KERNELS, 0, 2, inputs, o, lse),
        needs: Capability::SM_80,
    },
    CudaRung {
        name: "staged",
        idea: "the next tile is copied by cp.async while this one is multiplied",
        run: staged,
        needs: Capability::SM_80,
    },
];

/// The backward ladder.
pub static BACKWARD_CUDA_RUNGS: [CudaRung<Backward>; 2] = [
    CudaRung { name: "rounded", idea: ROUNDED_IDEA, run: rounded_backward, needs: Capability::SM_75 },
    CudaRung {
        name: "tensor",
        idea: "all products on tensor cores, P and dS rounded in their registers",
        run: tensor_backward,
        needs: Capability::SM_80,
    },
];

const ROUNDED_IDEA: &str = "operands rounded in scratch memory, then the best rung for f32: on every card";

fn best_forward(gpu: &Gpu, inputs: &Inputs<'_>, o: Output<'_>, lse: SliceMut<'_, f32>) -> Result<()> {
    if inputs.shape.tq == 1 {
        return ladder_forward::best(gpu, inputs, o, lse); // bound by the reading of the cache, and not rounded
    }
    // A few queries read the cache one by one: no tile of 64 queries is filled, and the copy would cost more than the reading.
    if decoding::is_decoding(inputs) || gpu.properties().capability < Capability::SM_80 {
        return rounded_forward(gpu, inputs, o, lse);
    }
    staged(gpu, inputs, o, lse)
}

fn best_backward(gpu: &Gpu, inputs: &Inputs<'_>, saved: &Saved<'_>, gradients: [Output<'_>; 3]) -> Result<()> {
    if gpu.properties().capability < Capability::SM_80 {
        return rounded_backward(gpu, inputs, saved, gradients);
    }
    tensor_backward(gpu, inputs, saved, gradients)
}

/// [`super::forward`] with rounded operands. One query (decoding) is not rounded.
///
/// # Errors
/// As [`super::forward`].
///
/// # Panics
/// As [`crate::attention::bf16::forward`].
pub fn forward(
    gpu: &Gpu,
    shape: Shape,
    options: &Options<'_>,
    qkv: [View<'_>; 3],
    o: (SliceMut<'_, f32>, Strides),
    lse: SliceMut<'_, f32>,
) -> Result<()> {
    super::forward_by(best_forward, gpu, shape, options, qkv, o, lse)
}

/// [`super::backward`] with rounded operands.
///
/// # Errors
/// As [`super::forward`].
///
/// # Panics
/// As [`crate::attention::bf16::backward`].
#[allow(clippy::too_many_arguments)] // those of the contract
pub fn backward(
    gpu: &Gpu,
    shape: Shape,
    options: &Options<'_>,
    qkv: [View<'_>; 3],
    o: View<'_>,
    lse: Slice<'_, f32>,
    d_o: View<'_>,
    gradients: [(SliceMut<'_, f32>, Strides); 3],
) -> Result<()> {
    super::backward_by(best_backward, gpu, shape, options, qkv, Saved::new(shape, o, lse, d_o), gradients)
}

/// [`super::forward_packed`] with rounded operands.
///
/// # Errors
/// As [`super::forward`].
///
/// # Panics
/// As [`crate::attention::bf16::forward_packed`].
pub fn forward_packed(
    gpu: &Gpu,
    shape: Shape,
    options: &Options<'_>,
    qkv: Slice<'_, f32>,
    o: SliceMut<'_, f32>,
    lse: SliceMut<'_, f32>,
) -> Result<()> {
    super::forward_packed_by(best_forward, gpu, shape, options, qkv, o, lse)
}

/// [`super::backward_packed`] with rounded operands.
///
/// # Errors
/// As [`super::forward`].
///
/// # Panics
/// As [`crate::attention::bf16::backward_packed`].
#[allow(clippy::too_many_arguments)] // those of the contract
pub fn backward_packed(
    gpu: &Gpu,
    shape: Shape,
    options: &Options<'_>,
    qkv: Slice<'_, f32>,
    o: Slice<'_, f32>,
    lse: Slice<'_, f32>,
    d_o: Slice<'_, f32>,
    d_qkv: SliceMut<'_, f32>,
) -> Result<()> {
    super::backward_packed_by(best_backward, gpu, shape, options, qkv, [o, lse, d_o], d_qkv)
}

/// Threads of `round.cu`, and rows of a block where a warp has one.
const THREADS: u32 = 256;
const WARPS: usize = 8;

/// The numbers of x \[B,H,T,D\] rounded, rows of `columns` one after the other; `E` is what `kernel` writes.
fn rounded<E: bytemuck::Pod>(
    gpu: &Gpu,
    kernel: &'static str,
    [b, h, t]: [usize; 3],
    [d, columns]: [usize; 2],
    x: View<'_>,
) -> Result<(Buffer, usize)> {
    let (mut y, len) = scratch::<E>(gpu, &[b, h, t, columns])?;
    let sizes =
        [("the number of heads", h), ("the length", t), ("the size of a head", d), ("the size of a head", columns)];
    let [h, t, d, columns] = sizes.map(|(what, size)| narrow(what, size));
    let size = Size::threads(len, THREADS)?;
    let strides = steps(x.strides);
    let arguments = (h?, t?, d?, columns?, strides, len as u64, x.data, y.slice_mut::<E>(0..len));
    // SAFETY: there is a thread for each number of y, which has the type that the kernel writes and reads that of x in the same place, if its
    // column is before D; the view was checked for these sizes.
    unsafe { gpu.launch(&ROUND, kernel, size, arguments)? };
    Ok((y, len))
}

/// Rows one after the other in memory.
fn rows([_, h, t]: [usize; 3], d: usize) -> Strides {
    Strides { b: h * t * d, h: t * d, t: d }
}

/// Calls `work` with the inputs rounded, in `f32`.
fn with_rounded(gpu: &Gpu, inputs: &Inputs<'_>, work: impl FnOnce(&Inputs<'_>) -> Result<()>) -> Result<()> {
    let Shape { b, h, h_kv, tq, tk, d } = inputs.shape;
    let (queries, keys) = ([b, h, tq], [b, h_kv, tk]);
    let round = |sizes, x| rounded::<f32>(gpu, "attention_round_f32", sizes, [d, d], x);
    let (q, k, v) = (round(queries, inputs.q)?, round(keys, inputs.k)?, round(keys, inputs.v)?);
    let view = |buffer, sizes| View { data: buffer, strides: rows(sizes, d) };
    let (q, k, v) = (q.0.slice(0..q.1), k.0.slice(0..k.1), v.0.slice(0..v.1));
    let (q, k, v) = (view(q, queries), view(k, keys), view(v, keys));
    work(&Inputs::new(inputs.shape, inputs.options, q, k, v))
}

fn rounded_forward(gpu: &Gpu, inputs: &Inputs<'_>, o: Output<'_>, lse: SliceMut<'_, f32>) -> Result<()> {
    with_rounded(gpu, inputs, |inputs| ladder_forward::best(gpu, inputs, o, lse))
}

fn rounded_backward(gpu: &Gpu, inputs: &Inputs<'_>, saved: &Saved<'_>, gradients: [Output<'_>; 3]) -> Result<()> {
    let Shape { b, h, tq, d, .. } = inputs.shape;
    let (d_o, len) = rounded::<f32>(gpu, "attention_round_f32", [b, h, tq], [d, d], saved.d_o)?;
    let d_o = View { data: d_o.slice(0..len), strides: rows([b, h, tq], d) };
    let saved = Saved { d_o, ..*saved };
    with_rounded(gpu, inputs, |inputs| ladder_backward::best(gpu, inputs, &saved, gradients))
}

/// Of each width the kernel.
type Kernels = [&'static str; 4];

const TENSOR_KERNELS: Kernels = [
    "attention_tensor_forward_16",
    "attention_tensor_forward_32",
    "attention_tensor_forward_64",
    "attention_tensor_forward_128",
];
const SWIZZLED_KERNELS: Kernels = [
    "attention_swizzled_forward_16",
    "attention_swizzled_forward_32",
    "attention_swizzled_forward_64",
    "attention_swizzled_forward_128",
];
const STAGED_KERNELS: Kernels = [
    "attention_staged_forward_16",
    "attention_staged_forward_32",
    "attention_staged_forward_64",
    "attention_staged_forward_128",
];
const DK_DV_KERNELS: Kernels = [
    "attention_tensor_dk_dv_16",
    "attention_tensor_dk_dv_32",
    "attention_tensor_dk_dv_64",
    "attention_tensor_dk_dv_128",
];
const DQ_KERNELS: Kernels =
    ["attention_tensor_dq_16", "attention_tensor_dq_32", "attention_tensor_dq_64", "attention_tensor_dq_128"];

/// The rows that a block owns, the keys of a tile forward and the rows that go by backward; the threads of a block.
const OWN: usize = 64;
const KEYS: usize = 64;
const OTHERS: usize = 32;
const BLOCK: u32 = 128;

fn staged(gpu: &Gpu, inputs: &Inputs<'_>, o: Output<'_>, lse: SliceMut<'_, f32>) -> Result<()> {
    by_tensor_cores(gpu, &STAGED, STAGED_KERNELS, 0, 4, inputs, o, lse)
}

/// A forward rung on tensor cores, with `tiles` tiles of keys or values in shared memory whose rows are `padding` numbers longer than
/// a head.
#[allow(clippy::too_many_arguments)]
fn by_tensor_cores(
    gpu: &Gpu,
    module: &'static Module,
    kernels: Kernels,
    padding: usize,
    tiles: usize,
    inputs: &Inputs<'_>,
    o: Output<'_>,
    lse: SliceMut<'_, f32>,
) -> Result<()> {
    let Some(number) = width(inputs.shape.d) else { return rounded_forward(gpu, inputs, o, lse) };
    let (columns, problem) = (WIDTHS[number], Problem::new(inputs)?.0);
    let Shape { b, h, h_kv, tq, tk, d } = inputs.shape;
    let round = |sizes, x| rounded::<u16>(gpu, "attention_round_bf16", sizes, [d, columns], x);
    let (q, k, v) = (round([b, h, tq], inputs.q)?, round([b, h_kv, tk], inputs.k)?, round([b, h_kv, tk], inputs.v)?);
    let [q, k, v] = [&q, &k, &v].map(|(buffer, len)| buffer.slice::<u16>(0..*len));
    let mask = inputs.options.mask.map(|mask| mask.keep);
    let size = Size::blocks(blocks(&[b, h, tq.div_ceil(OWN)])?, BLOCK).shared(2 * tiles * KEYS * (columns + padding));
    // SAFETY: there is a block for each head and 64 queries, with shared memory for its tiles. It reads rows of queries before Tq and of keys
    // before Tk of the rounded operands, and writes rows before Tq and columns before D of O and lse, which `Output` has shown to lie
    // in their memory.
    unsafe { gpu.launch(module, kernels[number], size, (problem, steps(o.strides), mask, q, k, v, o.data, lse)) }
}

fn tensor_backward(gpu: &Gpu, inputs: &Inputs<'_>, saved: &Saved<'_>, gradients: [Output<'_>; 3]) -> Result<()> {
    let Some(number) = width(inputs.shape.d) else { return rounded_backward(gpu, inputs, saved, gradients) };
    let (columns, problem) = (WIDTHS[number], Problem::new(inputs)?.0);
    let Shape { b, h, h_kv, tq, tk, d } = inputs.shape;
    let round = |sizes, x| rounded::<u16>(gpu, "attention_round_bf16", sizes, [d, columns], x);
    let (q, d_o) = (round([b, h, tq], inputs.q)?, round([b, h, tq], saved.d_o)?);
    let (k, v) = (round([b, h_kv, tk], inputs.k)?, round([b, h_kv, tk], inputs.v)?);
    let [q, k, v, d_o] = [&q, &k, &v, &d_o].map(|(buffer, len)| buffer.slice::<u16>(0..*len));
    let [dqs, dks, dvs] = gradients.each_ref().map(|gradient| steps(gradient.strides));
    let [dq, dk, dv] = gradients.map(|gradient| gradient.data);
    let (mask, lse) = (inputs.options.mask.map(|mask| mask.keep), saved.lse);
    let (mut delta, rows) = scratch::<f32>(gpu, &[b, h, tq])?;
    let [os, gs] = [saved.o.strides, saved.d_o.strides].map(steps);
    let bytes = 2 * columns * 2 * (OWN + OTHERS);
    let size = |owners| Ok(Size::blocks(blocks(&[owners, b])?, BLOCK).shared(bytes));
    // SAFETY: δ has a warp for each row of O and dO, which `Saved` has shown to lie in their memory. Then there is a block for each 64 keys, or
    // queries, of a head, with shared memory for two tiles of them and two of the others. It reads rows of queries before Tq and of
    // keys before Tk of the rounded operands, and writes such rows and columns before D, which `Output` has shown to lie in their memory.
    unsafe {
        let arguments = (problem, os, gs, saved.o.data, saved.d_o.data, delta.slice_mut::<f32>(0..rows));
        let warps = Size::blocks(blocks(&[product(&[b, h, tq]).div_ceil(WARPS)])?, THREADS);
        gpu.launch(&ROUND, "attention_round_delta", warps, arguments)?;
        let delta = delta.slice::<f32>(0..rows);
        let arguments = (problem, dks, dvs, mask, q, k, v, d_o, lse, delta, dk, dv);
        gpu.launch(&TENSOR_BACKWARD, DK_DV_KERNELS[number], size(product(&[h_kv, tk.div_ceil(OWN)]))?, arguments)?;
        let arguments = (problem, dqs, mask, q, k, v, d_o, lse, delta, dq);
        gpu.launch(&TENSOR_BACKWARD, DQ_KERNELS[number], size(product(&[h, tq.div_ceil(OWN)]))?, arguments)
    }
}
