//! Matrix times vector, for products with one row or one column: y = W·x.
//!
//! Every weight is used once, so the time is that of reading W, and W should be read front to back by every core. Where
//! the steps of a row of W lie together (NT, a token times a weight \[n, k\]) each output is a dot product. A task computes
//! four outputs a quarter of its own apart, so the hardware prefetches four streams: 50176×768 reads at 38 GB/s with four
//! streams and at 31 with one. Where columns lie together (NN), a block of y stays in the first-level cache while columns of
//! W are scaled and added, four at a time. Tasks are blocks of y, or, where columns lie together and y is short, parts of
//! the sum, added in order: each then reads one stretch of memory.

use super::operands::View;
use crate::prefetch::prefetch;
use crate::{
    Isa, scratch,
    simd::{
        Simd,
        operand_kind::{OperandKind, Plain},
    },
    simd_fn,
};
use bytemuck::cast_slice;
use rayon::prelude::*;

/// Weights of one task: 256 KiB, some 15 µs of reading.
const TASK: usize = 1 << 16;
/// The least weights that are cut in two, 192 KiB: two cores have twice the cache of their own.
const CUT: usize = 3 << 14;
/// How many columns ahead are prefetched: the hardware does not prefetch steps this long.
const COLUMNS_AHEAD: usize = 16;
/// The longest y of which every task may have its own.
const SHORT: usize = 4096;

/// y = W·x, or y += W·x with `accumulate`, for W with `y.len()` rows and `k` columns, and x with its step.
pub(super) fn product(isa: Isa, w: View<'_>, x: (&[f32], usize), k: usize, y: &mut [f32], accumulate: bool) {
    let (data, step) = x;
    if step == 1 {
        return contiguous(isa, w, &data[..k], y, accumulate);
    }
    scratch::with(k, |x: &mut [f32]| {
        for (p, x) in x.iter_mut().enumerate() {
            *x = data[p * step];
        }
        contiguous(isa, w, x, y, accumulate);
    });
}

fn contiguous(isa: Isa, w: View<'_>, x: &[f32], y: &mut [f32], accumulate: bool) {
    let (rows, k) = (y.len(), x.len());
    let by_columns = w.row == 1 && w.col != 1;
    let weights = rows.saturating_mul(k);
    let tasks = (weights / TASK).clamp(if weights < CUT { 1 } else { 2 }, 64);
    let tasks = if tasks > 2 { tasks / 2 * 2 } else { tasks };
    if by_columns && tasks > 1 && rows <= SHORT {
        return parts_of_sum(isa, w, x, y, accumulate, k.div_ceil(tasks.min(16)).next_multiple_of(4));
    }
    let outputs = rows.div_ceil(tasks).next_multiple_of(16);
    let task = |(index, y): (usize, &mut [f32])| {
        let w = w.from(index * outputs, 0);
        if by_columns {
            columns(isa, w, x, y, accumulate);
        } else if w.col == 1 {
            dots_of_f32(isa, w, x, y, accumulate);
        } else {
            strided(w, x, y, accumulate);
        }
    };
    if rows <= outputs {
        task((0, y));
    } else {
        y.par_chunks_mut(outputs).with_max_len(1).enumerate().for_each(task);
    }
}

/// Each task adds up `part` columns, which lie together in memory; their sums are added in order.
fn parts_of_sum(isa: Isa, w: View<'_>, x: &[f32], y: &mut [f32], accumulate: bool, part: usize) {
    let rows = y.len();
    scratch::with(x.len().div_ceil(part) * rows, |sums: &mut [f32]| {
        sums.par_chunks_mut(rows).zip(x.par_chunks(part)).with_max_len(1).enumerate().for_each(|(index, (sum, x))| {
            columns(isa, w.from(0, index * part), x, sum, false);
        });
        if !accumulate {
            y.fill(0.0);
        }
        for sum in sums.chunks_exact(rows) {
            for (y, sum) in y.iter_mut().zip(sum) {
                *y += sum;
            }
        }
    });
}

simd_fn! {
    /// [`dots`] of `f32`.
    fn dots_of_f32<S>(s: S, w: View<'_>, x: &[f32], y: &mut [f32], accumulate: bool) {
        dots(Plain(s), w, cast_slice(x), x.len(), y, accumulate);
    }
}

