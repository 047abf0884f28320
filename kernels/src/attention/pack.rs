//! Blocks of rows, copied from wherever they lie into small dense buffers.
//!
//! A block is used by every query (or key) block that meets it, so a copy costs little; and rows that lie a power of
//! two apart, as those of a \[B,T,3,H,D\] buffer may, would fall into the same few lines of the first-level cache.

use super::View;
use crate::simd::Simd;
use std::ops::Range;

/// D rounded up to whole vectors at every instruction set: the width of packed rows.
pub(super) fn width(d: usize) -> usize {
    d.next_multiple_of(16)
}

/// `to` (rows × `width`) ← factor · the rows `t` of (b, h), zeros after the D elements.
#[inline(always)]
pub(super) fn rows<S: Simd>(
    s: S,
    from: &View<'_>,
    [b, h, d]: [usize; 3],
    t: Range<usize>,
    factor: f32,
    to: &mut [f32],
) {
    let factor = s.splat(factor);
    for (to, t) in to.chunks_exact_mut(width(d).max(1)).zip(t) {
        let from = from.row(b, h, t, d);
        for j in (0..width(d)).step_by(S::N) {
            let x = if j + S::N <= d { s.load(&from[j..]) } else { s.load_partial(&from[j.min(d)..]) };
            s.store(&mut to[j..], s.mul(factor, x));
        }
    }
}

/// `to` (D × `to_row`) ← the rows `t` of (b, h), transposed; columns past the last row are zero.
#[inline(always)]
pub(super) fn transposed<S: Simd>(
    _: S,
    from: &View<'_>,
    [b, h, d]: [usize; 3],
    t: Range<usize>,
    to: &mut [f32],
    to_row: usize,
) {
    let n = t.len();
    for (j, t) in t.enumerate() {
        for (x, to) in from.row(b, h, t, d).iter().zip(to.chunks_exact_mut(to_row)) {
            to[j] = *x;
        }
    }
    for to in to.chunks_exact_mut(to_row).take(d) {
        to[n..].fill(0.0);
    }
}

/// Cuts a buffer into parts of these lengths.
pub(super) fn split<const N: usize>(mut buffer: &mut [f32], lengths: [usize; N]) -> [&mut [f32]; N] {
    lengths.map(|len| {
        let (part, rest) = std::mem::take(&mut buffer).split_at_mut(len);
        buffer = rest;
        part
    })
}
