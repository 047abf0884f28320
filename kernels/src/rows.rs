//! A matrix row by row, and a row by vectors: the whole ones, then what is left over.
//!
//! Only the last step of a row has lanes to mask. With [`for_vectors`] the step of a loop is written once and compiled
//! twice, with [`Whole`] and with [`Rest`] as its access to memory, so that the other steps cost nothing more because of the last.

use crate::{Isa, prefetch, scratch, simd::Simd, simd_fn};
use rayon::prelude::*;
use std::ops::Range;

/// Panics unless a matrix of `rows` × `c` has `len` elements.
#[track_caller]
pub(crate) fn expect_len(name: &str, rows: usize, c: usize, len: usize) {
    assert_eq!(Some(len), rows.checked_mul(c), "{name} has {len} elements, not {rows} × {c}");
}

/// The rows of task `i` of a matrix of `rows` × `c`, where each task but the last takes `per_task`, and their elements.
pub(crate) fn rows_of_task(i: usize, per_task: usize, rows: usize, c: usize) -> (Range<usize>, Range<usize>) {
    let (first, end) = (i * per_task, rows.min((i + 1) * per_task));
    (first..end, first * c..end * c)
}

/// Whether a result of `len` elements is too large to stay in a cache until it is read.
///
/// A plain store first reads the line it writes to. A store past the caches (non-temporal) does not, which saves a
/// third of the traffic of an operation with one input and one output; but the result is then read from memory, so it
/// pays only where that would happen anyway. The limit of 16 MiB is half of a last-level cache of today; the inputs fill the
/// other half.
pub(crate) fn is_far(len: usize) -> bool {
    len >= 1 << 22
}

/// How many elements precede the first whole cache line of y, at most all; from there on it can be written past the caches.
pub(crate) fn before_line(y: &[f32]) -> usize {
    y.as_ptr().align_offset(64).min(y.len())
}

/// The rows that are worked on at a time.
///
/// A row ends in a sum or a maximum across its lanes, a chain of some ten dependent instructions, and the next pass over the
/// row waits for it. Of short rows these chains would take most of the time; those of four rows overlap.
pub(crate) const TOGETHER: usize = 4;

/// How many of the `left` rows of `c` elements to take next: [`TOGETHER`], or one where there are fewer, or where they
/// are longer than `longest`: the chain then matters less than that the hardware prefetcher follows one row after the
/// other.
#[inline(always)]
pub(crate) fn rows_at_once(left: usize, c: usize, longest: usize) -> usize {
    if left >= TOGETHER && c <= longest { TOGETHER } else { 1 }
}

/// The distance of prefetches, in elements, where arithmetic reads operands larger than the caches once: half a page. The
/// hardware prefetcher does not enter a page before the first load from it.
pub(crate) const AHEAD: usize = 512;

/// Prefetches the cache line of element `i`, which may be past the end.
#[inline(always)]
pub(crate) fn prefetch(x: &[f32], i: usize) {
    prefetch::prefetch(x.as_ptr().wrapping_add(i));
}

/// How one step of a loop over a row reads and writes.
pub(crate) trait Access: Copy {
    /// The next elements of the row, and `fill` in the lanes past its end.
    fn load_or<S: Simd>(self, s: S, x: &[f32], fill: S::F32) -> S::F32;
    /// The next elements of the row, and zero in the lanes past its end.
    fn load<S: Simd>(self, s: S, x: &[f32]) -> S::F32;
    /// Writes the next elements of the row.
    fn store<S: Simd>(self, s: S, x: &mut [f32], v: S::F32);
    /// The same, past the caches where `far` is true; [`Simd::fence`] has to follow before the task ends.
    fn write<S: Simd>(self, s: S, far: bool, x: &mut [f32], v: S::F32);
}

/// All lanes are in the row.
#[derive(Clone, Copy)]
pub(crate) struct Whole;

/// The row ends within the vector.
#[derive(Clone, Copy)]
pub(crate) struct Rest;

impl Access for Whole {
    #[inline(always)]
    fn load_or<S: Simd>(self, s: S, x: &[f32], _fill: S::F32) -> S::F32 {
        s.load(x)
    }
    #[inline(always)]
    fn load<S: Simd>(self, s: S, x: &[f32]) -> S::F32 {
        s.load(x)
    }
    #[inline(always)]
    fn store<S: Simd>(self, s: S, x: &mut [f32], v: S::F32) {
        s.store(x, v);
    }
    #[inline(always)]
    fn write<S: Simd>(self, s: S, far: bool, x: &mut [f32], v: S::F32) {
        if far { s.stream(x, v) } else { s.store(x, v) }
    }
}

