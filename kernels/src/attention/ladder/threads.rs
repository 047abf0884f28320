//! Threads: each output row and each gradient row is written by one task.
//!
//! Forward, a task is a chunk of the queries of one head. Backward, it is a chunk of the keys of one key head, with all
//! queries that see them; it owns these rows of dK and dV. With few heads the keys are cut into several chunks, each of which
//! sums a dQ of its own, and these are added in a fixed order. So nothing is computed twice, no element is written by two
//! threads, and the result is the same on any number of threads.
//!
//! Each task uses the rung that is fastest for its size and instruction set. Measured: 16×6×256×64 runs at 145 GFLOP/s of
//! the nominal half forward, PyTorch 2 at 46 (two threads of a Zen 4, AVX-512, causal).

use crate::attention::{
    Inputs, Output, Saved, Shape, Strides,
    ladder::{query_tiles, short_sequence, short_sequence_backward, simd, simd_backward},
    task::{KeyTask, QueryTask},
};
use crate::{
    Isa,
    parallel::{GRAIN, items_per_task},
    scratch,
    simd::operand_kind::Level,
};
use rayon::prelude::*;

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

/// The forward pass: each task with the rung that is the fastest.
pub(in crate::attention) fn forward<I: Into<Level>>(isa: I, inputs: &Inputs<'_>, o: Output<'_>, lse: &mut [f32]) {
    let level = isa.into();
    forward_tasks(inputs, o, lse, |task| {
        let Some(isa) = in_memory(level, inputs.shape.tk) else {
            return short_sequence::chunk(level, inputs, task);
        };
        let QueryTask { head, queries, mut o, mut lse } = task;
        simd::chunk(isa, query_tiles::PANEL, inputs, head, queries, |i, row, row_lse| {
            o.row(i).copy_from_slice(row);
            lse.row(i)[0] = row_lse;
        });
    });
}

/// The backward pass, likewise.
pub(in crate::attention) fn backward<I: Into<Level>>(
    isa: I,
    inputs: &Inputs<'_>,
    saved: &Saved<'_>,
    gradients: [Output<'_>; 3],
) {
    let level = isa.into();
    backward_tasks(inputs, gradients, |task| {
        let Some(isa) = in_memory(level, inputs.shape.tk) else {
            return short_sequence_backward::chunk(level, inputs, saved, task);
        };
        let KeyTask { head, keys, dq, mut dk, mut dv } = task;
        let write_dq = |h: usize, i: usize, row: &[f32]| dq(h).row(i).copy_from_slice(row);
        let write_dkv = |j: usize, dk_row: &[f32], dv_row: &[f32]| {
            dk.row(j).copy_from_slice(dk_row);
            dv.row(j).copy_from_slice(dv_row);
        };
        simd_backward::chunk(isa, query_tiles::PANEL, inputs, saved, head, keys, write_dq, write_dkv);
    });
}

/// The instruction set of `query_tiles`, which keeps scores in memory, where that rung is the fastest one. The rungs above it
/// need many registers, and gain at the diagonal: at T = 4096 `query_tiles` is faster by 5%, forward and backward. It has
/// no bf16.
fn in_memory(level: Level, keys: usize) -> Option<Isa> {
    match level {
        Level::F32(isa) => (isa != Isa::Avx512 || keys > MANY).then_some(isa),
        Level::Bf16(_) => None,
    }
}

/// Calls `work` for chunks of the queries of all heads.
fn forward_tasks(inputs: &Inputs<'_>, o: Output<'_>, lse: &mut [f32], work: impl Fn(QueryTask<'_>) + Sync) {
    let Shape { b, h, tq, tk, d, .. } = inputs.shape;
    let chunks = tq.div_ceil((tq / 4).clamp(ROWS[0], ROWS[1]));
    let rows = tq.div_ceil(chunks.max(1)).next_multiple_of(super::register_softmax::PANEL);
    let lse = Output::new("lse", lse, [b, h, tq], Strides { b: h * tq, h: tq, t: 1 }, 1);
    for_each(b * h * chunks, rows * tk * d / LANES, |task| {
        let (head, chunk) = (task / chunks, task % chunks);
        let (b, h) = (head / h, head % h);
        let queries = (chunk * rows).min(tq)..((chunk + 1) * rows).min(tq);
        // SAFETY: the tasks share out the rows (b, h, i) among them.
        let (o, lse) = unsafe { (o.part(b, h, queries.clone()), lse.part(b, h, queries.clone())) };
        work(QueryTask { head: [b, h], queries, o, lse });
    });
}

/// Calls `work` for chunks of the keys of all key heads.
fn backward_tasks(inputs: &Inputs<'_>, [dq, dk, dv]: [Output<'_>; 3], work: impl Fn(KeyTask<'_>) + Sync) {
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
            let (dk, dv) = unsafe { (dk.part(b, kv, keys.clone()), dv.part(b, kv, keys.clone())) };
            work(KeyTask { head: [b, kv], keys, dq: &dq, dk, dv });
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
pub(in crate::attention) fn for_each(n: usize, cost: usize, work: impl Fn(usize) + Sync) {
    let per_task = items_per_task(n, cost);
    let tasks = n.div_ceil(per_task);
    let run = |task: usize| (task * per_task..((task + 1) * per_task).min(n)).for_each(&work);
    if tasks <= 1 || n * cost < 2 * GRAIN {
        (0..tasks).for_each(run);
    } else {
        (0..tasks).into_par_iter().for_each(run);
    }
}
