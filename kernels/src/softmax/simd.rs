//! Vectors: the three passes of the naive rung on 16 or 8 lanes, with a vector exponential.
//!
//! The exponential is what costs: about 20 ns from the C library, a dozen instructions for 16 lanes here. The online
//! rung's idea is not taken up: a row of a few thousand elements is in the first or second cache after the first pass,
//! so reading it again is cheaper than a second exponential. Forward, rows of up to 128 elements are taken four at a
//! time, so that their sums across lanes wait together: 19 cycles for 16 elements of 128 × 64, and 25 row by row.

use super::{expect_backward, expect_forward};
use crate::{
    Isa,
    rows::{Access, TOGETHER, for_vectors, prefetch, rows_at_once},
    scratch,
    simd::{
        Simd,
        math::{exp, exp_below},
    },
    simd_fn,
};

/// The longest rows that are taken four at a time.
const LONGEST: usize = 128;

/// What is taken away from each row of x: its maximum, 0 where it is −∞ throughout.
#[inline(always)]
fn shifts<S: Simd, const R: usize>(s: S, c: usize, x: &[f32]) -> [S::F32; R] {
    let lowest = s.splat(f32::NEG_INFINITY);
    let mut max = [lowest; R];
    for_vectors!(S, c, |i, at| {
        for r in 0..R {
            max[r] = s.max(max[r], at.load_or(s, &x[r * c..][..c][i..], lowest));
        }
    });
    for max in &mut max {
        let of_row = s.reduce_max(*max);
        *max = s.splat(if of_row == f32::NEG_INFINITY { 0.0 } else { of_row });
    }
    max
}

/// y = softmax of each row of x.
pub fn forward(isa: Isa, rows: usize, c: usize, x: &[f32], y: &mut [f32]) {
    forward_to(isa, false, rows, c, x, y);
}

/// dx = y ∘ (dy − Σ y∘dy)
pub fn backward(isa: Isa, rows: usize, c: usize, y: &[f32], dy: &[f32], dx: &mut [f32]) {
    backward_to(isa, false, rows, c, y, dy, dx);
}

/// [`forward`]; where `far` is set, y is written past the caches.
pub(super) fn forward_to(isa: Isa, far: bool, rows: usize, c: usize, x: &[f32], y: &mut [f32]) {
    expect_forward(rows, c, x.len(), y.len());
    if far {
        // The scratch memory is asked for out here: a closure inside would lose the instruction set.
        scratch::with(2 * c, |buffer| forward_far(isa, rows, c, x, y, buffer));
    } else {
        forward_near(isa, rows, c, x, y);
    }
}

/// [`forward_near`] for the first `R` rows; `x` holds those after them too.
#[inline(always)]
fn forward_few<S: Simd, const R: usize>(s: S, c: usize, x: &[f32], y: &mut [f32]) {
    let shift = shifts::<S, R>(s, c, x);
    let mut sum = [s.zero(); R];
    for_vectors!(S, c, |i, at| {
        for r in 0..R {
            let here = r * c + i..r * c + c;
            prefetch(x, R * c + here.start);
            let x = at.load_or(s, &x[here.clone()], s.splat(f32::NEG_INFINITY));
            let e = exp_below(s, s.sub(x, shift[r]));
            sum[r] = s.add(sum[r], e);
            at.store(s, &mut y[here], e);
        }
    });
    for r in 0..R {
        let (scale, y) = (inverse(s, sum[r]), &mut y[r * c..][..c]);
        for_vectors!(S, c, |i, at| {
            let e = at.load(s, &y[i..]);
            at.store(s, &mut y[i..], s.mul(e, scale));
        });
    }
}

/// 1 / the sum of the lanes, 0 where that is 0.
#[inline(always)]
fn inverse<S: Simd>(s: S, sums: S::F32) -> S::F32 {
    let sum = s.reduce_sum(sums);
    s.splat(if sum == 0.0 { 0.0 } else { 1.0 / sum })
}

