//! Attention with operands rounded to bf16: twice the multiply-adds a cycle, half the bytes of the packed blocks.
//!
//! # What is computed
//! The formulas of the [module above](super), where every operand of a product is rounded to bf16 ([`round`]): Q, K, V and dO
//! when they are packed, P and dS when they leave the registers. Sums, softmax, log-sum-exp, δ and all that the caller reads
//! or writes are `f32`, at the strides of the `f32` functions, so a caller only chooses which function it calls. δ is that of
//! the rounded dO, so that the rows of dS still sum up to about 0.
//!
//! # How
//! The rungs `register_softmax`, `short_sequence` and `threads` are generic over the operand kind: a 32-bit word is an `f32`,
//! or as here a pair of neighbours along the sum: along D in Q·Kᵀ and dO·Vᵀ, along the keys in P·V and dS·K, along the
//! queries in Pᵀ·dO and dSᵀ·Q. P of two queries, or of 32 keys, is rounded and paired by one or two instructions; V, K, Q and
//! dO are packed once more with their rows joined. With AMX heads go to tile registers (the folder `amx`).
//!
//! # Why it should pay
//! `vdpbf16ps` does twice the multiply-adds of `f32`, and loads half as many words. Softmax, packing and the finish stay, so
//! short sequences gain less: 1×12×1024×64 forward 275 GFLOP/s, `f32` 165 (two threads of a Zen 4). Without the instruction
//! pairs are taken apart again: there bf16 gives the same results, and no speed.
//!
//! # The oracle
//! The naive rung in `f64` on rounded Q, K, V and dO. It does not round P and dS; rounding changes each by at most 2⁻⁹ of its
//! value. So an element of O or dV may be off by 2⁻⁹·ΣP·|V|, or |dO| for V, and one of dQ or dK by 2⁻⁹·Σ|dS|·|K|, or |Q|; the
//! tests allow twice that. The backward pass takes O of its own forward pass, so δ brings in the error of O as well.

use crate::attention::{
    Inputs, Options, Output, Saved, Shape, Strides, View,
    ladder::{naive, register_softmax, register_softmax_backward, short_sequence, short_sequence_backward, threads},
};
use crate::{Bf16Isa, Rung, simd::bf16::round};

/// A forward rung: [`super::Forward`] at another kind of instruction set.
pub type Forward = super::Forward<Bf16Isa>;

/// A backward rung: [`super::Backward`] at another kind of instruction set.
pub type Backward = super::Backward<Bf16Isa>;

/// The forward ladder. What comes below is that of `f32`, for there is nothing about bf16 in it.
pub const FORWARD_RUNGS: &[Rung<Forward>] = &[
    Rung { name: "naive", idea: "the definition on rounded operands", run: naive_forward, simd: false },
    Rung {
        name: "register_softmax",
        idea: "words of two steps: half the multiply-adds and loads",
        run: register_softmax::forward,
        simd: true,
    },
    Rung { name: "short_sequence", idea: "short sequences in one block", run: short_sequence::forward, simd: true },
    Rung { name: "threads", idea: "a task for each chunk of the queries of a head", run: threads::forward, simd: true },
];

/// The backward ladder.
pub const BACKWARD_RUNGS: &[Rung<Backward>] = &[
    Rung { name: "naive", idea: "the definition on rounded operands", run: naive_backward, simd: false },
    Rung {
        name: "register_softmax",
        idea: "words of two steps: half the multiply-adds and loads",
        run: register_softmax_backward::backward,
        simd: true,
    },
    Rung {
        name: "short_sequence",
        idea: "short sequences in one block",
        run: short_sequence_backward::backward,
        simd: true,
    },
    Rung { name: "threads", idea: "one owner for every row of dK and dV", run: threads::backward, simd: true },
];

fn best_forward(inputs: &Inputs<'_>, o: Output<'_>, lse: &mut [f32]) {
    if inputs.shape.tq == 1 {
        return super::best_forward(inputs, o, lse);
    }
    threads::forward(Bf16Isa::active(), inputs, o, lse)
}

fn best_backward(inputs: &Inputs<'_>, saved: &Saved<'_>, gradients: [Output<'_>; 3]) {
    threads::backward(Bf16Isa::active(), inputs, saved, gradients)
}

/// [`super::forward`] with rounded operands. One query (decoding) is bound by the reading of the cache, and not rounded.
///
/// # Panics
/// Like [`super::forward`].
pub fn forward(shape: Shape, options: &Options<'_>, qkv: [View<'_>; 3], o: (&mut [f32], Strides), lse: &mut [f32]) {
    super::forward_by(best_forward, shape, options, qkv, o, lse)
}

/// [`super::backward`] with rounded operands.
///
/// # Panics
/// Like [`super::backward`].
pub fn backward(
    shape: Shape,
    options: &Options<'_>,
    qkv: [View<'_>; 3],
    o: View<'_>,
    lse: &[f32],
    d_o: View<'_>,
    gradients: [(&mut [f32], Strides); 3],
) {
    super::backward_by(best_backward, shape, options, qkv, o, lse, d_o, gradients)
}

/// [`super::forward_packed`] with rounded operands.
///
/// # Panics
/// Like [`super::forward_packed`].
pub fn forward_packed(shape: Shape, options: &Options<'_>, qkv: &[f32], o: &mut [f32], lse: &mut [f32]) {
    super::forward_packed_by(best_forward, shape, options, qkv, o, lse)
}

/// [`super::backward_packed`] with rounded operands.
///
/// # Panics
/// Like [`super::backward_packed`].
pub fn backward_packed(
    shape: Shape,
    options: &Options<'_>,
    qkv: &[f32],
    o: &[f32],
    lse: &[f32],
    d_o: &[f32],
    d_qkv: &mut [f32],
) {
    super::backward_packed_by(best_backward, shape, options, qkv, o, lse, d_o, d_qkv)
}

/// Every element rounded to the nearest bf16, as `f32` again.
pub fn rounded(x: &[f32]) -> Vec<f32> {
    x.iter().map(|&x| round(x).to_f32()).collect()
}

/// Calls `work` with the inputs rounded.
fn with_rounded(inputs: &Inputs<'_>, work: impl FnOnce(&Inputs<'_>)) {
    let [q, k, v] = [&inputs.q, &inputs.k, &inputs.v].map(|x| rounded(x.data));
    let view = |data, from: &View<'_>| View { data, strides: from.strides };
    work(&Inputs { q: view(&q, &inputs.q), k: view(&k, &inputs.k), v: view(&v, &inputs.v), ..*inputs })
}

fn naive_forward(_: Bf16Isa, inputs: &Inputs<'_>, o: Output<'_>, lse: &mut [f32]) {
    with_rounded(inputs, |inputs| naive::forward_view(inputs, o, lse))
}

fn naive_backward(_: Bf16Isa, inputs: &Inputs<'_>, saved: &Saved<'_>, gradients: [Output<'_>; 3]) {
    let d_o = rounded(saved.d_o.data);
    let saved = Saved { d_o: View { data: &d_o[..], ..saved.d_o }, ..*saved };
    with_rounded(inputs, |inputs| naive::backward_view(inputs, &saved, gradients))
}
