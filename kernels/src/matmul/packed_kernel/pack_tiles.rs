//! Packing and rounding in one pass, for tile registers: panels of 16 neighbours, made of squares of 16 words.
//!
//! A tile of A has a neighbour (a row of A) in each row, a tile of B a pair of steps. Either is what 16 loads give, of rows
//! where steps lie side by side, of two zipped rows where neighbours do, or its transpose: the four layouts are two ways to
//! load and two to store. Steps are filled up with zeros to whole tiles, and so are neighbours. Rows of A whose steps lie
//! side by side are read from end to end, one after the other, so the hardware prefetches them, and the kernel
//! half a page ahead, beyond the end of the page: 16384×1536 packs in 4.3 ms, 4.8 without.

use super::prefetch::LINE;
use crate::bf16_fn;
use crate::matmul::operands::{Source, View};
use crate::prefetch::{prefetch, prefetch_second};
use crate::simd::Simd;
use crate::simd::bf16::{Bf16, Pairs, load_rounded, load_stored, pair, round};
use crate::simd::tiles::{SIDE, WORDS};
use half::bf16;

/// The distance of the prefetches while packing, in elements: half a page, for the hardware prefetches no more than
/// the page that it is on.
const AHEAD: usize = 512;
/// Steps of k in a tile.
const STEPS: usize = 2 * SIDE;

/// What a row of a tile is.
#[derive(Clone, Copy, PartialEq)]
pub(in crate::matmul) enum Rows {
    /// A neighbour: tiles of A.
    Neighbours,
    /// A pair of steps: tiles of B.
    Steps,
}

/// Words of a panel of k steps in one neighbour.
pub(in crate::matmul) fn words(k: usize) -> usize {
    k.div_ceil(2).next_multiple_of(SIDE)
}

bf16_fn! {
    /// Packs rows 0..`count`, columns 0..`k` of `source` into panels of 16 rows: pair q of row i goes to
    /// `panels[i / 16·16·words(k) + q / 16·256 + …]`, there to row i % 16 and column q % 16 of a tile, or the other way round.
    pub(in crate::matmul) fn pack<B>(b: B, source: Source<'_>, count: usize, k: usize, rows: Rows, panels: &mut [u32]) {
        assert_eq!(panels.len(), count.next_multiple_of(SIDE) * words(k), "matmul: packed tiles");
        match source {
            Source::F32(view) if view.col == 1 && B::S::N == SIDE => {
                let whole_rows = view.row == k;
                each_row(
                    b,
                    #[inline(always)]
                    |i, p, steps| {
                        let row = &view.data[i * view.row + p..];
                        if whole_rows {
                            for line in [0, LINE] {
                                prefetch_second(row.as_ptr().wrapping_add(AHEAD + line));
                            }
                        }
                        load_rounded(b, row, steps)
                    },
                    (count, k),
                    rows,
                    panels,
                );
            }
            Source::Bf16(stored) if stored.col == 1 && B::S::N == SIDE => {
                each_row(
                    b,
                    #[inline(always)]
                    |i, p, steps| load_stored(b, &stored.data[i * stored.row + p..], steps),
                    (count, k),
                    rows,
                    panels,
                );
            }
            Source::F32(view) if view.row == 1 && B::S::N == SIDE => each_step(b, view, (count, k), rows, panels),
            Source::F32(view) => {
                gather(|i, p| round(view.data[i * view.row + p * view.col]), (count, k), rows, panels);
            }
            Source::Bf16(stored) => {
                gather(|i, p| stored.data[i * stored.row + p * stored.col], (count, k), rows, panels);
            }
        }
    }
}

