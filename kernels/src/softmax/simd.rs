//! Vectors: the three passes of the naive rung on 16 or 8 lanes, with a vector exponential.
//!
//! The exponential is what costs: about 20 ns from the C library, a dozen instructions for 16 lanes here. The online
//! rung's idea is not taken up: a row of a few thousand elements is in the first or second cache after the first pass,
//! so reading it again is cheaper than a second exponential.

use super::{expect_backward, expect_forward};
use crate::{
    Isa,
    rows::{Access, for_vectors, prefetch},
    scratch,
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

/// e = exp(x − shift); their sum. Asks for the row after x meanwhile, which starts at `next` in `all`.
#[inline(always)]
fn exponentials<S: Simd>(s: S, x: &[f32], shift: f32, e: &mut [f32], all: &[f32], next: usize) -> f32 {
    let shift = s.splat(shift);
    let mut sum = s.zero();
    for_vectors!(S, x.len(), |i, at| {
        prefetch(all, next + i);
        let v = exp(s, s.sub(at.load_or(s, &x[i..], s.splat(f32::NEG_INFINITY)), shift));
        sum = s.add(sum, v);
        at.store(s, &mut e[i..], v);
    });
    s.reduce_sum(sum)
}

/// y = softmax of each row of x.
pub fn forward(isa: Isa, rows: usize, c: usize, x: &[f32], y: &mut [f32]) {
    forward_to(isa, false, rows, c, x, y);
}

/// dx = y ∘ (dy − Σ y∘dy)
pub fn backward(isa: Isa, rows: usize, c: usize, y: &[f32], dy: &[f32], dx: &mut [f32]) {
    backward_to(isa, false, rows, c, y, dy, dx);
}

/// [`forward`]; where `far` is set, each row of exponentials waits in scratch memory and y is written past the caches.
pub(super) fn forward_to(isa: Isa, far: bool, rows: usize, c: usize, x: &[f32], y: &mut [f32]) {
    expect_forward(rows, c, x.len(), y.len());
    // The scratch memory is asked for out here: a closure inside would lose the instruction set.
    scratch::with(if far { c } else { 0 }, |buffer| forward_rows(isa, far, rows, c, x, y, buffer));
}

simd_fn! {
    fn forward_rows<S>(s: S, far: bool, rows: usize, c: usize, x: &[f32], y: &mut [f32], buffer: &mut [f32]) {
        for r in 0..rows {
            let (row, y) = (&x[r * c..][..c], &mut y[r * c..][..c]);
            let shift = shift(s, row);
            let e = if far { &mut *buffer } else { &mut *y };
            let sum = exponentials(s, row, shift, e, x, (r + 1) * c);
            let scale = s.splat(if sum == 0.0 { 0.0 } else { 1.0 / sum });
            if far {
                for_vectors!(S, c, |i, at| {
                    at.write(s, true, &mut y[i..], s.mul(at.load(s, &buffer[i..]), scale));
                });
            } else {
                for_vectors!(S, c, |i, at| {
                    let e = at.load(s, &y[i..]);
                    at.store(s, &mut y[i..], s.mul(e, scale));
                });
            }
        }
        s.fence();
    }
}

simd_fn! {
    /// [`backward`]; where `far` is set, dx is written past the caches.
    pub(super) fn backward_to<S>(
        s: S, far: bool, rows: usize, c: usize, all_y: &[f32], all_dy: &[f32], dx: &mut [f32],
    ) {
        expect_backward(rows, c, all_y.len(), all_dy.len(), dx.len());
        for r in 0..rows {
            let (y, dy, dx) = (&all_y[r * c..][..c], &all_dy[r * c..][..c], &mut dx[r * c..][..c]);
            let mut dot = s.zero();
            for_vectors!(S, c, |i, at| {
                dot = s.mul_add(at.load(s, &y[i..]), at.load(s, &dy[i..]), dot);
            });
            let dot = s.splat(s.reduce_sum(dot));
            for_vectors!(S, c, |i, at| {
                prefetch(all_y, (r + 1) * c + i);
                prefetch(all_dy, (r + 1) * c + i);
                let inner = s.sub(at.load(s, &dy[i..]), dot);
                at.write(s, far, &mut dx[i..], s.mul(at.load(s, &y[i..]), inner));
            });
        }
        s.fence();
    }
}

/// y = x − ln Σ exp(x)
pub fn log_forward(isa: Isa, rows: usize, c: usize, x: &[f32], y: &mut [f32]) {
    log_forward_to(isa, false, rows, c, x, y);
}

/// dx = dy − exp(y)·Σ dy
pub fn log_backward(isa: Isa, rows: usize, c: usize, y: &[f32], dy: &[f32], dx: &mut [f32]) {
    log_backward_to(isa, false, rows, c, y, dy, dx);
}

simd_fn! {
    /// [`log_forward`]; where `far` is set, y is written past the caches.
    pub(super) fn log_forward_to<S>(s: S, far: bool, rows: usize, c: usize, x: &[f32], y: &mut [f32]) {
        expect_forward(rows, c, x.len(), y.len());
        for r in 0..rows {
            let (row, y) = (&x[r * c..][..c], &mut y[r * c..][..c]);
            let shift = s.splat(shift(s, row));
            let mut sum = s.zero();
            for_vectors!(S, c, |i, at| {
                prefetch(x, (r + 1) * c + i);
                sum = s.add(sum, exp(s, s.sub(at.load_or(s, &row[i..], s.splat(f32::NEG_INFINITY)), shift)));
            });
            let sum = s.reduce_sum(sum);
            let log_sum = s.splat(if sum == 0.0 { 0.0 } else { sum.ln() });
            for_vectors!(S, c, |i, at| {
                at.write(s, far, &mut y[i..], s.sub(s.sub(at.load(s, &row[i..]), shift), log_sum));
            });
        }
        s.fence();
    }
}

simd_fn! {
    /// [`log_backward`]; where `far` is set, dx is written past the caches.
    pub(super) fn log_backward_to<S>(
        s: S, far: bool, rows: usize, c: usize, all_y: &[f32], all_dy: &[f32], dx: &mut [f32],
    ) {
        expect_backward(rows, c, all_y.len(), all_dy.len(), dx.len());
        for r in 0..rows {
            let (y, dy, dx) = (&all_y[r * c..][..c], &all_dy[r * c..][..c], &mut dx[r * c..][..c]);
            let mut sum = s.zero();
            for_vectors!(S, c, |i, at| {
                prefetch(all_y, r * c + i);
                sum = s.add(sum, at.load(s, &dy[i..]));
            });
            let sum = s.splat(s.reduce_sum(sum));
            for_vectors!(S, c, |i, at| {
                prefetch(all_dy, (r + 1) * c + i);
                at.write(s, far, &mut dx[i..], s.neg_mul_add(exp(s, at.load(s, &y[i..])), sum, at.load(s, &dy[i..])));
            });
        }
        s.fence();
    }
}
