//! Attention, softmax(scale · Q·Kᵀ)·V, forward and backward.
//!
//! # What is computed
//! For each batch entry and head, with S, P of Tq×Tk:
//!
//! ```text
//! S = scale · Q·Kᵀ,   −∞ where a key may not be seen
//! P = exp(S − lse),   lse = log Σⱼ exp Sᵢⱼ     (softmax of each row)
//! O = D∘P · V         D = 1, or with dropout 0 or 1/(1−p)
//! ```
//!
//! Query i stands at position Tk − Tq + i: the last query at the last key, as in decoding with a cache. `causal` hides
//! the keys after the position, `window` = w those that are w or more before it, the mask any others. A query that sees
//! no key gets O = 0 and lse = −∞, and all gradients through it are 0.
//!
//! # Derivative
//! With δᵢ = Σ_d dOᵢ_d · Oᵢ_d (which equals Σⱼ Pᵢⱼ·dPᵢⱼ, also under dropout):
//!
//! ```text
//! dV = (D∘P)ᵀ·dO      dP = D ∘ (dO·Vᵀ)      dS = P ∘ (dP − δ)
//! dQ = scale · dS·K   dK = scale · dSᵀ·Q
//! ```
//!
//! # Where it ends
//! - **Large scores.** O and lse are right for all scores that `f32` can hold. The backward pass has one `f32` for the sum
//!   of a row, lse, so its P = exp(S − lse) is off by some |S|·10⁻⁷ of itself: by a thousandth where scores are 10⁴, by a
//!   tenth where they are 10⁶. From 10⁷ on no digit of a gradient is right, and from 10⁸ on it may be of any size.
//! - **Hidden keys.** What a hidden score is, overflow and NaN included, is seen by no output and no gradient. A hidden key
//!   and its value do not count either, as long as K, V and dO·Vᵀ are finite there: the fast rungs weigh them with 0, and
//!   0·∞ is NaN. Forward, a NaN or ∞ in a hidden key has no effect; in a hidden value it may.
//! - **NaN and ∞ in sight** make the rows of O of the queries that see them NaN, and no others.
//!
//! # Cost
//! 4·B·H·Tq·Tk·D FLOPs forward and 10 backward (of which S is computed again), half of it if causal. Only
//! B·(2·H·Tq + 2·Hkv·Tk)·D elements have to move: at T = 256 and D = 64 that is 64 FLOPs a byte, so attention is
//! bound by arithmetic, as long as S and P stay in the cache. The naive rung writes S of a head as a matrix and
//! reads it again.
//!
//! # Shapes
//! Q, O, dQ, dO \[B,H,Tq,D\], K, V, dK, dV \[B,Hkv,Tk,D\], lse \[B,H,Tq\]. Each of the H/Hkv query heads of a group reads
//! the same key head (grouped-query attention, Ainslie et al. 2023). All but lse may lie in memory at any strides, D
//! contiguous. Source: Vaswani et al., "Attention is all you need", 2017, eq. 1; the fast rungs after Dao et al.,
//! "FlashAttention", 2022 and 2023.
//!
//! Read first: [`naive`], then the rungs of [`ladder`] in its order; then [`decoding`], and [`bf16`] last.

#[cfg_attr(not(all(target_arch = "x86_64", target_os = "linux")), allow(dead_code))]
mod amx;
pub mod bf16;
mod blocks;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod decoding;
pub mod ladder;
mod one_by_one;
mod reach;
mod task;
mod view;

pub use decoding::{DECODE_RUNGS, bf16_cache};
pub use ladder::{BACKWARD_RUNGS, FORWARD_RUNGS, naive};
pub use view::{Inputs, Output, Saved, View, ViewOf};

use crate::{Float, Isa, philox::Dropout};

/// The sizes of an attention problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// B: the batch.
    pub b: usize,
    /// H: the heads of the queries, a multiple of `h_kv`.
    pub h: usize,
    /// Hkv: the heads of keys and values.
    pub h_kv: usize,
    /// Tq: the queries.
    pub tq: usize,
    /// Tk: the keys.
    pub tk: usize,
    /// D: the size of a head.
    pub d: usize,
}

/// Where the rows of a \[B,H,T,D\] tensor lie: steps in elements; D is contiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strides {
    /// The step from one batch entry to the next.
    pub b: usize,
    /// The step from one head to the next.
    pub h: usize,
    /// The step from one position to the next.
    pub t: usize,
}

