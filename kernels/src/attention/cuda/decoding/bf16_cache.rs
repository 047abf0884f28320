//! Decoding with keys and values that are stored in bf16, as [`crate::attention::bf16_cache`]: half the bytes that a token reads.

use super::{SPLIT_IDEA, WARP, WARP_IDEA, by_warps, fits, is_decoding, rung, split};
use crate::attention::cuda::{
    arguments::{Inputs, Options, Output, View, product, scratch, steps},
    forward::{best, naive},
};
use crate::attention::{Shape, Strides, view};
use crate::cuda::{Buffer, CudaRung, Gpu, Result, Size, SliceMut, narrow};
use half::bf16;

/// A rung: inputs to O and lse, as [`crate::attention::cuda::Forward`].
pub type Forward = for<'a> fn(&Gpu, &Inputs<'a, bf16>, Output<'_>, SliceMut<'_, f32>) -> Result<()>;

/// The ladder of decoding from a cache in bf16.
pub static DECODE_CUDA_RUNGS: [CudaRung<Forward>; 4] = [
    rung("naive", "the definition, after all keys and values were written to memory as f32", |gpu, inputs, o, lse| {
        with_widened(gpu, inputs, |inputs| naive(gpu, inputs, o, lse))
    }),
    rung("widened", "written to memory as f32 too, then the best rung for f32", widened),
    rung("warp", WARP_IDEA, |gpu, inputs, o, lse| {
        if !fits(inputs) {
            return widened(gpu, inputs, o, lse);
        }
        by_warps(gpu, "attention_decode_warp_bf16", inputs, o, lse)
    }),
    rung("split", SPLIT_IDEA, |gpu, inputs, o, lse| {
        if !fits(inputs) {
            return widened(gpu, inputs, o, lse);
        }
        split(gpu, "attention_decode_split_bf16", inputs, o, lse)
    }),
];

/// [`crate::attention::cuda::forward`] with keys and values stored in bf16, by the best rung. With more than a few queries (a prompt) they
/// are widened into scratch memory first.
///
/// # Errors
/// As [`crate::attention::cuda::forward`].
///
/// # Panics
/// As [`crate::attention::bf16_cache::forward`].
pub fn forward(
    gpu: &Gpu,
    shape: Shape,
    options: &Options<'_>,
    q: View<'_>,
    [k, v]: [View<'_, bf16>; 2],
    (mut o, o_strides): (SliceMut<'_, f32>, Strides),
    lse: SliceMut<'_, f32>,
) -> Result<()> {
    let inputs = Inputs::new(shape, *options, q, k, v);
    view::assert_lse(shape, lse.len());
    let o = Output::new("o", &mut o, [shape.b, shape.h, shape.tq], o_strides, shape.d);
    if is_decoding(&inputs) {
        return split(gpu, "attention_decode_split_bf16", &inputs, o, lse);
    }
    widened(gpu, &inputs, o, lse)
}

fn widened(gpu: &Gpu, inputs: &Inputs<'_, bf16>, o: Output<'_>, lse: SliceMut<'_, f32>) -> Result<()> {
    with_widened(gpu, inputs, |inputs| best(gpu, inputs, o, lse))
}

/// Calls `work` with the keys and values in `f32`, the rows of a head one after the other.
fn with_widened(gpu: &Gpu, inputs: &Inputs<'_, bf16>, work: impl FnOnce(&Inputs<'_>) -> Result<()>) -> Result<()> {
    let (k, v) = (widen(gpu, inputs.shape, inputs.k)?, widen(gpu, inputs.shape, inputs.v)?);
    let Shape { h_kv, tk, d, .. } = inputs.shape;
    let strides = Strides { b: h_kv * tk * d, h: tk * d, t: d };
    let [k, v] = [&k, &v].map(|(buffer, len)| View { data: buffer.slice(0..*len), strides });
    work(&Inputs::new(inputs.shape, inputs.options, inputs.q, k, v))
}

fn widen(gpu: &Gpu, Shape { b, h_kv, tk, d, .. }: Shape, x: View<'_, bf16>) -> Result<(Buffer, usize)> {
    let (mut y, len) = scratch::<f32>(gpu, &[b, h_kv, tk, d])?;
    let [h, t, columns] = [narrow("key heads", h_kv)?, narrow("keys", tk)?, narrow("the size of a head", d)?];
    let size = Size::threads(product(&[b, h_kv, tk, d]), super::THREADS)?;
    let arguments = (h, t, columns, steps(x.strides), len as u64, x.data, y.slice_mut::<f32>(0..len));
    // SAFETY: there is a thread for each number of y, which reads that of x in the same place; `Inputs` has shown that it lies in its memory.
    unsafe { gpu.launch(&WARP, "attention_decode_widen", size, arguments)? };
    Ok((y, len))
}
