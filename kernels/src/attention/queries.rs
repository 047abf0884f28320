//! What the rows of a head become before they meet those of another operand.
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
use std::{f32::consts::LOG2_E, ops::Range};

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
    let left = left(w, from, head, t, in_place, packed);
    if W::STEPS == 1 {
        return Rows { left, right: Right { data: left.data, row: left.row } };
    }
    Rows { left, right: right(w, from, head, 0..t, in_place, joined) }
}

/// The T rows of (b, h) as words along D, where they lie or packed; whole panels may be read.
#[inline(always)]
pub(super) fn left<'a, W: Words>(
    w: W,
    from: &View<'a>,
    head: [usize; 3],
    t: usize,
    in_place: bool,
    packed: &'a mut [u32],
) -> Left<'a> {
    if let Some((data, row)) = pack::in_place::<W>(from, head, 0..t, in_place && t.is_multiple_of(PANEL)) {
        return Left { data, row, col: 1 };
    }
    pack::words(w, from, head, 0..t, packed);
    Left { data: packed, row: pack::words_width::<W>(head[2]), col: 1 }
}

/// The rows `t` of (b, h) with the steps of a sum over them joined, where they lie or packed.
#[inline(always)]
pub(super) fn right<'a, W: Words>(
    w: W,
    from: &View<'a>,
    head: [usize; 3],
    t: Range<usize>,
    in_place: bool,
    joined: &'a mut [u32],
) -> Right<'a> {
    if let Some((data, row)) = pack::in_place::<W>(from, head, t.clone(), in_place) {
        return Right { data, row };
    }
    pack::joined(w, from, head, t, joined);
    Right { data: joined, row: pack::width(head[2]) }
}

/// The log-sum-exp of each query in units of log 2; ∞ where it sees no key or where there is no such query.
#[inline(always)]
pub(super) fn log2_sums<W: Words>(w: W, inputs: &Inputs<'_>, saved: &Saved<'_>, [b, h]: [usize; 2], lse: &mut [f32]) {
    let (s, n, tq) = (w.simd(), W::S::N, inputs.shape.tq);
    let from = &saved.lse[inputs.row_index(b, h, 0)..][..tq];
    for (j, lse) in lse.chunks_exact_mut(n).enumerate() {
        let x = pack::load_at(s, from, j * n);
        let log2 = s.mul_add(x, s.splat(LOG2_E), s.mul(x, s.splat(LOG2_E_LOW)));
        s.store(lse, s.select(s.eq(x, s.splat(f32::NEG_INFINITY)), s.splat(f32::INFINITY), log2));
    }
    lse[tq..].fill(f32::INFINITY);
}

/// δ of each query, from O.
#[inline(always)]
pub(super) fn deltas<W: Words>(w: W, inputs: &Inputs<'_>, saved: &Saved<'_>, [b, h]: [usize; 2], delta: &mut [f32]) {
    let (s, n, tq, d) = (w.simd(), W::S::N, inputs.shape.tq, inputs.shape.d);
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
