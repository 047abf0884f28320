//! Operands for tiles: rows rounded as they are, rows zipped in pairs, or turned so that pairs along D become rows.
//!
//! The first two are [`pack::words`] and [`pack::joined`], with zeros up to whole tiles. The third is made in blocks of
//! 32 rows, so that the rows of a tile are 128 bytes apart however many there are: at distances of 4 KiB they would all
//! fall into one set of the first-level cache.

use crate::attention::{amx::product::STEP, blocks::pack, view::HeadRows};
use crate::simd::{Bf16, Simd, operand_kind::Pairs};

/// Words of a packed row of D numbers, whole tiles of them.
pub(in crate::attention) fn words_width(d: usize) -> usize {
    d.next_multiple_of(STEP) / 2
}

/// `to` (rows of [`words_width`]) ← `from`, and zeros.
#[inline(always)]
pub(in crate::attention) fn rows<B: Bf16>(b: B, from: HeadRows<'_>, to: &mut [u32]) {
    pack::words(Pairs(b), from, to);
}

/// `to` (pairs of rows of [`pack::width`]) ← `from` zipped in pairs, and zeros.
#[inline(always)]
pub(in crate::attention) fn joined<B: Bf16>(b: B, from: HeadRows<'_>, to: &mut [u32]) {
    let end = from.count.div_ceil(2) * pack::width(from.d);
    pack::joined(Pairs(b), from, &mut to[..end]);
    to[end..].fill(0);
}

/// `to` (blocks of [`words_width`] × 32) ← `from`, transposed: pair q of row r stands in row q, column r % 32 of
/// block r / 32. Zeros fill `to` up.
#[inline(always)]
pub(in crate::attention) fn turned<B: Bf16>(bf16: B, from: HeadRows<'_>, to: &mut [u32]) {
    let (s, n, words) = (bf16.simd(), B::S::N, words_width(from.d));
    let zero = s.splat_u32(0);
    for (block, to) in to.chunks_exact_mut((words * STEP).max(1)).enumerate() {
        for column in (0..STEP).step_by(8) {
            let first = block * STEP + column;
            let mut rows: [&[f32]; 8] = [&[]; 8];
            for (r, row) in rows.iter_mut().enumerate() {
                if first + r < from.count {
                    *row = from.row(first + r);
                }
            }
            for q in (0..words).step_by(n) {
                let mut eight = [zero; 8];
                for (eight, row) in eight.iter_mut().zip(&rows) {
                    let [x, y] = [2 * q, 2 * q + n];
                    *eight = bf16.round_neighbours([pack::load_at(s, row, x), pack::load_at(s, row, y)]);
                }
                let to = &mut to[q * STEP + column..];
                assert!((n - 1) * STEP + 8 <= to.len(), "a block of turned rows");
                // SAFETY: the assertion: 8 words, n times 32 words apart.
                unsafe { bf16.store_transposed(eight, to.as_mut_ptr(), STEP) };
            }
        }
    }
}
