//! All cores. Forward, each task copies for its chunk of ids.
//!
//! Backward, each task owns a run of rows of the table: it reads all ids and adds the gradients of its own, in the
//! order of the ids. No task writes another's row, no row needs a second copy, and the order of the additions in a row
//! is always the same. Reading the ids again in each task costs 4 bytes an id, against 4·c for its gradient.
//!
//! It pays for tables of many rows with few ids to each, where nearly all of the time goes into clearing the table: past the
//! caches, 1024 ids of 50257 × 768 take 1.3 to 1.8 ms, 2.4 on one thread (Zen 4). With few rows it is slower than one thread,
//! because each task passes over all of dy with gaps that prefetchers do not follow; [`super::partial`] is for that.

use super::{expect, naive, simd};
use crate::{
    Isa,
    parallel::{GRAIN, items_per_task},
    rows::is_far,
};
use rayon::prelude::*;

/// y = the rows of the table that the ids choose. Panics as [`super::forward`].
pub fn forward(_: Isa, v: usize, c: usize, table: &[f32], ids: &[u32], y: &mut [f32]) {
    let per_task = items_per_task(ids.len(), c);
    if per_task >= ids.len() || c == 0 {
        return naive::forward(v, c, table, ids, y);
    }
    expect(v, c, ids, table.len(), y.len());
    y.par_chunks_mut(per_task * c).zip(ids.par_chunks(per_task)).for_each(|(y, ids)| {
        for (y, &id) in y.chunks_exact_mut(c).zip(ids) {
            y.copy_from_slice(&table[id as usize * c..][..c]);
        }
    });
}

/// dtable = in each row the sum of the gradients of the ids that chose it. Panics as [`super::backward`].
pub fn backward(isa: Isa, v: usize, c: usize, ids: &[u32], dy: &[f32], dtable: &mut [f32]) {
    let elements = c.saturating_mul(v.saturating_add(ids.len()));
    // Every task reads all ids, so there are few tasks where there are many ids in proportion.
    let per_task = v.div_ceil((elements / GRAIN.max(4 * ids.len())).clamp(1, 64)).max(1);
    if per_task >= v || c == 0 {
        return simd::backward(isa, v, c, ids, dy, dtable);
    }
    expect(v, c, ids, dtable.len(), dy.len());
    let far = is_far(dtable.len());
    dtable.par_chunks_mut(per_task * c).enumerate().for_each(|(task, dtable)| {
        simd::add_owned(isa, far, c, task * per_task, dtable.len() / c, ids, dy, dtable);
    });
}
