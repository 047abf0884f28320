//! Kept columns that are contiguous, rows reduced: vectors across the columns, as for the gradient of a bias.
//!
//! A strip of columns has its results in registers while the rows of a block pass by; nothing is added across lanes.
//! What a block adds up to is then added to y, which makes the sum more exact than one long one. Four vectors to a
//! strip are four chains of additions, and whole cache lines of every row; 64 rows to a block is what a cache holds
//! while its strips are worked off, so each element comes from memory once: 16384 × 384 takes 0.9 ms, the speed of memory (two
//! threads of a Zen 4).

use crate::elementwise::dims::Dims;
use crate::parallel::items_per_task;
use crate::simd::{Simd, math};
use crate::{Isa, scratch, simd_fn};
use rayon::prelude::*;
use std::ops::Range;

/// The vectors of a strip: enough of them to hide the latency of an addition, and whole cache lines of the rows.
const STRIP: usize = 4;
/// The rows that are summed in a row.
const BLOCK: usize = 64;

/// What is done to a result with one more element.
trait Fold: Copy {
    fn fold<S: Simd>(self, s: S, y: S::F32, x: S::F32, mean: S::F32) -> S::F32;
    /// What a block begins with.
    const START: f32;
    /// A block into the total.
    fn join<S: Simd>(self, s: S, total: S::F32, block: S::F32) -> S::F32;
}

macro_rules! folds {
    ($($Op:ident from $start:expr, |$s:ident, $y:ident, $x:ident, $mean:ident| $next:expr, $join:path;)*) => {$(
        #[derive(Clone, Copy)]
        struct $Op;

        impl Fold for $Op {
            const START: f32 = $start;
            #[inline(always)]
            fn fold<S: Simd>(self, $s: S, $y: S::F32, $x: S::F32, $mean: S::F32) -> S::F32 {
                $next
            }
            #[inline(always)]
            fn join<S: Simd>(self, s: S, total: S::F32, block: S::F32) -> S::F32 {
                $join(s, total, block)
            }
        }
    )*};
}

folds! {
    Sum from 0.0, |s, y, x, _mean| s.add(y, x), Simd::add;
    Deviations from 0.0, |s, y, x, mean| s.add(y, s.sub(x, mean)), Simd::add;
    Squares from 0.0, |s, y, x, mean| square_distance(s, y, x, mean), Simd::add;
    Max from f32::NEG_INFINITY, |s, y, x, _mean| math::maximum(s, y, x), math::maximum;
    Min from f32::INFINITY, |s, y, x, _mean| math::minimum(s, y, x), math::minimum;
}

#[inline(always)]
fn square_distance<S: Simd>(s: S, y: S::F32, x: S::F32, mean: S::F32) -> S::F32 {
    let distance = s.sub(x, mean);
    s.mul_add(distance, distance, y)
}

simd_fn! {
    /// y = y joined with the fold of the rows in `range`, of the columns x[0..y.len()] of each.
    ///
    /// `mean` is empty where it is not needed. A block of rows is small enough to stay in the cache while its strips
    /// are worked off, so that memory is read from front to back.
    fn fold_columns<S; F: Fold>(
        s: S,
        fold: F,
        rows: &Dims<1>,
        range: Range<usize>,
        x: &[f32],
        mean: &[f32],
        y: &mut [f32],
    ) {
        let [stride] = rows.inner_strides();
        for (len, [offset]) in rows.runs(range) {
            for block in (0..len).step_by(BLOCK) {
                for first in (0..y.len()).step_by(STRIP * S::N) {
                    let y = &mut y[first..];
                    let width = y.len().min(STRIP * S::N);
                    let mut shift = [s.zero(); STRIP];
                    for (shift, mean) in shift.iter_mut().zip(mean.get(first..).unwrap_or(&[]).chunks(S::N)) {
                        *shift = s.load_partial(mean);
                    }
                    let mut sums = [s.splat(F::START); STRIP];
                    for row in block..len.min(block + BLOCK) {
                        let x = &x[offset + row * stride + first..][..width];
                        if width == STRIP * S::N {
                            for k in 0..STRIP {
                                sums[k] = fold.fold(s, sums[k], s.load(&x[k * S::N..]), shift[k]);
                            }
                        } else {
                            for (k, x) in x.chunks(S::N).enumerate() {
                                sums[k] = fold.fold(s, sums[k], s.load_partial(x), shift[k]);
                            }
                        }
                    }
                    for (y, sum) in y[..width].chunks_mut(S::N).zip(sums) {
                        s.store_partial(y, fold.join(s, s.load_partial(y), sum));
                    }
                }
            }
        }
    }
}

/// What is folded.
#[derive(Clone, Copy)]
pub(super) enum Folded<'a> {
    Sum,
    Max,
    Min,
    /// The distances from these means.
    Deviations(&'a [f32]),
    /// The squared distances from these means.
    Squares(&'a [f32]),
}

/// y = fold of the rows in `range`, at each column of y.
pub(super) fn fold(isa: Isa, what: Folded<'_>, rows: &Dims<1>, range: Range<usize>, x: &[f32], y: &mut [f32]) {
    match what {
        Folded::Sum => {
            y.fill(Sum::START);
            fold_columns(isa, Sum, rows, range, x, &[], y);
        }
        Folded::Max => {
            y.fill(Max::START);
            fold_columns(isa, Max, rows, range, x, &[], y);
        }
        Folded::Min => {
            y.fill(Min::START);
            fold_columns(isa, Min, rows, range, x, &[], y);
        }
        Folded::Deviations(mean) => {
            y.fill(Deviations::START);
            fold_columns(isa, Deviations, rows, range, x, &mean[..y.len()], y);
        }
        Folded::Squares(mean) => {
            y.fill(Squares::START);
            fold_columns(isa, Squares, rows, range, x, &mean[..y.len()], y);
        }
    }
}

/// The same on all threads, by columns where there are more of them than rows, else by rows with partial results.
pub(super) fn fold_on_threads(isa: Isa, what: Folded<'_>, rows: &Dims<1>, x: &[f32], y: &mut [f32]) {
    let (height, width) = (rows.size(), y.len());
    if width >= height {
        let n = items_per_task(width, height);
        if n < width {
            return y.par_chunks_mut(n).enumerate().for_each(|(i, y)| {
                let what = match what {
                    Folded::Deviations(mean) => Folded::Deviations(&mean[i * n..]),
                    Folded::Squares(mean) => Folded::Squares(&mean[i * n..]),
                    what => what,
                };
                fold(isa, what, rows, 0..height, &x[i * n..], y);
            });
        }
    }
    let n = items_per_task(height, width);
    if n >= height {
        return fold(isa, what, rows, 0..height, x, y);
    }
    let tasks = height.div_ceil(n);
    scratch::with(tasks * width, |partial: &mut [f32]| {
        partial.par_chunks_mut(width).enumerate().for_each(|(i, y)| {
            fold(isa, what, rows, i * n..height.min((i + 1) * n), x, y);
        });
        let join = if let Folded::Max | Folded::Min = what { what } else { Folded::Sum };
        fold(isa, join, &Dims::new(&[tasks], [&[width]], [partial.len()]), 0..tasks, partial, y);
    });
}
