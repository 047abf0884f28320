//! Attention on CUDA: the ladders, and the functions of the contract by their best rungs.
//!
//! Read first: `naive.cu` and `naive_backward.cu`, the definition; `tiled.cu` and `recompute.cu`, which keep no scores in memory.
//!
//! | pass | ladder | files |
//! | --- | --- | --- |
//! | forward | [`FORWARD_CUDA_RUNGS`] | `naive.cu`, `tiled.cu`, `register.cu` |
//! | backward | [`BACKWARD_CUDA_RUNGS`] | `naive_backward.cu`, `recompute.cu`, `register_backward.cu` |
//! | forward, bf16 | [`bf16::FORWARD_CUDA_RUNGS`] | `round.cu`, `tensor.sm_80.cu`, `swizzled.sm_80.cu`, `staged.sm_80.cu` |
//! | backward, bf16 | [`bf16::BACKWARD_CUDA_RUNGS`] | `tensor_backward.sm_80.cu` |
//! | decoding | [`DECODE_CUDA_RUNGS`], [`bf16_cache::DECODE_CUDA_RUNGS`] | `decode_warp.cu`, `decode_split.cu` |

mod arguments;
mod backward;
pub mod bf16;
pub mod decoding;
mod forward;

pub use arguments::{Inputs, Options, Output, Saved, View};
pub use backward::{BACKWARD_CUDA_RUNGS, Backward};
pub use decoding::{DECODE_CUDA_RUNGS, bf16_cache};
pub use forward::{FORWARD_CUDA_RUNGS, Forward};

use super::{Shape, Strides, assert_contiguous, contiguous, view};
use crate::cuda::{Gpu, Module, Result, Slice, SliceMut};
use arguments::packed;

/// The files of kernels.
pub(crate) const MODULES: &[&Module] =
    &[&forward::NAIVE, &forward::TILED, &backward::NAIVE, &backward::RECOMPUTE, &decoding::WARP, &decoding::SPLIT];

/// O and lse from Q, K and V, by the best rung, as [`crate::attention::forward`].
///
/// # Errors
/// Where the device fails or has too little memory, or a size does not fit into 32 bits.
///
/// # Panics
/// As [`crate::attention::forward`].
pub fn forward(
    gpu: &Gpu,
    shape: Shape,
    options: &Options<'_>,
    qkv: [View<'_>; 3],
    o: (SliceMut<'_, f32>, Strides),
    lse: SliceMut<'_, f32>,
) -> Result<()> {
    forward_by(forward::best, gpu, shape, options, qkv, o, lse)
}

fn forward_by(
    run: Forward,
    gpu: &Gpu,
    shape: Shape,
    options: &Options<'_>,
    [q, k, v]: [View<'_>; 3],
    (mut o, o_strides): (SliceMut<'_, f32>, Strides),
    lse: SliceMut<'_, f32>,
) -> Result<()> {
    let inputs = Inputs::new(shape, *options, q, k, v);
    view::assert_lse(shape, lse.len());
    run(gpu, &inputs, Output::new("o", &mut o, [shape.b, shape.h, shape.tq], o_strides, shape.d), lse)
}

/// dQ, dK and dV from the gradient `d_o` of the output, by the best rung, as [`crate::attention::backward`].
///
/// # Errors
/// As [`forward`].
///
/// # Panics
/// As [`crate::attention::backward`].
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
    backward_by(backward::best, gpu, shape, options, qkv, Saved::new(shape, o, lse, d_o), gradients)
}

fn backward_by(
    run: Backward,
    gpu: &Gpu,
    shape: Shape,
    options: &Options<'_>,
    [q, k, v]: [View<'_>; 3],
    saved: Saved<'_>,
    [mut dq, mut dk, mut dv]: [(SliceMut<'_, f32>, Strides); 3],
) -> Result<()> {
    let inputs = Inputs::new(shape, *options, q, k, v);
    let [queries, keys] = [[shape.b, shape.h, shape.tq], [shape.b, shape.h_kv, shape.tk]];
    let dq = Output::new("dq", &mut dq.0, queries, dq.1, shape.d);
    let dk = Output::new("dk", &mut dk.0, keys, dk.1, shape.d);
    run(gpu, &inputs, &saved, [dq, dk, Output::new("dv", &mut dv.0, keys, dv.1, shape.d)])
}

/// Self-attention on one contiguous \[B,T,3,H,D\] buffer, as [`crate::attention::forward_packed`].
///
/// # Errors
/// As [`forward`].
///
/// # Panics
/// As [`crate::attention::forward_packed`].
pub fn forward_packed(
    gpu: &Gpu,
    shape: Shape,
    options: &Options<'_>,
    qkv: Slice<'_, f32>,
    o: SliceMut<'_, f32>,
    lse: SliceMut<'_, f32>,
) -> Result<()> {
    forward_packed_by(forward::best, gpu, shape, options, qkv, o, lse)
}

fn forward_packed_by(
    run: Forward,
    gpu: &Gpu,
    shape: Shape,
    options: &Options<'_>,
    qkv: Slice<'_, f32>,
    o: SliceMut<'_, f32>,
    lse: SliceMut<'_, f32>,
) -> Result<()> {
    let parts = packed(qkv, shape);
    assert_contiguous(shape, o.len());
    forward_by(run, gpu, shape, options, parts, (o, contiguous(shape)), lse)
}

/// The gradient of [`forward_packed`], as [`crate::attention::backward_packed`].
///
/// # Errors
/// As [`forward`].
///
/// # Panics
/// As [`crate::attention::backward_packed`].
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
    backward_packed_by(backward::best, gpu, shape, options, qkv, [o, lse, d_o], d_qkv)
}

fn backward_packed_by(
    run: Backward,
    gpu: &Gpu,
    shape: Shape,
    options: &Options<'_>,
    qkv: Slice<'_, f32>,
    [o, lse, d_o]: [Slice<'_, f32>; 3],
    mut d_qkv: SliceMut<'_, f32>,
) -> Result<()> {
    let [q, k, v] = packed(qkv, shape);
    let inputs = Inputs::new(shape, *options, q, k, v);
    assert_contiguous(shape, o.len());
    assert_contiguous(shape, d_o.len());
    let strides = contiguous(shape);
    let saved = Saved::new(shape, View { data: o, strides }, lse, View { data: d_o, strides });
    run(gpu, &inputs, &saved, Output::packed(&mut d_qkv, shape))
}
