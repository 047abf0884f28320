//! Threads: each output row and each gradient row has one owner.
//!
//! Forward, a task is a chunk of the queries of one head. Backward, it is a chunk of the keys of one key head with all
//! queries that see them: it owns those rows of dK and dV. With few heads the keys are cut into several chunks, each
//! of which adds up a dQ of its own; these are then added in a fixed order. So nothing is computed twice, no two
//! threads ever write one element, and the result is the same on any number of threads.

use super::{Inputs, Output, Saved, Shape, Strides, simd, simd_backward, tiles::PANEL};
use crate::{
    Isa,
    parallel::{GRAIN, items_per_task},
    scratch,
};
use rayon::prelude::*;

/// The queries of a forward task: enough that packing a block of keys costs little beside using it.
const ROWS: usize = 512;
/// With fewer (batch, key head) pairs than this, the backward pass cuts the keys too.
const PAIRS: usize = 16;
/// The least keys of a backward task.
const KEYS: usize = 256;

pub(super) fn forward(isa: Isa, inputs: &Inputs<'_>, o: Output<'_>, lse: &mut [f32]) {
    let Shape { b, h, tq, tk, d, .. } = inputs.shape;
    let chunks = tq.div_ceil(ROWS);
    let rows = tq.div_ceil(chunks.max(1)).next_multiple_of(PANEL);
    let lse = Output::new("lse", lse, [b, h, tq], Strides { b: h * tq, h: tq, t: 1 }, 1);
    for_each(b * h * chunks, rows * tk * d, |task| {
        let (head, chunk) = (task / chunks, task % chunks);
        let (b, h) = (head / h, head % h);
        let rows = (chunk * rows).min(tq)..((chunk + 1) * rows).min(tq);
        simd::chunk(isa, PANEL, inputs, [b, h], rows, |i, row, row_lse| {
            // SAFETY: the tasks share out the rows (b, h, i) among them, and none keeps a reference.
            unsafe {
                o.row_shared(b, h, i).copy_from_slice(row);
                lse.row_shared(b, h, i)[0] = row_lse;
            }
        });
    });
}

pub(super) fn backward(isa: Isa, inputs: &Inputs<'_>, saved: &Saved<'_>, [dq, dk, dv]: [Output<'_>; 3]) {
    let Shape { b, h, h_kv, tq, tk, d } = inputs.shape;
    let pairs = b * h_kv;
    let group = if h_kv == 0 { 0 } else { h / h_kv };
    let chunks = PAIRS.div_ceil(pairs.max(1)).min(tk.div_ceil(KEYS)).max(1);
    let keys = tk.div_ceil(chunks).next_multiple_of(simd::KEYS);
    // A dQ for each task, where several make one.
    let part = if chunks > 1 { group * tq * d } else { 0 };
    scratch::with(pairs * chunks * part, |parts: &mut [f32]| {
        let parts = Output::new("dq", parts, [pairs, chunks, 1], Strides { b: chunks * part, h: part, t: part }, part);
        for_each(pairs * chunks, group * tq * keys * d, |task| {
            let (pair, chunk) = (task / chunks, task % chunks);
            let (b, kv) = (pair / h_kv, pair % h_kv);
            let keys = (chunk * keys).min(tk)..((chunk + 1) * keys).min(tk);
            // SAFETY: each task has a part of its own.
            let part = unsafe { parts.row_shared(pair, chunk, 0) };
            let write_dq = |h: usize, i: usize, row: &[f32]| match chunks {
                // SAFETY: the only task of this key head owns the queries of its group.
                1 => unsafe { dq.row_shared(b, h, i) }.copy_from_slice(row),
                _ => part[((h - kv * group) * tq + i) * d..][..d].copy_from_slice(row),
            };
            let write_dkv = |j: usize, dk_row: &[f32], dv_row: &[f32]| {
                // SAFETY: the tasks share out the rows (b, kv, j) among them, and none keeps a reference.
                unsafe {
                    dk.row_shared(b, kv, j).copy_from_slice(dk_row);
                    dv.row_shared(b, kv, j).copy_from_slice(dv_row);
                }
            };
            simd_backward::chunk(isa, PANEL, inputs, saved, [b, kv], keys, write_dq, write_dkv);
        });
        if chunks == 1 {
            return;
        }
        for_each(b * h * tq, chunks * d, |row| {
            let (b, h, i) = (row / (h * tq), row / tq % h, row % tq);
            let pair = b * h_kv + h / group;
            // SAFETY: one task for each row of dQ.
            let dq = unsafe { dq.row_shared(b, h, i) };
            dq.fill(0.0);
            for chunk in 0..chunks {
                // SAFETY: from here on the parts are only read.
                let part: &[f32] = unsafe { parts.row_shared(pair, chunk, 0) };
                let part = &part[(h % group * tq + i) * d..][..d];
                dq.iter_mut().zip(part).for_each(|(dq, part)| *dq += part);
            }
        });
    });
}

/// Calls `work` for 0 to n − 1, each of `cost` elementary operations.
pub(super) fn for_each(n: usize, cost: usize, work: impl Fn(usize) + Sync) {
    let per_task = items_per_task(n, cost);
    let tasks = n.div_ceil(per_task);
    let run = |task: usize| (task * per_task..((task + 1) * per_task).min(n)).for_each(&work);
    if tasks <= 1 || n * cost < 2 * GRAIN {
        (0..tasks).for_each(run);
    } else {
        (0..tasks).into_par_iter().for_each(run);
    }
}
