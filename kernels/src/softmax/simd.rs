//! Vectors: the three passes of the naive rung on 16 or 8 lanes, with a vector exponential.
//!
//! The exponential is the cost: some 3 ns a call of the C library, a dozen instructions for 16 lanes here. 16384 × 256 forward
//! is 14 times as fast as the naive rung (Zen 4). The online rung's idea is not used: a row of a few thousand elements is in
//! the first or second cache after the first pass, so reading it again is cheaper than a second exponential.
//!
//! Forward, rows of up to 128 elements are taken four at a time, so that their sums across lanes run side by side, and the
//! maxima of the next rows are computed between the exponentials and the scaling of the last ones. Longer rows go one by one:
//! from memory, four at a time are slower.

use super::{expect_backward, expect_forward};
use crate::{
    Isa,
    rows::{Access, TOGETHER, for_vectors, prefetch},
    scratch,
    simd::{Simd, math::exp_weight},
    simd_fn,
};

/// The longest rows that are taken four at a time.
const LONGEST: usize = 128;

/// Keeps two buffers from being a multiple of 4 KiB apart: a load may have to wait for a store to an address whose last
/// 12 bits are the same.
const APART: usize = 208;

/// What is subtracted from each row of x: its maximum, 0 where it is −∞ throughout.
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
        *max = shift_of(s, *max);
    }
    max
}

/// The largest lane, 0 where that is −∞.
#[inline(always)]
fn shift_of<S: Simd>(s: S, max: S::F32) -> S::F32 {
    let of_row = s.reduce_max(max);
    s.splat(if of_row == f32::NEG_INFINITY { 0.0 } else { of_row })
}

/// How many of the rows are taken four at a time.
#[inline(always)]
fn rows_in_groups(rows: usize, c: usize) -> usize {
    if c <= LONGEST { rows - rows % TOGETHER } else { 0 }
}

/// y = softmax of each row of x. Panics as [`super::forward`].
pub fn forward(isa: Isa, rows: usize, c: usize, x: &[f32], y: &mut [f32]) {
    forward_to(isa, false, rows, c, x, y);
}

/// dx = y ∘ (dy − Σ y∘dy). Panics as [`super::backward`].
pub fn backward(isa: Isa, rows: usize, c: usize, y: &[f32], dy: &[f32], dx: &mut [f32]) {
    backward_to(isa, false, rows, c, y, dy, dx);
}

/// [`forward`]; where `far` is set, y is written past the caches.
pub(super) fn forward_to(isa: Isa, far: bool, rows: usize, c: usize, x: &[f32], y: &mut [f32]) {
    expect_forward(rows, c, x.len(), y.len());
    if far {
        // The scratch memory is taken out here: a closure inside would lose the instruction set.
        scratch::with(2 * (c + APART), |buffer| forward_far(isa, rows, c, x, y, buffer));
    } else {
        forward_near(isa, rows, c, x, y);
    }
}

/// Softmax of `rows` rows, `R` at a time; `x` may hold more.
///
/// Sums and maxima across lanes are chains of dependent instructions. While that of one group of rows runs, the other
/// group has a pass that needs none: the maxima of the next are taken between the exponentials of the last and their
/// scaling.
#[inline(always)]
fn forward_groups<S: Simd, const R: usize>(s: S, rows: usize, c: usize, x: &[f32], y: &mut [f32]) {
    let mut scale = [s.zero(); R];
    for first in (0..rows).step_by(R) {
        let (x, (before, y)) = (&x[first * c..], y.split_at_mut(first * c));
        let shift = shifts::<S, R>(s, c, x);
        if first > 0 {
            scale_rows(s, c, scale, &mut before[(first - R) * c..]);
        }
        let mut sum = [s.zero(); R];
        for_vectors!(S, c, |i, at| {
            for r in 0..R {
                let here = r * c + i..r * c + c;
                prefetch(x, R * c + here.start);
                let e = exp_weight(s, s.sub(at.load_or(s, &x[here.clone()], s.splat(f32::NEG_INFINITY)), shift[r]));
                sum[r] = s.add(sum[r], e);
                at.store(s, &mut y[here], e);
            }
        });
        for r in 0..R {
            scale[r] = inverse(s, sum[r]);
        }
    }
    if rows > 0 {
        scale_rows(s, c, scale, &mut y[(rows - R) * c..]);
    }
}

/// Multiplies each of the first `R` rows.
#[inline(always)]
fn scale_rows<S: Simd, const R: usize>(s: S, c: usize, scale: [S::F32; R], y: &mut [f32]) {
    for (r, &scale) in scale.iter().enumerate() {
        let y = &mut y[r * c..][..c];
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
        let grouped = rows_in_groups(rows, c);
        forward_groups::<S, TOGETHER>(s, grouped, c, x, y);
        forward_groups::<S, 1>(s, rows - grouped, c, &x[grouped * c..], &mut y[grouped * c..]);
    }
}

