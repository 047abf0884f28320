//! Chunks of positions on all cores. Nothing is added up, so the tasks share only what they read.
//!
//! Where the data is in the caches, two cores should take half the time; where memory bounds the rung below, they share its
//! bandwidth and gain less.

use super::{Input, simd};
use crate::{Isa, parallel::items_per_task};
use rayon::prelude::*;

/// y = x turned by the angles of its positions.
pub fn rotate(isa: Isa, input: Input<'_>, y: &mut [f32]) {
    input.check(y.len());
    let (rows, width) = (input.shape.b * input.shape.t, input.shape.h * input.shape.d);
    let per_task = items_per_task(rows, width);
    if per_task >= rows || width == 0 {
        return simd::rotate_rows(isa, input, 0..rows, y);
    }
    y.par_chunks_mut(per_task * width).enumerate().for_each(|(task, y)| {
        let first = task * per_task;
        simd::rotate_rows(isa, input, first..rows.min(first + per_task), y);
    });
}
