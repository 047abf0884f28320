//! Chunks of rows on all cores. Rows know nothing of each other, so this is the simd rung, cut.

use super::{Backward, Forward, expect_backward, expect_forward, simd};
use crate::{Isa, parallel::items_per_task};
use rayon::prelude::*;

/// An exponential and three passes, in the units of [`crate::parallel::GRAIN`], for each element.
const COST: usize = 1;

fn forward_with(run: Forward, isa: Isa, rows: usize, c: usize, x: &[f32], y: &mut [f32]) {
    expect_forward(rows, c, x.len(), y.len());
    let per_task = items_per_task(rows, COST * c);
    if per_task >= rows {
        return run(isa, rows, c, x, y);
    }
    let chunk = per_task * c;
    y.par_chunks_mut(chunk).zip(x.par_chunks(chunk)).for_each(|(y, x)| run(isa, x.len() / c, c, x, y));
}

fn backward_with(run: Backward, isa: Isa, rows: usize, c: usize, y: &[f32], dy: &[f32], dx: &mut [f32]) {
    expect_backward(rows, c, y.len(), dy.len(), dx.len());
    let per_task = items_per_task(rows, COST * c);
    if per_task >= rows {
        return run(isa, rows, c, y, dy, dx);
    }
    let chunk = per_task * c;
    let inputs = y.par_chunks(chunk).zip(dy.par_chunks(chunk));
    dx.par_chunks_mut(chunk).zip(inputs).for_each(|(dx, (y, dy))| run(isa, y.len() / c, c, y, dy, dx));
}

/// y = softmax of each row of x.
pub fn forward(isa: Isa, rows: usize, c: usize, x: &[f32], y: &mut [f32]) {
    forward_with(simd::forward, isa, rows, c, x, y);
}

/// dx = y ∘ (dy − Σ y∘dy)
pub fn backward(isa: Isa, rows: usize, c: usize, y: &[f32], dy: &[f32], dx: &mut [f32]) {
    backward_with(simd::backward, isa, rows, c, y, dy, dx);
}

/// y = x − ln Σ exp(x)
pub fn log_forward(isa: Isa, rows: usize, c: usize, x: &[f32], y: &mut [f32]) {
    forward_with(simd::log_forward, isa, rows, c, x, y);
}

/// dx = dy − exp(y)·Σ dy
pub fn log_backward(isa: Isa, rows: usize, c: usize, y: &[f32], dy: &[f32], dx: &mut [f32]) {
    backward_with(simd::log_backward, isa, rows, c, y, dy, dx);
}
