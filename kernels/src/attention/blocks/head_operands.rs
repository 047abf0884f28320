//! The queries and the output gradient of one head as operands of block products, and the log-sum-exp and δ of its queries.
//!
//! The backward pass multiplies Q and dO twice along D and twice along the queries. In `f32` one packed copy serves both, and
//! a short head is read where it lies. Pairs of bf16 need a copy for each direction.

use crate::attention::{
    Inputs, Saved,
    blocks::{
        pack,
        product::{Left, Right},
    },
    view::HeadRows,
};
use crate::simd::{Simd, operand_kind::OperandKind};
use std::f32::consts::LOG2_E;

/// The rows that are read together: packed operands are filled up to a multiple of it.
pub(in crate::attention) const PANEL: usize = 8;

/// log₂ e less [`LOG2_E`].
const LOG2_E_LOW: f32 = 1.925_963e-8;

/// The queries or the gradient of the output: as words along D, and with the steps of a sum over them joined.
#[derive(Clone, Copy)]
pub(in crate::attention) struct Rows<'a> {
    pub left: Left<'a>,
    pub right: Right<'a>,
}

/// Rows as operands, where they lie or packed.
#[inline(always)]
pub(in crate::attention) fn rows<'a, W: OperandKind>(
    w: W,
    from: HeadRows<'a>,
    in_place: bool,
    packed: &'a mut [u32],
    joined: &'a mut [u32],
) -> Rows<'a> {
    let left = left(w, from, in_place, packed);
    if W::STEPS == 1 {
        return Rows { left, right: Right { data: left.data, row: left.row } };
    }
    Rows { left, right: right(w, from, in_place, joined) }
}

/// Rows as words along D, where they lie or packed; whole panels may be read.
#[inline(always)]
pub(in crate::attention) fn left<'a, W: OperandKind>(
    w: W,
    from: HeadRows<'a>,
    in_place: bool,
    packed: &'a mut [u32],
) -> Left<'a> {
    if let Some((data, row)) = pack::in_place::<W>(from, in_place && from.count.is_multiple_of(PANEL)) {
        return Left { data, row, col: 1 };
    }
    pack::words(w, from, packed);
    Left { data: packed, row: pack::words_width(W::STEPS, from.d), col: 1 }
}

/// Rows with the steps of a sum over them joined, where they lie or packed.
#[inline(always)]
pub(in crate::attention) fn right<'a, W: OperandKind>(
    w: W,
    from: HeadRows<'a>,
    in_place: bool,
    joined: &'a mut [u32],
) -> Right<'a> {
    if let Some((data, row)) = pack::in_place::<W>(from, in_place) {
        return Right { data, row };
    }
    pack::joined(w, from, joined);
    Right { data: joined, row: pack::width(from.d) }
}

/// The log-sum-exp of each query in units of log 2; ∞ where it sees no key or where there is no such query.
#[inline(always)]
pub(in crate::attention) fn log2_sums<W: OperandKind>(
    w: W,
    inputs: &Inputs<'_>,
    saved: &Saved<'_>,
    [b, h]: [usize; 2],
    lse: &mut [f32],
) {
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
pub(in crate::attention) fn deltas<W: OperandKind>(
    w: W,
    inputs: &Inputs<'_>,
    saved: &Saved<'_>,
    [b, h]: [usize; 2],
    delta: &mut [f32],
) {
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