/// Scale of the scores, masks and dropout.
#[derive(Clone, Copy, Debug)]
pub struct OptionsOf<S> {
    /// The factor of Q·Kᵀ, as a rule 1/√D, which keeps the variance of the scores at 1.
    pub scale: f32,
    /// Whether a query sees no key after its own position.
    pub causal: bool,
    /// How many keys, its own position and those before it, a query sees at most.
    pub window: Option<usize>,
    /// A mask that hides further keys from each query.
    pub mask: Option<MaskOf<S>>,
    /// Dropout of the probabilities.
    ///
    /// The element of (b, h, i, j) is ((b·H + h)·Tq + i)·⌈Tk/64⌉·64 + j.
    pub dropout: Option<Dropout>,
}

/// The same in the memory of the CPU.
pub type Options<'a> = OptionsOf<&'a [f32]>;

/// A mask \[B,H,Tq,Tk\], Tk contiguous.
#[derive(Clone, Copy, Debug)]
pub struct MaskOf<S> {
    /// 0 where the key may not be seen, anything else where it may.
    pub keep: S,
    /// The steps of B, H and Tq in elements; 0 broadcasts.
    pub strides: [usize; 3],
}

/// The same in the memory of the CPU.
pub type Mask<'a> = MaskOf<&'a [f32]>;

/// A forward rung, of `f32` or with another kind of instruction set of bf16: inputs to O and lse.
pub type Forward<I = Isa> = for<'a> fn(I, &Inputs<'a>, Output<'_>, &mut [f32]);

/// A backward rung: inputs and what the forward pass left to dQ, dK and dV, which are overwritten.
pub type Backward<I = Isa> = for<'a> fn(I, &Inputs<'a>, &Saved<'a>, [Output<'_>; 3]);

fn best_forward(inputs: &Inputs<'_>, o: Output<'_>, lse: &mut [f32]) {
    let ladder = if inputs.shape.tq == 1 { DECODE_RUNGS } else { FORWARD_RUNGS };
    let best = ladder.last().expect("a ladder has rungs");
    (best.run)(Isa::active(), inputs, o, lse)
}

fn best_backward(inputs: &Inputs<'_>, saved: &Saved<'_>, gradients: [Output<'_>; 3]) {
    let best = BACKWARD_RUNGS.last().expect("a ladder has rungs");
    (best.run)(Isa::active(), inputs, saved, gradients)
}

/// O and lse from Q, K and V, by the best rung: `o` is the memory of O, and where its rows lie in it; `lse` is \[B,H,Tq\].
///
/// # Panics
/// Where a slice is too short for its shape and strides, lse is not B·H·Tq long, H is not a multiple of Hkv, rows of
/// `o` overlap, or the dropout probability is not in [0, 1).
pub fn forward(shape: Shape, options: &Options<'_>, qkv: [View<'_>; 3], o: (&mut [f32], Strides), lse: &mut [f32]) {
    forward_by(best_forward, shape, options, qkv, o, lse)
}