/// A dot product of a row of W, `k` stored numbers, with the words `x` for each output, in turn for four quarters of the
/// outputs: W is read at four places at once.
#[inline(always)]
pub(super) fn dots<W: OperandKind>(
    kind: W,
    w: View<'_, W::Stored>,
    x: &[u32],
    k: usize,
    y: &mut [f32],
    accumulate: bool,
) {
    let quarter = y.len() / 4;
    let row = |i: usize| &w.data[i * w.row..][..k];
    for i in 0..quarter {
        let sums = dot(kind, [row(i), row(quarter + i), row(2 * quarter + i), row(3 * quarter + i)], x);
        for (q, sum) in sums.into_iter().enumerate() {
            let y = &mut y[q * quarter + i];
            *y = if accumulate { *y + sum } else { sum };
        }
    }
    for (i, y) in y.iter_mut().enumerate().skip(4 * quarter) {
        let [sum] = dot(kind, [row(i)], x);
        *y = if accumulate { *y + sum } else { sum };
    }
}

/// Σ wᵢ·xᵢ for each row w, in two vectors of sums.
#[inline(always)]
fn dot<W: OperandKind, const Q: usize>(kind: W, rows: [&[W::Stored]; Q], x: &[u32]) -> [f32; Q] {
    let s = kind.simd();
    let (n, k) = (W::S::N * W::STEPS, rows[0].len());
    let mut sums = [[s.zero(); 2]; Q];
    let whole = k / (2 * n) * (2 * n);
    for p in (0..whole).step_by(2 * n) {
        for v in 0..2 {
            let at = p + v * n;
            let x = s.to_bits(s.load(cast_slice(&x[at / W::STEPS..])));
            for q in 0..Q {
                sums[q][v] = kind.dot(kind.load_stored(&rows[q][at..], n), x, sums[q][v]);
            }
        }
    }
    for at in (whole..k).step_by(n) {
        let x = s.to_bits(s.load_partial(cast_slice(&x[at / W::STEPS..])));
        for q in 0..Q {
            sums[q][0] = kind.dot(kind.load_stored(&rows[q][at..], k - at), x, sums[q][0]);
        }
    }
    let mut out = [0.0; Q];
    for q in 0..Q {
        out[q] = s.reduce_sum(s.add(sums[q][0], sums[q][1]));
    }
    out
}

simd_fn! {
    /// y += x_p · column p, four columns at a time.
    fn columns<S>(s: S, w: View<'_>, x: &[f32], y: &mut [f32], accumulate: bool) {
        if !accumulate {
            y.fill(0.0);
        }
        let (fours, rest) = x.as_chunks::<4>();
        let mut p = 0;
        for &[x0, x1, x2, x3] in fours {
            let column = |q: usize| &w.data[(p + q) * w.col..][..y.len()];
            let all = [column(0), column(1), column(2), column(3)];
            add_columns(s, [x0, x1, x2, x3], all, w.col, y);
            p += 4;
        }
        for &x in rest {
            add_columns(s, [x], [&w.data[p * w.col..][..y.len()]], w.col, y);
            p += 1;
        }
    }
}

#[inline(always)]
fn add_columns<S: Simd, const Q: usize>(s: S, x: [f32; Q], w: [&[f32]; Q], step: usize, y: &mut [f32]) {
    let x = x.map(
        #[inline(always)]
        |x| s.splat(x),
    );
    let whole = y.len() / S::N * S::N;
    let (y, y_rest) = y.split_at_mut(whole);
    for (j, y) in y.chunks_exact_mut(S::N).enumerate() {
        let mut sum = s.load(y);
        for q in 0..Q {
            let w = &w[q][j * S::N..];
            prefetch(w.as_ptr().wrapping_add(step.wrapping_mul(COLUMNS_AHEAD)));
            sum = s.mul_add(x[q], s.load(w), sum);
        }
        s.store(y, sum);
    }
    if !y_rest.is_empty() {
        let mut sum = s.load_partial(y_rest);
        for q in 0..Q {
            sum = s.mul_add(x[q], s.load_partial(&w[q][whole..]), sum);
        }
        s.store_partial(y_rest, sum);
    }
}

/// Any steps.
fn strided(w: View<'_>, x: &[f32], y: &mut [f32], accumulate: bool) {
    for (i, y) in y.iter_mut().enumerate() {
        let row = &w.data[i * w.row..];
        let sum: f32 = x.iter().enumerate().map(|(p, x)| row[p * w.col] * x).sum();
        *y = if accumulate { *y + sum } else { sum };
    }
}
