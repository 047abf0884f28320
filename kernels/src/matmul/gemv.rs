//! Matrix times vector, for products with one row or one column: y = W·x.
//!
//! Every weight is used once, so the time is that of reading W, and all that matters is that W is read front to back
//! by every core, fast enough. Where rows of W lie together (NT, a token times a weight \[n, k\]) each output is a dot
//! product, and a task works on four outputs a quarter of its own apart: a prefetcher runs ahead of each of four streams,
//! and four lines are under way where one stream has one. Where columns do (NN), a block of y stays in the
//! first-level cache while rows of memory, a column of W each, are scaled and added, four at a time. Tasks are
//! blocks of y, or, where columns lie together and y is short, parts of the sum, added in order: each of them then
//! reads one piece of memory.
//!
//! Measured on 2 threads inside the pool, median GB/s of W for one stream and for four, in turn: 50176×768 NT (154 MB) 31
//! and 38 in a quiet hour, 22 and 24 in a busy one; 27648×384 NT (42 MB, of which the third-level cache, 32 MiB, keeps a
//! part) 64 and 73. Six and eight streams do as well as four; prefetches by hand, one to eight KiB ahead, cost 5 to 15%.
//! NN, before: 50257×768 27, 28000×384 46. From outside the pool a call takes some 20 µs more.

use super::View;
use crate::prefetch::prefetch;
use crate::{Isa, scratch, simd::Simd, simd_fn};
use rayon::prelude::*;

/// Weights of one task: 256 KiB, some 15 µs of reading.
const TASK: usize = 1 << 16;
/// The least weights that are cut in two, 192 KiB. Two cores have twice the cache of their own: with it a token of the preset
/// `small`, whose weights have 3.2 MB, takes 77 µs on two cores with 2 MiB each, and 140 when its layers are one task.
const CUT: usize = 3 << 14;
/// How far ahead columns are fetched: the processor does not foresee steps this long.
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
            dots(isa, w, x, y, accumulate);
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
    /// A dot product for each output, in turn for four quarters of them: W is read at four places at once.
    fn dots<S>(s: S, w: View<'_>, x: &[f32], y: &mut [f32], accumulate: bool) {
        let quarter = y.len() / 4;
        let row = |i: usize| &w.data[i * w.row..][..x.len()];
        for i in 0..quarter {
            let sums = dot(s, [row(i), row(quarter + i), row(2 * quarter + i), row(3 * quarter + i)], x);
            for (q, sum) in sums.into_iter().enumerate() {
                let y = &mut y[q * quarter + i];
                *y = if accumulate { *y + sum } else { sum };
            }
        }
        for (i, y) in y.iter_mut().enumerate().skip(4 * quarter) {
            let [sum] = dot(s, [row(i)], x);
            *y = if accumulate { *y + sum } else { sum };
        }
    }
}

/// Σ aᵢ·xᵢ for each row a, in two vectors of sums.
#[inline(always)]
fn dot<S: Simd, const Q: usize>(s: S, rows: [&[f32]; Q], x: &[f32]) -> [f32; Q] {
    let mut sums = [[s.zero(); 2]; Q];
    let whole = x.len() / (2 * S::N) * (2 * S::N);
    for p in (0..whole).step_by(2 * S::N) {
        for v in 0..2 {
            let at = p + v * S::N;
            let b = s.load(&x[at..]);
            for q in 0..Q {
                sums[q][v] = s.mul_add(s.load(&rows[q][at..]), b, sums[q][v]);
            }
        }
    }
    for at in (whole..x.len()).step_by(S::N) {
        let b = s.load_partial(&x[at..]);
        for q in 0..Q {
            sums[q][0] = s.mul_add(s.load_partial(&rows[q][at..]), b, sums[q][0]);
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
