//! The specification: pass after pass over each row, as the formula reads once the maximum is taken away.
//!
//! Forward, exponentials are calls of the C library, some 3 ns each, and no vectors; their sum is one chain of
//! additions, 3 cycles or 0.8 ns each. Of the maximum and the division the compiler makes vectors of 4. Backward,
//! softmax has no exponential, and the chain of Σ y·dy is nearly all; log-softmax has one of each. A row waits in a
//! cache between its passes, so they cost no traffic.
//!
//! In the report, 16384 × 256: forward 19.3 ms, 4.6 ns an element, backward 3.87 ms, 0.9 ns, where by probes of the
//! memory beside it the bytes need 0.63 and 0.65 ms. Log-softmax of 16384 × 65: 3.97 and 3.20 ms, 3.7 and 3.0 ns an
//! element.

use super::{expect_backward, expect_forward};
use crate::Float;

/// The maximum that is taken away, 0 where the row is −∞ throughout: −∞ − (−∞) would be NaN.
fn shift<E: Float>(x: &[E]) -> E {
    let max = x.iter().copied().fold(E::neg_infinity(), E::max);
    if max == E::neg_infinity() { E::zero() } else { max }
}

/// y = softmax of each row of x.
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

/// dx = y ∘ (dy − Σ y∘dy)
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

/// y = x − ln Σ exp(x)
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

/// dx = dy − exp(y)·Σ dy
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
