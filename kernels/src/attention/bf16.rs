//! Attention with operands rounded to bf16: twice the multiply-adds a cycle, half the bytes of the packed blocks.
//!
//! # What is computed
//! The formulas of the [module above](super), where every operand of a product is rounded to bf16
//! ([`round`]): Q, K, V and dO when they are packed, P and dS when they leave the registers. Sums, softmax,
//! log-sum-exp, δ and all that is read or written by the caller are `f32`, at the strides of the `f32` functions, so a caller
//! only chooses which function it calls. δ is that of the rounded dO, so that the rows of dS still sum up to about 0.
//!
//! # How
//! The rungs `register_softmax` and `short_sequence` are generic over the kind of operand (`operand_kind.rs`): a 32-bit word is an `f32`, or as here a pair of neighbours along
//! the sum: along D in Q·Kᵀ and dO·Vᵀ, along the keys in P·V and dS·K, along the queries in Pᵀ·dO and dSᵀ·Q. P of two queries, or of 32
//! keys, is rounded and paired by one instruction or two, and V, K, Q and dO are packed once more with their rows joined.
//!
//! # What it buys
//! `vdpbf16ps` does twice the multiply-adds of `f32`, and loads half as many words. Softmax, packing and the finish stay,
//! so short sequences gain less. Measured (Zen 4, two threads, AVX-512 with bf16, causal, packed operands, medians in
//! GFLOP/s of the nominal half on a machine with other work, forward / forward and backward; PyTorch 2 in bf16 on the
//! same machine, from another run):
//!
//! | B×H×T×D | f32 | bf16 | PyTorch bf16 |
//! | --- | --- | --- | --- |
//! | 12×4×64×32 | 125 / 131 | 148 / 154 | |
//! | 12×4×64×64 | 140 / 145 | 185 / 188 | |
//! | 16×6×256×64 | 134 / 140 | 175 / 197 | 47 / 41 |
//! | 1×12×1024×64 | 165 / 168 | 275 / 260 | 90 / 102 |
//! | 1×12×4096×64 | 172 / 187 | 282 / 283 | 126 / 148 |
//!
//! So it pays at every size that was tried, by 1.2 at T = 64 and D = 32 and by 1.2 to 1.7 above. Without the instruction
//! the pairs are taken apart again: there bf16 is for the same results, not for speed.
//!
//! On a Granite Rapids, where `vdpbf16ps` does half the multiply-adds of `f32`, words of pairs lose to it. With AMX,
//! heads go to tiles instead (the folder `amx`), with masks and dropout too: without them 2.3 to 4
//! times as fast as `f32` from T = 256 on.
//!
//! # The oracle
//! The naive rung in `f64` on rounded Q, K, V and dO. What it does not round is P and dS, each by at most 2⁻⁹ of its
//! value. So an element of O or dV may be off by 2⁻⁹·ΣP·|V|, or |dO| for V, and one of dQ or dK by 2⁻⁹·Σ|dS|·|K|, or |Q|;
//! the tests allow twice that. In all of it the error of an average of many terms is much smaller than the bound.
//! The backward pass takes O of its own forward pass, so δ brings in the error of O as well.

use crate::attention::{
    Inputs, Options, Output, Saved, Shape, Strides, View, amx,
    blocks::operand_kind::Pairs,
    ladder::{naive, register_softmax, register_softmax_backward, short_sequence, short_sequence_backward, threads},
    one_by_one,
    view::{Part, PartOf},
};
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use crate::simd::tiles::Amx;
use crate::{
    Bf16Isa, Rung, bf16_fn, scratch,
    simd::{Portable, bf16::round, tiles::Tiles},
};
use std::ops::Range;

/// A forward rung: [`super::Forward`] at another kind of instruction set.
pub type Forward = for<'a> fn(Bf16Isa, &Inputs<'a>, Output<'_>, &mut [f32]);

/// A backward rung: [`super::Backward`] at another kind of instruction set.
pub type Backward = for<'a> fn(Bf16Isa, &Inputs<'a>, &Saved<'a>, [Output<'_>; 3]);

/// The forward ladder. What comes below is that of `f32`, for there is nothing about bf16 in it.
pub const FORWARD_RUNGS: &[Rung<Forward>] = &[
    Rung { name: "naive", idea: "the definition on rounded operands", run: naive_forward, simd: false },
    Rung {
        name: "register_softmax",
        idea: "words of two steps: half the multiply-adds and loads",
        run: serial_forward,
        simd: true,
    },
    Rung { name: "short_sequence", idea: "short sequences in one block", run: serial_one_block, simd: true },
    Rung { name: "threads", idea: "a task for each chunk of the queries of a head", run: threads_forward, simd: true },
];