impl Access for Rest {
    #[inline(always)]
    fn load_or<S: Simd>(self, s: S, x: &[f32], fill: S::F32) -> S::F32 {
        s.load_partial_or(x, fill)
    }
    #[inline(always)]
    fn load<S: Simd>(self, s: S, x: &[f32]) -> S::F32 {
        s.load_partial(x)
    }
    #[inline(always)]
    fn store<S: Simd>(self, s: S, x: &mut [f32], v: S::F32) {
        s.store_partial(x, v);
    }
    #[inline(always)]
    fn write<S: Simd>(self, s: S, _far: bool, x: &mut [f32], v: S::F32) {
        s.store_partial(x, v);
    }
}

/// `for_vectors!(S, len, |i, at| body)`: the body for every `i` = 0, N, 2N … below `len`, where `at` is the [`Access`].
///
/// A macro and not a closure, for a closure that is not inlined loses the instruction set.
macro_rules! for_vectors {
    ($S:ident, $len:expr, |$i:ident, $at:ident| $body:block) => {{
        let len: usize = $len;
        let whole = len - len % $S::N;
        for $i in (0..whole).step_by($S::N) {
            let $at = $crate::rows::Whole;
            $body
        }
        if whole < len {
            let ($i, $at) = (whole, $crate::rows::Rest);
            $body
        }
    }};
}
pub(crate) use for_vectors;

/// `for_vectors_in_turn!(S, A, len, |a, i, at| body)`: the same with A sums that take turns; `a` = 0 … A − 1 is the one to add to.
///
/// An addition waits three or four cycles for the one before it to the same sum, and in that time a processor could begin
/// others. What is left after whole rounds goes to the first sum.
macro_rules! for_vectors_in_turn {
    ($S:ident, $sums:ident, $len:expr, |$a:ident, $i:ident, $at:ident| $body:block) => {{
        let len: usize = $len;
        let (whole, rounds) = (len - len % $S::N, len - len % ($sums * $S::N));
        for start in (0..rounds).step_by($sums * $S::N) {
            for $a in 0..$sums {
                let ($i, $at) = (start + $a * $S::N, $crate::rows::Whole);
                $body
            }
        }
        for $i in (rounds..whole).step_by($S::N) {
            let ($a, $at) = (0, $crate::rows::Whole);
            $body
        }
        if whole < len {
            let ($a, $i, $at) = (0, whole, $crate::rows::Rest);
            $body
        }
    }};
}
pub(crate) use for_vectors_in_turn;

/// How many sums a row has that is worked on alone; rows [`TOGETHER`] have one each.
pub(crate) const SUMS: usize = 4;

/// The sum of all lanes of all `sums`.
#[inline(always)]
pub(crate) fn total<S: Simd, const A: usize>(s: S, sums: [S::F32; A]) -> f32 {
    let mut sum = sums[0];
    for &next in &sums[1..] {
        sum = s.add(sum, next);
    }
    s.reduce_sum(sum)
}

/// The next elements of a parameter, or what stands for it where there is none.
#[inline(always)]
pub(crate) fn parameter<S: Simd, A: Access>(s: S, at: A, parameter: Option<&[f32]>, i: usize, default: f32) -> S::F32 {
    match parameter {
        Some(parameter) => at.load(s, &parameter[i..]),
        None => s.splat(default),
    }
}

/// Calls `run` with the number of each task and its `per_task` rows of `dx`, on all cores, and with `c` sums for each of
/// the `totals` that are wanted, into which it adds up its rows; the totals become the sums of all tasks, in their order.
pub(crate) fn tasks_with_sums<const P: usize>(
    isa: Isa,
    per_task: usize,
    c: usize,
    dx: &mut [f32],
    totals: [Option<&mut [f32]>; P],
    run: impl Fn(usize, &mut [f32], [Option<&mut [f32]>; P]) + Sync,
) {
    let wanted = totals.each_ref().map(Option::is_some);
    scratch::with(dx.len().div_ceil(per_task * c) * P * c, |sums: &mut [f32]| {
        let tasks = dx.par_chunks_mut(per_task * c).zip(sums.par_chunks_mut(P * c));
        tasks.enumerate().for_each(|(task, (dx, sums))| {
            let mut sums = sums.chunks_exact_mut(c);
            run(task, dx, wanted.map(|wanted| sums.next().filter(|_| wanted)));
        });
        for (i, total) in totals.into_iter().enumerate() {
            if let Some(total) = total {
                add_rows(isa, sums, P * c, i * c, total);
            }
        }
    });
}

simd_fn! {
    /// out = the sum of the rows of `partial`, of `width` each, in their order; of the elements from `first` on.
    pub(crate) fn add_rows<S>(s: S, partial: &[f32], width: usize, first: usize, out: &mut [f32]) {
        for_vectors!(S, out.len(), |i, at| {
            let mut sum = s.zero();
            for row in partial.chunks_exact(width) {
                sum = s.add(sum, at.load(s, &row[first + i..first + out.len()]));
            }
            at.store(s, &mut out[i..], sum);
        });
    }
}
