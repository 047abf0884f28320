//! Packing and rounding in one pass: a block of a matrix copied into panels of pairs.
//!
//! A panel is [`pack`](super::pack)'s with two steps of k in a word: pair q of a neighbour holds steps 2q and
//! 2q + 1, and after an odd number of steps a zero. Where neighbours lie side by side, two rows are rounded and zipped.
//! Where steps do, a row is rounded as it lies, 2·N steps to N pairs, and pairs are transposed like `f32`, with half as many
//! shuffles. A weight that is stored in bf16 is only moved.

use crate::bf16_fn;
use crate::matmul::operands::View;
use crate::prefetch::prefetch;
use crate::simd::Simd;
use crate::simd::bf16::{Bf16, Pairs, load_rounded, load_stored, pair, round};
use half::bf16;
use std::ops::Range;

/// How far ahead rows are fetched where they are zipped, in steps of k.
const STEPS_AHEAD: usize = 16;

fn check(count: usize, k: usize, width: usize, panels: &[u32]) {
    assert!(width.is_multiple_of(8), "panels of eights");
    assert_eq!(panels.len(), count.next_multiple_of(width) * k.div_ceil(2), "matmul: packed panels");
}

bf16_fn! {
    /// Packs rows 0..`count`, columns 0..`k` into panels of `width` rows: pair q of row i goes to
    /// `panels[(i / width)·⌈k/2⌉·width + q·width + i % width]`.
    pub(in crate::matmul) fn pack<B>(b: B, source: View<'_>, count: usize, k: usize, width: usize, panels: &mut [u32]) {
        check(count, k, width, panels);
        if source.row == 1 {
            zip(b, source, count, k, width, panels);
        } else if source.col == 1 {
            transpose(
                b,
                #[inline(always)]
                |i, p| load_rounded(b, &source.data[i * source.row + p..], k - p),
                count,
                k,
                width,
                panels,
            );
        } else {
            gather(|i, p| round(source.data[i * source.row + p * source.col]), count, k, width, panels);
        }
    }
}

bf16_fn! {
    /// [`pack`] of a matrix that is stored in bf16.
    pub(in crate::matmul) fn pack_stored<B>(
        b: B,
        source: View<'_, bf16>, count: usize, k: usize, width: usize, panels: &mut [u32]) {
        check(count, k, width, panels);
        if source.col == 1 {
            transpose(
                b,
                #[inline(always)]
                |i, p| load_stored(b, &source.data[i * source.row + p..], k - p),
                count,
                k,
                width,
                panels,
            );
        } else {
            gather(|i, p| source.data[i * source.row + p * source.col], count, k, width, panels);
        }
    }
}

/// Neighbours side by side: 16 steps at a time are rounded, zipped in twos and dealt out to the panels.
#[inline(always)]
fn zip<B: Bf16>(b: B, source: View<'_>, count: usize, k: usize, width: usize, panels: &mut [u32]) {
    let n = B::S::N;
    let pairs = k.div_ceil(2);
    for first in (0..pairs).step_by(8) {
        let steps = first..pairs.min(first + 8);
        for i in (0..count.next_multiple_of(width)).step_by(n) {
            let to = &mut panels[i / width * pairs * width + i % width..];
            if i + n <= count && 2 * steps.end <= k {
                zip_vectors(b, source, i, steps.clone(), (width, pairs), to);
            } else {
                zip_edge(b, source, i..count, (k, steps.clone()), (width, pairs), to);
            }
        }
    }
}