fn forward_by<E: Float>(
    run: fn(&Inputs<'_, E>, Output<'_, E>, &mut [E]),
    shape: Shape,
    options: &Options<'_>,
    [q, k, v]: [View<'_, E>; 3],
    (o, o_strides): (&mut [E], Strides),
    lse: &mut [E],
) {
    let inputs = Inputs::new(shape, *options, q, k, v);
    view::assert_lse(shape, lse.len());
    run(&inputs, Output::new("o", o, [shape.b, shape.h, shape.tq], o_strides, shape.d), lse)
}

/// dQ, dK and dV from the gradient `d_o` of the output, by the best rung. They are overwritten: `gradients` is the memory
/// of each, and where its rows lie in it.
///
/// # Panics
/// Like [`forward`], for all of its operands.
pub fn backward(
    shape: Shape,
    options: &Options<'_>,
    qkv: [View<'_>; 3],
    o: View<'_>,
    lse: &[f32],
    d_o: View<'_>,
    gradients: [(&mut [f32], Strides); 3],
) {
    backward_by(best_backward, shape, options, qkv, o, lse, d_o, gradients)
}

fn backward_by<E: Float>(
    run: fn(&Inputs<'_, E>, &Saved<'_, E>, [Output<'_, E>; 3]),
    shape: Shape,
    options: &Options<'_>,
    [q, k, v]: [View<'_, E>; 3],
    o: View<'_, E>,
    lse: &[E],
    d_o: View<'_, E>,
    [dq, dk, dv]: [(&mut [E], Strides); 3],
) {
    let (inputs, saved) = (Inputs::new(shape, *options, q, k, v), Saved::new(shape, o, lse, d_o));
    let [queries, keys] = [[shape.b, shape.h, shape.tq], [shape.b, shape.h_kv, shape.tk]];
    let dq = Output::new("dq", dq.0, queries, dq.1, shape.d);
    let dk = Output::new("dk", dk.0, keys, dk.1, shape.d);
    run(&inputs, &saved, [dq, dk, Output::new("dv", dv.0, keys, dv.1, shape.d)])
}

/// Self-attention on one contiguous \[B,T,3,H,D\] buffer, as one matrix product writes it; `o` is \[B,T,H,D\].
///
/// # Panics
/// Where a length does not fit, H ≠ Hkv or Tq ≠ Tk.
pub fn forward_packed(shape: Shape, options: &Options<'_>, qkv: &[f32], o: &mut [f32], lse: &mut [f32]) {
    forward_packed_by(best_forward, shape, options, qkv, o, lse)
}

fn forward_packed_by(
    run: fn(&Inputs<'_>, Output<'_>, &mut [f32]),
    shape: Shape,
    options: &Options<'_>,
    qkv: &[f32],
    o: &mut [f32],
    lse: &mut [f32],
) {
    let inputs = packed_inputs(shape, options, qkv);
    assert_contiguous(shape, o.len());
    view::assert_lse(shape, lse.len());
    let o = Output::new("o", o, [shape.b, shape.h, shape.tq], contiguous(shape), shape.d);
    run(&inputs, o, lse)
}

/// The gradient of [`forward_packed`]: `o` and `d_o` are \[B,T,H,D\], `qkv` and `d_qkv` \[B,T,3,H,D\].
///
/// # Panics
/// Like [`forward_packed`].
pub fn backward_packed(
    shape: Shape,
    options: &Options<'_>,
    qkv: &[f32],
    o: &[f32],
    lse: &[f32],
    d_o: &[f32],
    d_qkv: &mut [f32],
) {
    backward_packed_by(best_backward, shape, options, qkv, o, lse, d_o, d_qkv)
}

fn backward_packed_by(
    run: fn(&Inputs<'_>, &Saved<'_>, [Output<'_>; 3]),
    shape: Shape,
    options: &Options<'_>,
    qkv: &[f32],
    o: &[f32],
    lse: &[f32],
    d_o: &[f32],
    d_qkv: &mut [f32],
) {
    let inputs = packed_inputs(shape, options, qkv);
    assert_contiguous(shape, o.len());
    assert_contiguous(shape, d_o.len());
    let strides = contiguous(shape);
    let saved = Saved::new(shape, view(o, strides), lse, view(d_o, strides));
    run(&inputs, &saved, Output::packed(d_qkv, [shape.b, shape.h, shape.tq], shape.d))
}

fn view<E>(data: &[E], strides: Strides) -> View<'_, E> {
    View { data, strides }
}

/// The strides of \[B,T,H,D\] memory.
fn contiguous(Shape { h, tq, d, .. }: Shape) -> Strides {
    Strides { b: tq * h * d, h: d, t: h * d }
}

fn assert_contiguous(Shape { b, h, tq, d, .. }: Shape, len: usize) {
    assert_eq!(elements([b, tq, h, d]), Some(len), "attention: [{b},{tq},{h},{d}] expected");
}

fn assert_packed(len: usize, [b, h, t]: [usize; 3], d: usize) {
    let wanted = elements([b, t, h, d]).and_then(|n| n.checked_mul(3));
    assert_eq!(wanted, Some(len), "attention: [{b},{t},3,{h},{d}] expected");
}

fn elements(sizes: [usize; 4]) -> Option<usize> {
    sizes.iter().try_fold(1_usize, |n, &size| n.checked_mul(size))
}

fn packed_inputs<'a>(shape: Shape, options: &Options<'a>, qkv: &'a [f32]) -> Inputs<'a> {
    let strides = packed_strides(shape, qkv.len());
    let c = shape.h * shape.d;
    let [q, k, v] = [0, c, 2 * c].map(|start| view(qkv.get(start..).unwrap_or_default(), strides));
    Inputs::new(shape, *options, q, k, v)
}

/// The strides of each part of \[B,T,3,H,D\] memory, which has `len` elements.
fn packed_strides(shape: Shape, len: usize) -> Strides {
    let Shape { b, h, h_kv, tq, tk, d } = shape;
    assert!(h == h_kv && tq == tk, "attention: packed operands have one T and one H: {shape:?}");
    assert_packed(len, [b, h, tq], d);
    let c = h * d;
    Strides { b: tq * 3 * c, h: d, t: 3 * c }
}

#[cfg(test)]
mod tests;
