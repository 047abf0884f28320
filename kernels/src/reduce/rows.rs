//! A reduced row that is contiguous: vectors along it, and blocks of fixed size where it is long.
//!
//! One sum would wait 3 cycles at every addition, and a core could begin several in that time: four vectors of sums
//! take turns. In `f32` at most 4096 elements are added, the blocks then in `f64`, so that the error does not grow
//! with the row. At the end of a row is the sum across lanes, a chain of its own; many rows are one call, so that the chain of
//! a row runs beside the loads of the next. 768 × 128, in the caches, takes 3.0 µs, and 6.6 with a call for each row (two
//! threads of a Zen 4).

use super::Reduce;
use crate::simd::{Simd, math};
use crate::{Isa, simd_fn};

/// The elements that are summed in `f32`, in 4 vectors of partial sums, before they go on in `f64`.
pub(super) const BLOCK: usize = 4096;

simd_fn! {
    /// Σ(x − shift)^P, for P = 1 or (`SQUARED`) 2.
    fn sum_of<S; P: Power>(s: S, power: P, x: &[f32], shift: f32) -> f64 {
        let shift = s.splat(shift);
        let mut total = 0.0;
        for block in x.chunks(BLOCK) {
            let mut sums = [s.zero(); 4];
            let mut groups = block.chunks_exact(4 * S::N);
            for group in &mut groups {
                for (k, sum) in sums.iter_mut().enumerate() {
                    *sum = power.add(s, *sum, s.sub(s.load(&group[k * S::N..]), shift));
                }
            }
            let mut tail = groups.remainder().chunks_exact(S::N);
            for x in &mut tail {
                sums[0] = power.add(s, sums[0], s.sub(s.load(x), shift));
            }
            let rest = tail.remainder();
            if !rest.is_empty() {
                // The lanes past the end get the shift, so that they add nothing.
                let mut lanes = [0.0; 16];
                s.store(&mut lanes, shift);
                lanes[..rest.len()].copy_from_slice(rest);
                sums[1] = power.add(s, sums[1], s.sub(s.load(&lanes), shift));
            }
            let sum = s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3]));
            total += f64::from(s.reduce_sum(sum));
        }
        total
    }
}

/// What is summed.
trait Power: Copy {
    /// sum + xᵖ
    fn add<S: Simd>(self, s: S, sum: S::F32, x: S::F32) -> S::F32;
}

#[derive(Clone, Copy)]
struct First;

impl Power for First {
    #[inline(always)]
    fn add<S: Simd>(self, s: S, sum: S::F32, x: S::F32) -> S::F32 {
        s.add(sum, x)
    }
}

#[derive(Clone, Copy)]
struct Second;

impl Power for Second {
    #[inline(always)]
    fn add<S: Simd>(self, s: S, sum: S::F32, x: S::F32) -> S::F32 {
        s.mul_add(x, x, sum)
    }
}

/// Σ(xⱼ − shift)
pub(super) fn sum(isa: Isa, x: &[f32], shift: f32) -> f64 {
    sum_of(isa, First, x, shift)
}

/// Σ(xⱼ − mean)²
pub(super) fn squares(isa: Isa, x: &[f32], mean: f32) -> f64 {
    sum_of(isa, Second, x, mean)
}

simd_fn! {
    /// The largest of `start` and all x, or the smallest of them.
    fn extreme_of<S>(s: S, smallest: bool, start: f32, x: &[f32]) -> f32 {
        let mut best = [s.splat(start); 2];
        let mut pairs = x.chunks_exact(2 * S::N);
        for pair in &mut pairs {
            for (k, best) in best.iter_mut().enumerate() {
                let x = s.load(&pair[k * S::N..]);
                *best = if smallest { math::minimum(s, *best, x) } else { math::maximum(s, *best, x) };
            }
        }
        let mut lanes = [start; 32];
        s.store(&mut lanes, best[0]);
        s.store(&mut lanes[16..], best[1]);
        lanes.iter().chain(pairs.remainder()).fold(start, |best, &x| {
            let better = if smallest { x < best } else { x > best };
            if better || x.is_nan() { x } else { best }
        })
    }
}

/// The largest or the smallest; `start` of nothing.
pub(super) fn extreme(isa: Isa, op: Reduce, x: &[f32]) -> f32 {
    match op {
        Reduce::Min => extreme_of(isa, true, f32::INFINITY, x),
        _ => extreme_of(isa, false, f32::NEG_INFINITY, x),
    }
}

simd_fn! {
    /// y = the sums of rows of `n` elements, at most [`BLOCK`], whose first ones are `stride` apart.
    ///
    /// One call for all of them, so that the sum across the lanes of a row runs beside the loads of the next.
    pub(super) fn sums<S>(s: S, x: &[f32], stride: usize, n: usize, y: &mut [f32]) {
        for (r, y) in y.iter_mut().enumerate() {
            let mut groups = x[r * stride..][..n].chunks_exact(4 * S::N);
            let mut sums = [s.zero(); 4];
            for group in &mut groups {
                for (k, sum) in sums.iter_mut().enumerate() {
                    *sum = s.add(*sum, s.load(&group[k * S::N..]));
                }
            }
            for (sum, x) in sums.iter_mut().zip(groups.remainder().chunks(S::N)) {
                *sum = s.add(*sum, s.load_partial(x));
            }
            *y = s.reduce_sum(s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3])));
        }
    }
}