/// Some pairs of steps of N neighbours from `i` on; pair q goes to `to[q·width]`. A panel is (width, pairs).
#[inline(always)]
fn zip_vectors<B: Bf16>(
    b: B,
    source: View<'_>,
    i: usize,
    steps: Range<usize>,
    (width, pairs): (usize, usize),
    to: &mut [u32],
) {
    let s = b.simd();
    let n = B::S::N;
    let data = &source.data[i..];
    let last = (2 * steps.end - 1).saturating_mul(source.col);
    assert!(last.saturating_add(n) <= data.len(), "rows of the matrix");
    // Where a vector is wider than a panel, its eights are a step of panels that follow each other.
    let panels = (n / width).max(1);
    assert!((panels - 1) * pairs * width + (steps.end - 1) * width + n / panels <= to.len(), "steps of the panels");
    for q in steps {
        let rows = data.as_ptr().wrapping_add(2 * q * source.col);
        let ahead = rows.wrapping_add(STEPS_AHEAD.wrapping_mul(source.col));
        prefetch(ahead);
        prefetch(ahead.wrapping_add(source.col));
        // SAFETY: the assertions: N elements from either row on, and from step q on N pairs, or 8 in each panel.
        unsafe {
            let zipped = b.round_pair(s.load_ptr(rows), s.load_ptr(rows.add(source.col)));
            let to = to.as_mut_ptr().add(q * width);
            if panels > 1 { b.store_eights(zipped, to, pairs * width) } else { b.store_ptr(to, zipped) }
        }
    }
}

/// The same where neighbours or steps end: zeros come after them.
#[inline(always)]
fn zip_edge<B: Bf16>(
    b: B,
    source: View<'_>,
    neighbours: Range<usize>,
    (k, steps): (usize, Range<usize>),
    (width, pairs): (usize, usize),
    to: &mut [u32],
) {
    let s = b.simd();
    let here = neighbours.start..neighbours.end.min(neighbours.start + B::S::N);
    for q in steps {
        let mut rows = [s.zero(); 2];
        for (r, row) in rows.iter_mut().enumerate() {
            let p = 2 * q + r;
            if p < k && !here.is_empty() {
                *row = s.load_partial(&source.data[p * source.col + here.start..][..here.len()]);
            }
        }
        let zipped = s.array_u32(b.round_pair(rows[0], rows[1]));
        for (panel, zipped) in to.chunks_mut(pairs * width).zip(zipped[..B::S::N].chunks(width.min(B::S::N))) {
            panel[q * width..][..zipped.len()].copy_from_slice(zipped);
        }
    }
}

/// Steps side by side: `row(i, p)` gives the pairs of neighbour i from step p on, and 8 neighbours are transposed.
#[inline(always)]
fn transpose<B: Bf16>(
    b: B,
    row: impl Fn(usize, usize) -> Pairs<B>,
    count: usize,
    k: usize,
    width: usize,
    panels: &mut [u32],
) {
    let s = b.simd();
    let n = B::S::N;
    let pairs = k.div_ceil(2);
    for i in (0..count.next_multiple_of(width)).step_by(8) {
        let panel = &mut panels[i / width * pairs * width..][..pairs * width];
        for q in (0..pairs).step_by(n) {
            let mut rows = [s.splat_u32(0); 8];
            for (r, out) in rows.iter_mut().enumerate().take(count.saturating_sub(i)) {
                *out = row(i + r, 2 * q);
            }
            let to = &mut panel[q * width + i % width..];
            if q + n <= pairs {
                assert!(to.len() >= (n - 1) * width + 8, "columns of the panel");
                // SAFETY: the assertion.
                unsafe { b.store_transposed(rows, to.as_mut_ptr(), width) };
            } else {
                let mut columns = [0; 128];
                // SAFETY: N columns of 8 are at most 128 pairs.
                unsafe { b.store_transposed(rows, columns.as_mut_ptr(), 8) };
                for (t, column) in columns.as_chunks::<8>().0.iter().enumerate().take(pairs - q) {
                    to[t * width..][..8].copy_from_slice(column);
                }
            }
        }
    }
}

/// Element (i, p) one by one.
#[inline(always)]
fn gather(element: impl Fn(usize, usize) -> bf16, count: usize, k: usize, width: usize, panels: &mut [u32]) {
    let pairs = k.div_ceil(2);
    let element = |i, p| if i < count && p < k { element(i, p) } else { bf16::ZERO };
    for (index, out) in panels.iter_mut().enumerate() {
        let (i, q) = (index / (pairs * width) * width + index % width, index / width % pairs);
        *out = pair(element(i, 2 * q), element(i, 2 * q + 1));
    }
}
