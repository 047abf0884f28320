//! The specification: pass after pass over each row, as the formula reads once the maximum is subtracted.
//!
//! Forward, each exponential is a call of the C library, so the loop does not become vectors, and the sum is one chain of
//! additions. Backward, softmax has no exponential, and the chain of Σ y·dy is nearly all; log-softmax has one of each. A row
//! stays in a cache between its passes, so they cost no memory traffic.
//!
//! 16384 × 256 forward takes 4.6 ns an element, of which the exponential is some 3 (Zen 4).

use super::{expect_backward, expect_forward};
use crate::Float;

/// The maximum that is subtracted, 0 where the row is −∞ throughout: −∞ − (−∞) would be NaN.
fn shift<E: Float>(x: &[E]) -> E {
    let max = x.iter().copied().fold(E::neg_infinity(), E::max);
    if max == E::neg_infinity() { E::zero() } else { max }
}

/// y = softmax of each row of x. Panics as [`super::forward`].
pub fn forward<E: Float>(rows: usize, c: usize, x: &[E], y: &mut [E]) {
    expect_forward(rows, c, x.len(), y.len());
    for r in 0..rows {
        let (x, y) = (&x[r * c..][..c], &mut y[r * c..][..c]);
        let shift = shift(x);
        for (y, &x) in y.iter_mut().zip(x) {
            *y = (x - shift).exp();
        }
        let sum: E = y.iter().copied().sum();
        if sum != E::zero() {
            y.iter_mut().for_each(|y| *y /= sum);
        }
    }
}

/// dx = y ∘ (dy − Σ y∘dy). Panics as [`super::backward`].
pub fn backward<E: Float>(rows: usize, c: usize, y: &[E], dy: &[E], dx: &mut [E]) {
    expect_backward(rows, c, y.len(), dy.len(), dx.len());
    for r in 0..rows {
        let (y, dy, dx) = (&y[r * c..][..c], &dy[r * c..][..c], &mut dx[r * c..][..c]);
        let dot: E = y.iter().zip(dy).map(|(&y, &dy)| y * dy).sum();
        for i in 0..c {
            dx[i] = y[i] * (dy[i] - dot);
        }
    }
}

/// y = x − ln Σ exp(x). Panics as [`super::log_forward`].
pub fn log_forward<E: Float>(rows: usize, c: usize, x: &[E], y: &mut [E]) {
    expect_forward(rows, c, x.len(), y.len());
    for r in 0..rows {
        let (x, y) = (&x[r * c..][..c], &mut y[r * c..][..c]);
        let shift = shift(x);
        let sum: E = x.iter().map(|&x| (x - shift).exp()).sum();
        let log_sum = if sum == E::zero() { E::zero() } else { sum.ln() };
        for (y, &x) in y.iter_mut().zip(x) {
            *y = (x - shift) - log_sum; // in this order: shift + log_sum would be rounded to the size of shift
        }
    }
}

/// dx = dy − exp(y)·Σ dy. Panics as [`super::log_backward`].
pub fn log_backward<E: Float>(rows: usize, c: usize, y: &[E], dy: &[E], dx: &mut [E]) {
    expect_backward(rows, c, y.len(), dy.len(), dx.len());
    for r in 0..rows {
        let (y, dy, dx) = (&y[r * c..][..c], &dy[r * c..][..c], &mut dx[r * c..][..c]);
        let sum: E = dy.iter().copied().sum();
        for i in 0..c {
            dx[i] = dy[i] - y[i].exp() * sum;
        }
    }
}
