//! Large results are written past the caches.
//!
//! A plain store first reads the line that it writes to, so y = f(x) moves 12 bytes an element, not 8. A non-temporal store
//! does without that read. It pays where the result is too large to stay in a cache until it is read (16 MiB); smaller
//! ones are written as in the rung below. Backward has less arithmetic, so it gains more: 4096 × 4096 is 1.29 times as fast as
//! in the rung below (Zen 4). Forward, a row is scaled and written while the exponentials of the next are computed, so
//! that memory and arithmetic work at the same time.

use super::{simd, threads};
use crate::{Isa, rows::is_far};

/// y = softmax of each row of x. Panics as [`super::forward`].
pub fn forward(isa: Isa, rows: usize, c: usize, x: &[f32], y: &mut [f32]) {
    threads::forward_with(simd::forward_to, isa, is_far(y.len()), rows, c, x, y);
}

/// dx = y ∘ (dy − Σ y∘dy). Panics as [`super::backward`].
pub fn backward(isa: Isa, rows: usize, c: usize, y: &[f32], dy: &[f32], dx: &mut [f32]) {
    threads::backward_with(simd::backward_to, isa, is_far(dx.len()), rows, c, y, dy, dx);
}

/// y = x − ln Σ exp(x). Panics as [`super::log_forward`].
pub fn log_forward(isa: Isa, rows: usize, c: usize, x: &[f32], y: &mut [f32]) {
    threads::forward_with(simd::log_forward_to, isa, is_far(y.len()), rows, c, x, y);
}

/// dx = dy − exp(y)·Σ dy. Panics as [`super::log_backward`].
pub fn log_backward(isa: Isa, rows: usize, c: usize, y: &[f32], dy: &[f32], dx: &mut [f32]) {
    threads::backward_with(simd::log_backward_to, isa, is_far(dx.len()), rows, c, y, dy, dx);
}