/// The backward ladder.
pub const BACKWARD_RUNGS: &[Rung<Backward>] = &[
    Rung { name: "naive", idea: "the definition on rounded operands", run: naive_backward, simd: false },
    Rung {
        name: "register_softmax",
        idea: "words of two steps: half the multiply-adds and loads",
        run: serial_backward,
        simd: true,
    },
    Rung { name: "short_sequence", idea: "short sequences in one block", run: serial_one_block_backward, simd: true },
    Rung { name: "threads", idea: "one owner for every row of dK and dV", run: threads_backward, simd: true },
];

fn best_forward(inputs: &Inputs<'_>, o: Output<'_>, lse: &mut [f32]) {
    if inputs.shape.tq == 1 {
        return super::best_forward(inputs, o, lse);
    }
    threads_forward(Bf16Isa::active(), inputs, o, lse)
}

fn best_backward(inputs: &Inputs<'_>, saved: &Saved<'_>, gradients: [Output<'_>; 3]) {
    threads_backward(Bf16Isa::active(), inputs, saved, gradients)
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

fn serial_forward(isa: Bf16Isa, inputs: &Inputs<'_>, o: Output<'_>, lse: &mut [f32]) {
    one_by_one::forward(inputs, o, lse, |head, rows, o, lse| chunk(isa, inputs, head, rows, o, lse))
}

fn serial_backward(isa: Bf16Isa, inputs: &Inputs<'_>, saved: &Saved<'_>, gradients: [Output<'_>; 3]) {
    one_by_one::backward(inputs, gradients, |head, keys, dq, dkv| {
        chunk_backward(isa, inputs, saved, head, keys, dq, dkv);
    })
}

fn serial_one_block(isa: Bf16Isa, inputs: &Inputs<'_>, o: Output<'_>, lse: &mut [f32]) {
    one_by_one::forward(inputs, o, lse, |head, rows, o, lse| short(isa, inputs, head, rows, o, lse))
}

fn serial_one_block_backward(isa: Bf16Isa, inputs: &Inputs<'_>, saved: &Saved<'_>, gradients: [Output<'_>; 3]) {
    one_by_one::backward(inputs, gradients, |head, keys, dq, dkv| {
        short_backward(isa, inputs, saved, head, keys, dq, dkv);
    })
}

fn threads_forward(isa: Bf16Isa, inputs: &Inputs<'_>, o: Output<'_>, lse: &mut [f32]) {
    threads::forward_tasks(inputs, o, lse, |head, rows, o, lse| short(isa, inputs, head, rows, o, lse))
}

fn threads_backward(isa: Bf16Isa, inputs: &Inputs<'_>, saved: &Saved<'_>, gradients: [Output<'_>; 3]) {
    threads::backward_tasks(inputs, gradients, |head, keys, dq, dkv| {
        short_backward(isa, inputs, saved, head, keys, dq, dkv);
    })
}

fn chunk(isa: Bf16Isa, inputs: &Inputs<'_>, head: [usize; 2], rows: Range<usize>, o: Part<'_>, lse: Part<'_>) {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if isa == Bf16Isa::Amx && amx::forward::fits(inputs) {
        let mut tiles = Amx::configured().expect("this machine has no AMX");
        return tile_chunk(isa, &mut tiles, inputs, head, rows, [o, lse]);
    }
    let len = register_softmax::lengths::<Pairs<Portable>>(inputs, rows.len()).iter().sum();
    scratch::with(len, |buffer: &mut [u32]| pairs(isa, inputs, head, rows, [o, lse], buffer));
}

/// The forward pass of the queries `rows` of one head on tiles, with vectors of any level, where it fits.
#[cfg_attr(not(all(target_arch = "x86_64", target_os = "linux")), allow(dead_code))]
pub(super) fn tile_chunk(
    isa: Bf16Isa,
    tiles: &mut impl Tiles,
    inputs: &Inputs<'_>,
    head: [usize; 2],
    rows: Range<usize>,
    outputs: [Part<'_>; 2],
) {
    let len = amx::forward::lengths(inputs, &rows).iter().sum();
    scratch::with(len, |buffer: &mut [u32]| {
        amx::forward::attend(isa, tiles, inputs, head, rows, outputs, buffer);
    });
}

bf16_fn! {
    fn pairs<B>(
        b: B,
        inputs: &Inputs<'_>,
        head: [usize; 2],
        rows: Range<usize>,
        outputs: [Part<'_>; 2],
        buffer: &mut [u32],
    ) {
        register_softmax::attend(Pairs(b), inputs, head, rows, outputs, buffer)
    }
}

fn chunk_backward(
    isa: Bf16Isa,
    inputs: &Inputs<'_>,
    saved: &Saved<'_>,
    [b, kv]: [usize; 2],
    keys: Range<usize>,
    dq: &PartOf<'_>,
    gradients: [Part<'_>; 2],
) {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if isa == Bf16Isa::Amx && amx::forward::fits(inputs) {
        let mut tiles = Amx::configured().expect("this machine has no AMX");
        return tile_chunk_backward(isa, &mut tiles, inputs, saved, [b, kv], keys, dq, gradients);
    }
    let space = register_softmax_backward::lengths::<Pairs<Portable>>(inputs, &keys).iter().sum();
    one_by_one::sharing(inputs, kv, keys.clone(), space, gradients, |h, gradients, buffer| {
        pairs_backward(isa, inputs, saved, [b, h, kv], keys.clone(), dq(h), gradients, buffer);
    });
}

/// The backward pass of some keys of one key head on tiles, with vectors of any level, where it fits.
#[cfg_attr(not(all(target_arch = "x86_64", target_os = "linux")), allow(dead_code))]
pub(super) fn tile_chunk_backward(
    isa: Bf16Isa,
    tiles: &mut impl Tiles,
    inputs: &Inputs<'_>,
    saved: &Saved<'_>,
    [b, kv]: [usize; 2],
    keys: Range<usize>,
    dq: &PartOf<'_>,
    gradients: [Part<'_>; 2],
) {
    let space = amx::backward::lengths(inputs, &keys).iter().sum();
    one_by_one::sharing(inputs, kv, keys.clone(), space, gradients, |h, gradients, buffer| {
        amx::backward::differentiate(isa, tiles, inputs, saved, [b, h, kv], keys.clone(), dq(h), gradients, buffer);
    });
}

bf16_fn! {
    fn pairs_backward<B>(
        b: B,
        inputs: &Inputs<'_>,
        saved: &Saved<'_>,
        head: [usize; 3],
        keys: Range<usize>,
        dq: Part<'_>,
        gradients: &mut [Part<'_>; 2],
        buffer: &mut [u32],
    ) {
        register_softmax_backward::differentiate(Pairs(b), inputs, saved, head, keys, dq, gradients, buffer)
    }
}

/// Where it fits, the head as one block.
fn short(isa: Bf16Isa, inputs: &Inputs<'_>, head: [usize; 2], rows: Range<usize>, o: Part<'_>, lse: Part<'_>) {
    if isa == Bf16Isa::Amx || !short_sequence::fits(isa.isa(), inputs) {
        return chunk(isa, inputs, head, rows, o, lse);
    }
    let len = short_sequence::lengths::<Pairs<Portable>>(inputs).iter().sum();
    scratch::with(len, |buffer: &mut [u32]| short_pairs(isa, inputs, head, [o, lse], buffer));
}

bf16_fn! {
    fn short_pairs<B>(b: B, inputs: &Inputs<'_>, head: [usize; 2], outputs: [Part<'_>; 2], buffer: &mut [u32]) {
        short_sequence::attend(Pairs(b), inputs, head, outputs, buffer)
    }
}

fn short_backward(
    isa: Bf16Isa,
    inputs: &Inputs<'_>,
    saved: &Saved<'_>,
    [b, h]: [usize; 2],
    keys: Range<usize>,
    dq: &PartOf<'_>,
    [dk, dv]: [Part<'_>; 2],
) {
    if isa == Bf16Isa::Amx || !short_sequence_backward::fits_backward(isa.isa(), inputs) {
        return chunk_backward(isa, inputs, saved, [b, h], keys, dq, [dk, dv]);
    }
    let len = short_sequence_backward::lengths::<Pairs<Portable>>(inputs).iter().sum();
    scratch::with(len, |buffer: &mut [u32]| short_pairs_backward(isa, inputs, saved, [b, h], [dq(h), dk, dv], buffer));
}

bf16_fn! {
    fn short_pairs_backward<B>(
        b: B,
        inputs: &Inputs<'_>,
        saved: &Saved<'_>,
        head: [usize; 2],
        gradients: [Part<'_>; 3],
        buffer: &mut [u32],
    ) {
        short_sequence_backward::differentiate(Pairs(b), inputs, saved, head, gradients, buffer)
    }
}