/// Steps side by side: `row(i, p, steps)` gives the pairs of neighbour i from step p on, at most 32 steps.
#[inline(always)]
fn each_row<B: Bf16>(
    b: B,
    row: impl Fn(usize, usize, usize) -> Pairs<B>,
    (count, k): (usize, usize),
    rows: Rows,
    panels: &mut [u32],
) {
    let zero = b.simd().splat_u32(0);
    for (panel, to) in panels.chunks_exact_mut(SIDE * words(k)).enumerate() {
        let i = panel * SIDE;
        if rows == Rows::Neighbours && i + SIDE <= count {
            for r in 0..SIDE {
                for (t, to) in to.as_chunks_mut::<WORDS>().0.iter_mut().enumerate() {
                    b.store(&mut to[r * SIDE..], row(i + r, t * STEPS, STEPS.min(k - t * STEPS)));
                }
            }
            continue;
        }
        for (t, to) in to.as_chunks_mut().0.iter_mut().enumerate() {
            let p = t * STEPS;
            if i + SIDE <= count && p + STEPS <= k {
                fill(
                    b,
                    #[inline(always)]
                    |r| row(i + r, p, STEPS),
                    rows == Rows::Steps,
                    to,
                );
            } else {
                fill(
                    b,
                    #[inline(always)]
                    |r| if i + r < count { row(i + r, p, STEPS.min(k - p)) } else { zero },
                    rows == Rows::Steps,
                    to,
                );
            }
        }
    }
}

/// Neighbours side by side: pairs of rows of `source` are rounded and zipped; all panels of 32 steps, then the next steps.
#[inline(always)]
fn each_step<B: Bf16>(b: B, source: View<'_>, (count, k): (usize, usize), rows: Rows, panels: &mut [u32]) {
    let s = b.simd();
    for p in (0..k).step_by(STEPS) {
        for i in (0..count).step_by(SIDE) {
            let to = panels[i * words(k) + p / 2 * SIDE..].first_chunk_mut().expect("a tile");
            let data = &source.data[p * source.col + i..];
            if i + SIDE <= count && p + STEPS <= k {
                assert!(
                    (STEPS - 1).saturating_mul(source.col).saturating_add(SIDE) <= data.len(),
                    "rows of the matrix"
                );
                fill(
                    b,
                    #[inline(always)]
                    |q| {
                        let row = data.as_ptr().wrapping_add(2 * q * source.col);
                        let ahead = row.wrapping_add(STEPS.wrapping_mul(source.col));
                        prefetch(ahead);
                        prefetch(ahead.wrapping_add(source.col));
                        // SAFETY: the assertion: 16 elements from rows 2q and 2q + 1 on.
                        unsafe { b.round_pair(s.load_ptr(row), s.load_ptr(row.add(source.col))) }
                    },
                    rows == Rows::Neighbours,
                    to,
                );
            } else {
                let here = SIDE.min(count - i);
                let row = |q: usize| if p + q < k { &data[q * source.col..][..here] } else { &[] };
                fill(
                    b,
                    #[inline(always)]
                    |q| b.round_pair(s.load_partial(row(2 * q)), s.load_partial(row(2 * q + 1))),
                    rows == Rows::Neighbours,
                    to,
                );
            }
        }
    }
}

/// Writes a tile of 16 vectors as its rows, or its columns.
#[inline(always)]
fn fill<B: Bf16>(b: B, vector: impl Fn(usize) -> Pairs<B>, transposed: bool, to: &mut [u32; WORDS]) {
    assert!(B::S::N == SIDE, "a row is a vector");
    let to = to.as_mut_ptr();
    for first in [0, 8] {
        let mut eight = [b.simd().splat_u32(0); 8];
        for r in 0..8 {
            eight[r] = vector(first + r);
        }
        // SAFETY: 16 rows of 16 words are a tile: 8 of its rows, or 16 rows of which 8 words each.
        unsafe {
            if transposed {
                b.store_transposed(eight, to.add(first), SIDE);
            } else {
                for r in 0..8 {
                    b.store_ptr(to.add((first + r) * SIDE), eight[r]);
                }
            }
        }
    }
}

/// Element (i, p) one by one.
#[inline(always)]
fn gather(element: impl Fn(usize, usize) -> bf16, (count, k): (usize, usize), rows: Rows, panels: &mut [u32]) {
    let element = |i, p| if i < count && p < k { element(i, p) } else { bf16::ZERO };
    for (panel, to) in panels.chunks_exact_mut(SIDE * words(k)).enumerate() {
        for (index, to) in to.iter_mut().enumerate() {
            let (row, column) = (index % WORDS / SIDE, index % SIDE);
            let (r, q) = if rows == Rows::Neighbours { (row, column) } else { (column, row) };
            let (i, p) = (panel * SIDE + r, 2 * (index / WORDS * SIDE + q));
            *to = pair(element(i, p), element(i, p + 1));
        }
    }
}
