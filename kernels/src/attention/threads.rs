//! Threads: each output row and each gradient row has one owner.
//!
//! Forward, a task is a chunk of the queries of one head. Backward, it is a chunk of the keys of one key head with all
//! queries that see them: it owns those rows of dK and dV. With few heads the keys are cut into several chunks, each
//! of which adds up a dQ of its own; these are then added in a fixed order. So nothing is computed twice, no two
//! threads ever write one element, and the result is the same on any number of threads.
//!
//! Measured (Zen 4, two threads whose multiply-adds peak at 231 to 236, AVX-512, f32, causal, packed operands on cache
//! lines, medians in GFLOP/s of the nominal half; PyTorch 2 on the same machine in brackets):
//!
//! | B×H×T×D | forward | forward + backward |
//! | --- | --- | --- |
//! | 12×4×64×32 | 127 (19) | 134 (21) |
//! | 16×6×256×64 | 145 (46) | 154 (53) |
//! | the same, dropout 0.2 | 132 | 145: 19.5 ms (140 ms) |
//! | 1×12×1024×64 | 177 (94) | 177 (86) |
//! | 1×12×4096×64 | 182 (123) | 193 (103) |
//!
//! A group of dropout's masks serves 64 keys; backward they are drawn once for a panel and a block of keys, not for each
//! sixteen keys again: at 64×6×256×64 the backward pass took 62.8 ms, and with that and shorter random numbers 54.0.

use super::{
    Inputs, Output, Saved, Shape, Strides, one_block, one_block_backward, simd, simd_backward, tiles,
    view::{Part, PartOf},
};
use crate::{
    Isa,
    parallel::{GRAIN, items_per_task},
    scratch,
};
use rayon::prelude::*;
use std::ops::Range;

/// What one vector instruction does at once, about: the unit of a task's cost is the instruction.
const LANES: usize = 16;
/// The queries of a forward task: a quarter of them, within these bounds. Many, so that packing a block of keys costs
/// little beside using it (at T = 4096 a tenth of the time with 512), but not more than the second-level cache holds.
const ROWS: [usize; 2] = [512, 1024];
/// With fewer (batch, key head) pairs than this, the backward pass cuts the keys too.
const PAIRS: usize = 16;
/// With more keys than this, the diagonal is too small a part of the work to be cut finely.
const MANY: usize = 2048;
/// The least keys of a backward task.
const KEYS: usize = 256;

pub(super) fn forward(isa: Isa, inputs: &Inputs<'_>, o: Output<'_>, lse: &mut [f32]) {
    forward_tasks(inputs, o, lse, |head, rows, mut o, mut lse| {
        if in_registers(isa, inputs.shape.tk) {
            return one_block::chunk(isa, inputs, head, rows, o, lse);
        }
        simd::chunk(isa, tiles::PANEL, inputs, head, rows, |i, row, row_lse| {
            o.row(i).copy_from_slice(row);
            lse.row(i)[0] = row_lse;
        });
    });
}

pub(super) fn backward(isa: Isa, inputs: &Inputs<'_>, saved: &Saved<'_>, gradients: [Output<'_>; 3]) {
    backward_tasks(inputs, gradients, |head, keys, dq, mut dkv| {
        if in_registers(isa, inputs.shape.tk) {
            return one_block_backward::chunk(isa, inputs, saved, head, keys, dq, dkv);
        }
        let write_dq = |h: usize, i: usize, row: &[f32]| dq(h).row(i).copy_from_slice(row);
        let write_dkv = |j: usize, dk_row: &[f32], dv_row: &[f32]| {
            dkv[0].row(j).copy_from_slice(dk_row);
            dkv[1].row(j).copy_from_slice(dv_row);
        };
        simd_backward::chunk(isa, tiles::PANEL, inputs, saved, head, keys, write_dq, write_dkv);
    });
}

/// Whether the rungs from `registers` on are the faster ones: there have to be registers enough, and the diagonal has to
/// count. At T = 1024 they still are, by a little; at 4096 panels of eight rows are, by 5%, forward and backward.
fn in_registers(isa: Isa, keys: usize) -> bool {
    isa == Isa::Avx512 && keys <= MANY
}

/// Calls `work` for chunks of the queries of all heads, with the rows of O and lse that they own.
pub(super) fn forward_tasks(
    inputs: &Inputs<'_>,
    o: Output<'_>,
    lse: &mut [f32],
    work: impl Fn([usize; 2], Range<usize>, Part<'_>, Part<'_>) + Sync,
) {
    let Shape { b, h, tq, tk, d, .. } = inputs.shape;
    let chunks = tq.div_ceil((tq / 4).clamp(ROWS[0], ROWS[1]));
    let rows = tq.div_ceil(chunks.max(1)).next_multiple_of(super::registers::PANEL);
    let lse = Output::new("lse", lse, [b, h, tq], Strides { b: h * tq, h: tq, t: 1 }, 1);
    for_each(b * h * chunks, rows * tk * d / LANES, |task| {
        let (head, chunk) = (task / chunks, task % chunks);
        let (b, h) = (head / h, head % h);
        let rows = (chunk * rows).min(tq)..((chunk + 1) * rows).min(tq);
        // SAFETY: the tasks share out the rows (b, h, i) among them.
        let (o, lse) = unsafe { (o.part(b, h, rows.clone()), lse.part(b, h, rows.clone())) };
        work([b, h], rows, o, lse);
    });
}

/// Calls `work` for chunks of the keys of all key heads, with a function that gives the rows of dQ of a head, and the
/// rows of dK and dV.
pub(super) fn backward_tasks(
    inputs: &Inputs<'_>,
    [dq, dk, dv]: [Output<'_>; 3],
    work: impl Fn([usize; 2], Range<usize>, &PartOf<'_>, [Part<'_>; 2]) + Sync,
) {
    let Shape { b, h, h_kv, tq, tk, d } = inputs.shape;
    let pairs = b * h_kv;
    let group = h.checked_div(h_kv).unwrap_or(0);
    let chunks = PAIRS.div_ceil(pairs.max(1)).min(tk.div_ceil(KEYS)).max(1);
    let keys = tk.div_ceil(chunks).next_multiple_of(simd::KEYS);
    // A dQ for each task, where several make one.
    let part = if chunks > 1 { group * tq * d } else { 0 };
    scratch::with(pairs * chunks * part, |parts: &mut [f32]| {
        let strides = Strides { b: part, h: tq * d, t: d };
        let parts = Output::new("dq", parts, [if part > 0 { pairs * chunks } else { 0 }, group, tq], strides, d);
        for_each(pairs * chunks, group * tq * keys * d / LANES, |task| {
            let (pair, chunk) = (task / chunks, task % chunks);
            let (b, kv) = (pair / h_kv, pair % h_kv);
            let keys = (chunk * keys).min(tk)..((chunk + 1) * keys).min(tk);
            // SAFETY: each task has a part of its own, and where it is the only one of its key head, the queries.
            let dq = |h: usize| unsafe {
                if part == 0 { dq.part(b, h, 0..tq) } else { parts.part(task, h - kv * group, 0..tq) }
            };
            // SAFETY: the tasks share out the rows (b, kv, j) among them.
            let gradients = unsafe { [dk.part(b, kv, keys.clone()), dv.part(b, kv, keys.clone())] };
            work([b, kv], keys, &dq, gradients);
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
                let part: &[f32] = unsafe { parts.row_shared(pair * chunks + chunk, h % group, i) };
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
