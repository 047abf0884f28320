//! Large results are written past the caches.
//!
//! A plain store reads the line that it writes to, so y = f(x) moves 12 bytes an element, not 8. A non-temporal store
//! leaves the read out. It pays where the result is too large to wait in a cache for its reader (16 MiB); smaller
//! ones are written as in the rung below.
//!
//! Measured: no gain here. 16384 × 256 forward 21 GB/s against 22, backward 25 to 36 against 24 to 38, 4096 × 4096 forward
//! 14 against 16: with three passes over a row the cores, it seems, set the pace and not the stores. Layer norm's backward pass has
//! more to write for what it computes, and gains there ([`crate::layer_norm`]).

use super::{simd, threads};
use crate::{Isa, rows::is_far};

/// y = softmax of each row of x.
pub fn forward(isa: Isa, rows: usize, c: usize, x: &[f32], y: &mut [f32]) {
    threads::forward_with(simd::forward_to, isa, is_far(y.len()), rows, c, x, y);
}

/// dx = y ∘ (dy − Σ y∘dy)
pub fn backward(isa: Isa, rows: usize, c: usize, y: &[f32], dy: &[f32], dx: &mut [f32]) {
    threads::backward_with(simd::backward_to, isa, is_far(dx.len()), rows, c, y, dy, dx);
}

/// y = x − ln Σ exp(x)
pub fn log_forward(isa: Isa, rows: usize, c: usize, x: &[f32], y: &mut [f32]) {
    threads::forward_with(simd::log_forward_to, isa, is_far(y.len()), rows, c, x, y);
}

/// dx = dy − exp(y)·Σ dy
pub fn log_backward(isa: Isa, rows: usize, c: usize, y: &[f32], dy: &[f32], dx: &mut [f32]) {
    threads::backward_with(simd::log_backward_to, isa, is_far(dx.len()), rows, c, y, dy, dx);
}