simd_fn! {
    fn forward_near<S>(s: S, rows: usize, c: usize, x: &[f32], y: &mut [f32]) {
        let mut r = 0;
        while r < rows {
            let n = rows_at_once(rows - r, c, LONGEST);
            let (x, y) = (&x[r * c..], &mut y[r * c..][..n * c]);
            if n == TOGETHER {
                forward_few::<S, TOGETHER>(s, c, x, y);
            } else {
                forward_few::<S, 1>(s, c, x, y);
            }
            r += n;
        }
    }
}

simd_fn! {
    /// The exponentials of a row wait in `buffer` and are scaled and written past the caches while those of the next
    /// one are worked out: the memory then has something to do all the time.
    fn forward_far<S>(s: S, rows: usize, c: usize, x: &[f32], y: &mut [f32], buffer: &mut [f32]) {
        let (mut e, mut last) = buffer.split_at_mut(c);
        let mut scale = s.zero();
        for r in 0..rows {
            let [shift] = shifts::<S, 1>(s, c, &x[r * c..]);
            let mut sum = s.zero();
            let out = &mut y[r.saturating_sub(1) * c..][..c]; // the first row is written twice, at first with anything
            for_vectors!(S, c, |i, at| {
                prefetch(x, (r + 1) * c + i);
                let x = at.load_or(s, &x[r * c + i..r * c + c], s.splat(f32::NEG_INFINITY));
                let v = exp_below(s, s.sub(x, shift));
                sum = s.add(sum, v);
                at.store(s, &mut e[i..], v);
                at.write(s, true, &mut out[i..], s.mul(at.load(s, &last[i..]), scale));
            });
            scale = inverse(s, sum);
            std::mem::swap(&mut e, &mut last);
        }
        if let Some(first) = rows.checked_sub(1) {
            let out = &mut y[first * c..][..c];
            for_vectors!(S, c, |i, at| {
                at.write(s, true, &mut out[i..], s.mul(at.load(s, &last[i..]), scale));
            });
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

/// [`log_forward_to`] for the first `R` rows; `x` holds those after them too.
#[inline(always)]
fn log_forward_few<S: Simd, const R: usize>(s: S, far: bool, c: usize, x: &[f32], y: &mut [f32]) {
    let shift = shifts::<S, R>(s, c, x);
    let mut sum = [s.zero(); R];
    for_vectors!(S, c, |i, at| {
        for r in 0..R {
            let here = r * c + i..r * c + c;
            prefetch(x, R * c + here.start);
            let x = at.load_or(s, &x[here], s.splat(f32::NEG_INFINITY));
            sum[r] = s.add(sum[r], exp_below(s, s.sub(x, shift[r])));
        }
    });
    for r in 0..R {
        let sum = s.reduce_sum(sum[r]);
        let log_sum = s.splat(if sum == 0.0 { 0.0 } else { sum.ln() });
        for_vectors!(S, c, |i, at| {
            let here = r * c + i..r * c + c;
            let v = s.sub(s.sub(at.load(s, &x[here.clone()]), shift[r]), log_sum);
            at.write(s, far, &mut y[here], v);
        });
    }
}

simd_fn! {
    /// [`log_forward`]; where `far` is set, y is written past the caches.
    pub(super) fn log_forward_to<S>(s: S, far: bool, rows: usize, c: usize, x: &[f32], y: &mut [f32]) {
        expect_forward(rows, c, x.len(), y.len());
        let mut r = 0;
        while r < rows {
            let n = rows_at_once(rows - r, c, LONGEST);
            let (x, y) = (&x[r * c..], &mut y[r * c..][..n * c]);
            if n == TOGETHER {
                log_forward_few::<S, TOGETHER>(s, far, c, x, y);
            } else {
                log_forward_few::<S, 1>(s, far, c, x, y);
            }
            r += n;
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
