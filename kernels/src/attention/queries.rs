//! What the backward pass makes of the queries of a head before they meet any keys.
//!
//! Q and dO are read by four products, in two of them along D and in two along the queries. In `f32` one dense copy
//! serves both, or none where the head is one block; pairs need one for each.

use super::{
    Inputs, Saved, View, pack,
    product::{Left, Right},
    registers_backward::PANEL,
    words::Words,
};
use crate::simd::Simd;
use std::f32::consts::LOG2_E;

/// log₂ e less [`LOG2_E`].
const LOG2_E_LOW: f32 = 1.925_963e-8;

/// The queries or the gradient of the output: as words along D, and with the steps of a sum over them joined.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub left: Left<'a>,
    pub right: Right<'a>,
}

/// The T rows of (b, h) as operands, where they lie or packed.
#[inline(always)]
pub(super) fn rows<'a, W: Words>(
    w: W,
    from: &View<'a>,
    head: [usize; 3],
    t: usize,
    in_place: bool,
    packed: &'a mut [u32],
    joined: &'a mut [u32],
) -> Rows<'a> {
    if let Some((data, row)) = pack::in_place::<W>(from, head, 0..t, in_place && t.is_multiple_of(PANEL)) {
        return Rows { left: Left { data, row, col: 1 }, right: Right { data, row } };
    }
    pack::words(w, from, head, 0..t, packed);
    let left = Left { data: packed, row: pack::words_width::<W>(head[2]), col: 1 };
    if W::STEPS == 1 {
        return Rows { left, right: Right { data: left.data, row: left.row } };
    }
    pack::joined(w, from, head, 0..t, joined);
    Rows { left, right: Right { data: joined, row: pack::width(head[2]) } }
}

/// δ and the log-sum-exp of each query.
#[inline(always)]
pub(super) fn prepare<W: Words>(
    w: W,
    inputs: &Inputs<'_>,
    saved: &Saved<'_>,
    [b, h]: [usize; 2],
    delta: &mut [f32],
    lse: &mut [f32],
) {
    let (s, n, tq, d) = (w.simd(), W::S::N, inputs.shape.tq, inputs.shape.d);
    let from = &saved.lse[inputs.row_index(b, h, 0)..][..tq];
    for (j, lse) in lse.chunks_exact_mut(n).enumerate() {
        let x = pack::load_at(s, from, j * n);
        let log2 = s.mul_add(x, s.splat(LOG2_E), s.mul(x, s.splat(LOG2_E_LOW)));
        s.store(lse, s.select(s.eq(x, s.splat(f32::NEG_INFINITY)), s.splat(f32::INFINITY), log2));
    }
    lse[tq..].fill(f32::INFINITY);
    delta[tq..].fill(0.0);
    for (i, delta) in delta.iter_mut().enumerate().take(tq) {
        let mut sum = s.zero();
        let (o, d_o) = (saved.o.row(b, h, i, d), saved.d_o.row(b, h, i, d));
        for j in (0..d).step_by(n) {
            sum = s.mul_add(pack::load_at(s, o, j), w.rounded(pack::load_at(s, d_o, j)), sum);
        }
        *delta = s.reduce_sum(sum);
    }
}