simd_fn! {
    /// The exponentials of a row stay in `buffer` and are scaled and written past the caches while those of the next
    /// one are computed, so that arithmetic and memory work at the same time.
    fn forward_far<S>(s: S, rows: usize, c: usize, x: &[f32], y: &mut [f32], buffer: &mut [f32]) {
        let (mut e, mut last) = buffer.split_at_mut(c + APART);
        let mut scale = s.zero();
        for r in 0..rows {
            let [shift] = shifts::<S, 1>(s, c, &x[r * c..]);
            let mut sum = s.zero();
            let out = &mut y[r.saturating_sub(1) * c..][..c]; // the first row is written twice, at first with anything
            for_vectors!(S, c, |i, at| {
                prefetch(x, (r + 1) * c + i);
                let x = at.load_or(s, &x[r * c + i..r * c + c], s.splat(f32::NEG_INFINITY));
                let scaled = s.mul(at.load(s, &last[i..c]), scale);
                let v = exp_weight(s, s.sub(x, shift));
                sum = s.add(sum, v);
                at.store(s, &mut e[i..c], v);
                at.write(s, true, &mut out[i..], scaled);
            });
            scale = inverse(s, sum);
            std::mem::swap(&mut e, &mut last);
        }
        if let Some(first) = rows.checked_sub(1) {
            let out = &mut y[first * c..][..c];
            for_vectors!(S, c, |i, at| {
                at.write(s, true, &mut out[i..], s.mul(at.load(s, &last[i..c]), scale));
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

/// y = x − ln Σ exp(x). Panics as [`super::log_forward`].
pub fn log_forward(isa: Isa, rows: usize, c: usize, x: &[f32], y: &mut [f32]) {
    log_forward_to(isa, false, rows, c, x, y);
}

/// dx = dy − exp(y)·Σ dy. Panics as [`super::log_backward`].
pub fn log_backward(isa: Isa, rows: usize, c: usize, y: &[f32], dy: &[f32], dx: &mut [f32]) {
    log_backward_to(isa, false, rows, c, y, dy, dx);
}

/// Log-softmax of `rows` rows, `R` at a time, in the order of [`forward_groups`].
#[inline(always)]
fn log_forward_groups<S: Simd, const R: usize>(s: S, far: bool, rows: usize, c: usize, x: &[f32], y: &mut [f32]) {
    let (mut last_shift, mut log_sum) = ([s.zero(); R], [s.zero(); R]);
    for first in (0..rows).step_by(R) {
        let here = &x[first * c..];
        let shift = shifts::<S, R>(s, c, here);
        if first > 0 {
            let last = (first - R) * c;
            subtract(s, far, c, last_shift, log_sum, &x[last..], &mut y[last..]);
        }
        let mut sum = [s.zero(); R];
        for_vectors!(S, c, |i, at| {
            for r in 0..R {
                prefetch(here, (R + r) * c + i);
                let x = at.load_or(s, &here[r * c + i..r * c + c], s.splat(f32::NEG_INFINITY));
                sum[r] = s.add(sum[r], exp_weight(s, s.sub(x, shift[r])));
            }
        });
        for r in 0..R {
            let sum = s.reduce_sum(sum[r]);
            log_sum[r] = s.splat(if sum == 0.0 { 0.0 } else { sum.ln() });
        }
        last_shift = shift;
    }
    if rows > 0 {
        let last = (rows - R) * c;
        subtract(s, far, c, last_shift, log_sum, &x[last..], &mut y[last..]);
    }
}

/// y = (x − shift) − log_sum for the first `R` rows.
#[inline(always)]
fn subtract<S: Simd, const R: usize>(
    s: S,
    far: bool,
    c: usize,
    shift: [S::F32; R],
    log_sum: [S::F32; R],
    x: &[f32],
    y: &mut [f32],
) {
    for r in 0..R {
        let (x, y) = (&x[r * c..][..c], &mut y[r * c..][..c]);
        for_vectors!(S, c, |i, at| {
            at.write(s, far, &mut y[i..], s.sub(s.sub(at.load(s, &x[i..]), shift[r]), log_sum[r]));
        });
    }
}

simd_fn! {
    /// [`log_forward`]; where `far` is set, y is written past the caches.
    pub(super) fn log_forward_to<S>(s: S, far: bool, rows: usize, c: usize, x: &[f32], y: &mut [f32]) {
        expect_forward(rows, c, x.len(), y.len());
        let grouped = rows_in_groups(rows, c);
        log_forward_groups::<S, TOGETHER>(s, far, grouped, c, x, y);
        let at = grouped * c;
        log_forward_groups::<S, 1>(s, far, rows - grouped, c, &x[at..], &mut y[at..]);
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
                at.write(s, far, &mut dx[i..], s.neg_mul_add(exp_weight(s, at.load(s, &y[i..])), sum, at.load(s, &dy[i..])));
            });
        }
        s.fence();
    }
}
