//! Chunks of groups on all cores: the counter makes any part of the sequence without the parts before it. Large
//! results are written past the caches (see [`crate::softmax::streamed`]).
//!
//! In the caches the rung below is bound by the integer products of Philox, of which two cores should do twice as many: 768 ×
//! 128 elements are 1.83 times as fast on two threads (Zen 4). From memory the cores share the bandwidth.

use super::{Dropout, expect, simd};
use crate::{Isa, parallel::items_per_task, philox::GROUP, rows::is_far};
use rayon::prelude::*;

/// y = x·keep / (1 − p). Panics as [`super::apply`].
pub fn apply(isa: Isa, dropout: Dropout, x: &[f32], y: &mut [f32]) {
    expect(dropout, x.len(), y.len());
    let groups = x.len().div_ceil(GROUP);
    let per_task = items_per_task(groups, 2 * GROUP);
    let far = is_far(y.len());
    let run = |first: usize, x: &[f32], y: &mut [f32]| {
        if dropout.p == 0.0 {
            y.copy_from_slice(x);
        } else {
            simd::apply_from(isa, dropout, first as u64, far, x, y);
        }
    };
    if per_task >= groups {
        return run(0, x, y);
    }
    let chunks = y.par_chunks_mut(per_task * GROUP).zip(x.par_chunks(per_task * GROUP));
    chunks.enumerate().for_each(|(task, (y, x))| run(task * per_task, x, y));
}
