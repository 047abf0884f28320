//! Every task has a run of the ids and a table of its own, and the tables are added in their order.
//!
//! The owners of [`super::threads`] all pass over all ids and skip most of dy; here each element of dy is read once,
//! and by one task. The price is a table for each task, written once and read once, so it is for ids that are many in
//! proportion to the rows: a vocabulary of characters. Elsewhere the rung below runs.
//!
//! 16384 ids of 65 × 384 take 0.73 ms, and 1.66 with owners (two threads of a Zen 4).

use super::{expect, simd, threads};
use crate::{
    Isa,
    parallel::{GRAIN, items_per_task},
    rows::add_rows,
    scratch,
};
use rayon::prelude::*;

/// The ids of a task for each row of its table, at least.
const IDS_PER_ROW: usize = 8;

/// dtable = in each row the sum of the gradients of the ids that chose it. Panics as [`super::backward`].
pub fn backward(isa: Isa, v: usize, c: usize, ids: &[u32], dy: &[f32], dtable: &mut [f32]) {
    expect(v, c, ids, dtable.len(), dy.len());
    let rows = IDS_PER_ROW.saturating_mul(v).max(GRAIN / c.max(1));
    let tasks = (ids.len() / rows.max(1)).min(64);
    if tasks < 2 || c == 0 {
        return threads::backward(isa, v, c, ids, dy, dtable);
    }
    let per_task = ids.len().div_ceil(1 << tasks.ilog2());
    scratch::with(ids.len().div_ceil(per_task) * v * c, |tables: &mut [f32]| {
        let inputs = ids.par_chunks(per_task).zip(dy.par_chunks(per_task * c));
        tables.par_chunks_mut(v * c).zip(inputs).for_each(|(table, (ids, dy))| {
            simd::add_owned(isa, false, c, 0, v, ids, dy, table);
        });
        let chunk = items_per_task(v * c, 2);
        dtable.par_chunks_mut(chunk).enumerate().for_each(|(i, dtable)| {
            add_rows(isa, tables, v * c, i * chunk, dtable);
        });
    });
}
