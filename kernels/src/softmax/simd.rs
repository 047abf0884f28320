//! Vectors: the three passes of the naive rung on 16 or 8 lanes, with a vector exponential.
//!
//! The exponential is what costs: about 20 ns from the C library, a dozen instructions for 16 lanes here. The online
//! rung's idea is not taken up: a row of a few thousand elements is in the first or second cache after the first pass,
//! so reading it again is cheaper than a second exponential.

use super::{expect_backward, expect_forward};
use crate::{
    rows::{Access, for_vectors},
    simd::{Simd, math::exp},
    simd_fn,
};

/// The maximum of a row, 0 where it is −∞ throughout.
#[inline(always)]
fn shift<S: Simd>(s: S, x: &[f32]) -> f32 {
    let lowest = s.splat(f32::NEG_INFINITY);
    let mut max = lowest;
    for_vectors!(S, x.len(), |i, at| {
        max = s.max(max, at.load_or(s, &x[i..], lowest));
    });
    let max = s.reduce_max(max);
    if max == f32::NEG_INFINITY { 0.0 } else { max }
}

simd_fn! {
    /// y = softmax of each row of x.
    pub fn forward<S>(s: S, rows: usize, c: usize, x: &[f32], y: &mut [f32]) {
        expect_forward(rows, c, x.len(), y.len());
        let c = c.max(1);
        for (x, y) in x.chunks_exact(c).zip(y.chunks_exact_mut(c)) {
            let shift = s.splat(shift(s, x));
            let mut sum = s.zero();
            for_vectors!(S, c, |i, at| {
                let e = exp(s, s.sub(at.load_or(s, &x[i..], s.splat(f32::NEG_INFINITY)), shift));
                sum = s.add(sum, e);
                at.store(s, &mut y[i..], e);
            });
            let sum = s.reduce_sum(sum);
            let scale = s.splat(if sum == 0.0 { 0.0 } else { 1.0 / sum });
            for_vectors!(S, c, |i, at| {
                let e = at.load(s, &y[i..]);
                at.store(s, &mut y[i..], s.mul(e, scale));
            });
        }
    }
}

simd_fn! {
    /// dx = y ∘ (dy − Σ y∘dy)
    pub fn backward<S>(s: S, rows: usize, c: usize, y: &[f32], dy: &[f32], dx: &mut [f32]) {
        expect_backward(rows, c, y.len(), dy.len(), dx.len());
        let c = c.max(1);
        for ((y, dy), dx) in y.chunks_exact(c).zip(dy.chunks_exact(c)).zip(dx.chunks_exact_mut(c)) {
            let mut dot = s.zero();
            for_vectors!(S, c, |i, at| {
                dot = s.mul_add(at.load(s, &y[i..]), at.load(s, &dy[i..]), dot);
            });
            let dot = s.splat(s.reduce_sum(dot));
            for_vectors!(S, c, |i, at| {
                let inner = s.sub(at.load(s, &dy[i..]), dot);
                at.store(s, &mut dx[i..], s.mul(at.load(s, &y[i..]), inner));
            });
        }
    }
}

simd_fn! {
    /// y = x − ln Σ exp(x)
    pub fn log_forward<S>(s: S, rows: usize, c: usize, x: &[f32], y: &mut [f32]) {
        expect_forward(rows, c, x.len(), y.len());
        let c = c.max(1);
        for (x, y) in x.chunks_exact(c).zip(y.chunks_exact_mut(c)) {
            let shift = s.splat(shift(s, x));
            let mut sum = s.zero();
            for_vectors!(S, c, |i, at| {
                sum = s.add(sum, exp(s, s.sub(at.load_or(s, &x[i..], s.splat(f32::NEG_INFINITY)), shift)));
            });
            let sum = s.reduce_sum(sum);
            let log_sum = s.splat(if sum == 0.0 { 0.0 } else { sum.ln() });
            for_vectors!(S, c, |i, at| {
                at.store(s, &mut y[i..], s.sub(s.sub(at.load(s, &x[i..]), shift), log_sum));
            });
        }
    }
}

simd_fn! {
    /// dx = dy − exp(y)·Σ dy
    pub fn log_backward<S>(s: S, rows: usize, c: usize, y: &[f32], dy: &[f32], dx: &mut [f32]) {
        expect_backward(rows, c, y.len(), dy.len(), dx.len());
        let c = c.max(1);
        for ((y, dy), dx) in y.chunks_exact(c).zip(dy.chunks_exact(c)).zip(dx.chunks_exact_mut(c)) {
            let mut sum = s.zero();
            for_vectors!(S, c, |i, at| {
                sum = s.add(sum, at.load(s, &dy[i..]));
            });
            let sum = s.splat(s.reduce_sum(sum));
            for_vectors!(S, c, |i, at| {
                at.store(s, &mut dx[i..], s.neg_mul_add(exp(s, at.load(s, &y[i..])), sum, at.load(s, &dy[i..])));
            });
        }
    }
}
