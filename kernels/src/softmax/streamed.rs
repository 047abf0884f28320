//! Large results are written past the caches.
//!
//! A plain store reads the line that it writes to, so y = f(x) moves 12 bytes an element, not 8. A non-temporal store
//! leaves the read out. It pays where the result is too large to wait in a cache for its reader (16 MiB); smaller
//! ones are written as in the rung below.
//!
//! In the report, against the rung below: 4096 × 4096 forward 3.75 ms and 4.36 ms, 1.16 times as fast, backward
//! 5.66 ms and 7.28 ms, 1.29 times; 16384 × 256, just large enough, 826 µs and 893 µs, 1.08 times, and 689 µs and
//! 948 µs, 1.38 times. Backward has less arithmetic, so it gains more. Forward, a row is scaled and written while the
//! exponentials of the next are worked out, or else the memory would wait for the one and the arithmetic for the
//! other.

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
