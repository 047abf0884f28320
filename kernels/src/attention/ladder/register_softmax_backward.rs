//! The backward pass with S and dP in registers: both are computed for eight queries and sixteen keys, and stored as P and dS.
//!
//! With AVX-512 they fill 16 vectors, and the two products hide the latency of each other. P and dS are stored once; the rung
//! below stores S and dP, loads them, and stores them again. dQ is computed for four rows at a time and dK, dV for four
//! keys, which wastes little at the causal diagonal. A head with one block reads Q, dO and K where they lie.
//!
//! Measured: 12×4×64×32 forward and backward takes 422 µs, the rung below 483 (two threads, AVX-512). AVX2 and the portable
//! level have too few registers; [`super::threads`] uses `query_tiles` there.

use crate::attention::{
    Inputs, Output, Saved,
    blocks::{
        exp2::exp2,
        head_operands::{PANEL, Rows, deltas, log2_sums, right, rows},
        pack,
        product::{Beta, Left, Right, multiply, tiles},
    },
    ladder::{
        register_softmax::{hide, partly_hidden},
        simd::{KEYS, columns},
    },
    one_by_one,
    task::{HeadTask, KeyTask},
};
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use crate::{Bf16Isa, attention::amx};
use crate::{
    Isa,
    simd::{
        Simd,
        operand_kind::{Level, OperandKind, kind_fn},
    },
};
use bytemuck::cast_slice_mut;
use std::{f32::consts::LOG2_E, ops::Range};

/// The queries of a block.
const QUERIES: usize = 64;
/// The rows of dQ, dK and dV that are made together.
const ROWS: usize = 4;

/// The backward pass on one thread.
pub(in crate::attention) fn backward<I: Into<Level>>(
    isa: I,
    inputs: &Inputs<'_>,
    saved: &Saved<'_>,
    gradients: [Output<'_>; 3],
) {
    let level = isa.into();
    one_by_one::backward(inputs, gradients, |task| chunk(level, inputs, saved, task));
}

/// The backward pass of some keys of one key head, with all queries of its group.
pub(in crate::attention) fn chunk(level: Level, inputs: &Inputs<'_>, saved: &Saved<'_>, task: KeyTask<'_>) {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if amx::fits(level, inputs) {
        return amx::backward::chunk(Bf16Isa::Amx, &mut amx::registers(), inputs, saved, task);
    }
    let space = lengths(level.steps(), inputs, &task.keys).iter().sum();
    one_by_one::for_each_query_head(inputs, task, space, |task, buffer| compiled(level, inputs, saved, task, buffer));
}

kind_fn! {
    fn compiled<W>(w: W, inputs: &Inputs<'_>, saved: &Saved<'_>, task: HeadTask<'_, '_>, buffer: &mut [u32]) {
        differentiate(w, inputs, saved, task, buffer)
    }
}

/// The working memory of a chunk of keys and a head of queries, with so many steps in a word, in the order of [`Buffers`] and its operands.
fn lengths(steps: usize, inputs: &Inputs<'_>, keys: &Range<usize>) -> [usize; 16] {
    let (width, words) = (pack::width(inputs.shape.d), pack::words_width(steps, inputs.shape.d));
    let (rows, columns) = (inputs.shape.tq.next_multiple_of(16), keys.len().next_multiple_of(KEYS) * width);
    let square = QUERIES * KEYS;
    let pairs = |len: usize| if steps == 1 { 0 } else { len };
    let (packed, joined) = (rows * words, pairs(rows / 2 * width));
    let block = words * KEYS;
    [
        packed,
        joined,
        packed,
        joined,
        block,
        block,
        pairs(block),
        KEYS * width, // operands
        square,
        square,
        pairs(PANEL * KEYS),
        rows,
        rows,
        rows * width,
        columns,
        columns,
    ]
}

/// What the blocks of a head share.
struct Context<'a, 'b> {
    inputs: &'a Inputs<'b>,
    head: [usize; 2],
    q: Rows<'a>,
    d_o: Rows<'a>,
    /// |scale| in units of log 2; its sign is with K.
    scale: f32,
}

/// A block of keys and values.
struct Block<'a> {
    keys: Range<usize>,
    /// The keys, transposed.
    k_t: &'a [u32],
    /// The values, transposed.
    v_t: &'a [u32],
    /// The keys with neighbours joined.
    k: Right<'a>,
    /// The row of dK and dV that belongs to the first of them.
    at: usize,
}

struct Buffers<'a> {
    /// P of a block of queries, steps along the queries joined.
    p: &'a mut [u32],
    /// dS, likewise.
    ds: &'a mut [u32],
    /// dS of a panel, steps along the keys joined, where that is not the same.
    ds_rows: &'a mut [u32],
    /// Σ dO·O of each query.
    delta: &'a mut [f32],
    /// The log-sum-exp of each query in units of log 2; ∞ where no key is seen, so that P = 0.
    lse: &'a mut [f32],
    dq: &'a mut [f32],
    dk: &'a mut [f32],
    dv: &'a mut [f32],
}

/// All queries of one head meet the keys of a chunk.
#[inline(always)]
fn differentiate<W: OperandKind>(
    w: W,
    inputs: &Inputs<'_>,
    saved: &Saved<'_>,
    task: HeadTask<'_, '_>,
    buffer: &mut [u32],
) {
    let HeadTask { head: [b, h, kv], keys, dq: mut dq_rows, dk: dk_rows, dv: dv_rows } = task;
    let (s, d, tq, width) = (w.simd(), inputs.shape.d, inputs.shape.tq, pack::width(inputs.shape.d));
    let [q, q2, d_o, d_o2, k_t, v_t, space, k, p, ds, ds_rows, delta, lse, dq, dk, dv] =
        pack::split(buffer, lengths(W::STEPS, inputs, &keys));
    let [delta, lse, dq, dk, dv] = [delta, lse, dq, dk, dv].map(cast_slice_mut::<u32, f32>);
    let heads = inputs.query_heads(kv);
    if h == heads.start {
        dk.fill(0.0);
        dv.fill(0.0);
    }
    dq.fill(0.0);
    log2_sums(w, inputs, saved, [b, h], lse);
    deltas(w, inputs, saved, [b, h], delta);
    let single = tq <= QUERIES && keys.len() <= KEYS;
    let scale = inputs.options.scale * LOG2_E;
    let context = Context {
        inputs,
        head: [b, h],
        q: rows(w, inputs.q.rows([b, h, d], 0..tq), single, q, q2),
        d_o: rows(w, saved.d_o.rows([b, h, d], 0..tq), single, d_o, d_o2),
        // A factor of 0 would make NaN of the scores that are hidden.
        scale: if scale == 0.0 { f32::MIN_POSITIVE } else { scale.abs() },
    };
    let mut buffers = Buffers { p, ds, ds_rows, delta, lse, dq, dk, dv };
    for first in keys.clone().step_by(KEYS) {
        let block = first..(first + KEYS).min(keys.end);
        pack::words_transposed(w, inputs.k.rows([b, kv, d], block.clone()), (k_t, KEYS), space);
        if scale < 0.0 {
            pack::negate(w, k_t);
        }
        pack::words_transposed(w, inputs.v.rows([b, kv, d], block.clone()), (v_t, KEYS), space);
        let right = right(w, inputs.k.rows([b, kv, d], block.clone()), single, k);
        let queries = inputs.queries(block.clone());
        let mut next = block.end..(block.end + KEYS).min(keys.end);
        let block = Block { keys: block, k_t, v_t, k: right, at: first - keys.start };
        for query in (queries.start / PANEL * PANEL..queries.end).step_by(QUERIES) {
            let queries = query..(query + QUERIES).min(queries.end);
            for i in queries.clone().step_by(PANEL) {
                pack::prefetch(inputs, [b, kv], &mut next, 4);
                panel(w, &context, &block, i..(i + PANEL).min(queries.end), i - queries.start, &mut buffers);
            }
            add_to_keys(w, &context, &block, queries, &mut buffers);
        }
    }
    let factor = s.splat(inputs.options.scale);
    let far = dq_rows.is_far();
    for i in 0..tq {
        pack::scaled(s, factor, &buffers.dq[i * width..], dq_rows.row(i), far);
    }
    if h + 1 == heads.end {
        let far = dk_rows.is_far();
        let kept = s.splat(inputs.options.dropout.map_or(1.0, |dropout| dropout.scale()));
        for (r, j) in keys.enumerate() {
            pack::scaled(s, factor, &buffers.dk[r * width..], dk_rows.row(j), far);
            pack::scaled(s, kept, &buffers.dv[r * width..], dv_rows.row(j), far);
        }
    }
    s.fence();
}

/// P and dS of a panel of queries, which stand from row `here` of their block on, and what they add to dQ.
#[inline(always)]
fn panel<W: OperandKind>(
    w: W,
    context: &Context<'_, '_>,
    block: &Block<'_>,
    queries: Range<usize>,
    here: usize,
    buffers: &mut Buffers<'_>,
) {
    let (inputs, width) = (context.inputs, pack::width(context.inputs.shape.d));
    let seen = columns(inputs, queries.clone(), block.keys.start);
    if seen.is_empty() {
        return;
    }
    let start = seen.start / 16 * 16;
    let drops = drops(w, context, queries.start, block.keys.start);
    for column in (start..seen.end).step_by(W::S::N) {
        if const { matches!(W::S::ISA, Isa::Avx512) } {
            square::<W, 8>(w, context, block, &drops, [queries.start, here, column], buffers);
        } else {
            square::<W, 4>(w, context, block, &drops, [queries.start, here, column], buffers);
            square::<W, 4>(w, context, block, &drops, [queries.start + 4, here + 4, column], buffers);
        }
    }
    for part in (0..queries.len()).step_by(ROWS) {
        let rows = queries.start + part..(queries.start + part + ROWS).min(queries.end);
        let end = columns(inputs, rows.clone(), block.keys.start).end;
        let left = if W::STEPS == 1 {
            Left { data: &buffers.ds[(here + part) * KEYS + start..], row: KEYS, col: 1 }
        } else {
            let row = KEYS / W::STEPS;
            Left { data: &buffers.ds_rows[part * row + start / W::STEPS..], row, col: 1 }
        };
        multiply(
            w,
            [rows.len(), width, end.saturating_sub(start).div_ceil(W::STEPS)],
            left,
            block.k.from(start / W::STEPS),
            (&mut buffers.dq[rows.start * width..], width),
            Beta::One,
        );
    }
}

/// P and dS of MR queries with a vector of keys.
#[inline(always)]
fn square<W: OperandKind, const MR: usize>(
    w: W,
    context: &Context<'_, '_>,
    block: &Block<'_>,
    drops: &Option<Drops<W::S>>,
    [i, here, column]: [usize; 3],
    buffers: &mut Buffers<'_>,
) {
    let (s, n, inputs) = (w.simd(), W::S::N, context.inputs);
    let keys = |x| Right { data: <[u32]>::get(x, column..).unwrap_or_default(), row: KEYS };
    let operands = [(context.q.left.from(i), keys(block.k_t)), (context.d_o.left.from(i), keys(block.v_t))];
    let [mut p, mut ds] = tiles::<W, MR, 1>(w, inputs.shape.d.div_ceil(W::STEPS), operands);
    let scale = s.splat(context.scale);
    let first = block.keys.start + column;
    let partly = partly_hidden(inputs, i..(i + MR).min(inputs.shape.tq).max(i + 1), MR, first..first + n);
    for row in 0..MR {
        let at = [context.head[0], context.head[1], i + row];
        if partly {
            hide(w, inputs, at, i + row < inputs.shape.tq, first, &mut p[row]);
        }
        let (lse, delta) = (s.splat(-buffers.lse[i + row]), s.splat(buffers.delta[i + row]));
        let all = exp2(s, s.mul_add(scale, p[row][0], lse));
        let (kept, dp) = match (drops, inputs.options.dropout) {
            (Some(drops), Some(dropout)) => {
                let drop = drops[(here + row) % PANEL][column % 16 / n][column / 16];
                // dS needs all of P, dV what was kept of it.
                let dp = s.mul(s.splat(dropout.scale()), ds[row][0]);
                (s.select(drop, s.zero(), all), s.select(drop, s.zero(), dp))
            }
            _ => (all, ds[row][0]),
        };
        p[row][0] = kept;
        ds[row][0] = s.mul(all, s.sub(dp, delta));
    }
    for row in (0..MR).step_by(W::STEPS) {
        let to = (here + row) / W::STEPS * KEYS + column;
        let next = row + W::STEPS - 1;
        pack::store_words(s, &mut buffers.p[to..], w.join([p[row][0], p[next][0]]));
        pack::store_words(s, &mut buffers.ds[to..], w.join([ds[row][0], ds[next][0]]));
    }
    if W::STEPS > 1 {
        for (row, ds) in ds.iter().enumerate() {
            let to = (here % PANEL + row) * (KEYS / W::STEPS) + column / W::STEPS;
            let words = s.from_bits(w.pack([ds[0], s.zero()]));
            s.store_partial(cast_slice_mut(&mut buffers.ds_rows[to..][..n / W::STEPS]), words);
        }
    }
}

/// The lanes that dropout takes from the rows of a panel and a block of keys: those of row r, of part p of its sixteens
/// and of sixteen w are `[r][p][w]`.
type Drops<S> = [[[<S as Simd>::Mask; 4]; 2]; PANEL];

/// The lanes that dropout takes from the queries from `i` on and the keys from `key` on.
#[inline(always)]
fn drops<W: OperandKind>(w: W, context: &Context<'_, '_>, i: usize, key: usize) -> Option<Drops<W::S>> {
    let dropout = context.inputs.options.dropout?;
    let s = w.simd();
    let mut drops = [[[s.lt_u32(s.splat_u32(0), s.splat_u32(0)); 4]; 2]; PANEL];
    for (row, drops) in drops.iter_mut().enumerate() {
        let group = context.inputs.first_group(context.head[0], context.head[1], i + row) + (key / KEYS) as u64;
        for (part, drops) in drops[..16 / W::S::N].iter_mut().enumerate() {
            *drops = dropout.drop_masks(s, group, part);
        }
    }
    Some(drops)
}

/// What a block of queries adds to the gradients of a block of keys.
#[inline(always)]
fn add_to_keys<W: OperandKind>(
    w: W,
    context: &Context<'_, '_>,
    block: &Block<'_>,
    queries: Range<usize>,
    buffers: &mut Buffers<'_>,
) {
    let width = pack::width(context.inputs.shape.d);
    for j in (0..block.keys.len()).step_by(ROWS) {
        let rows = ROWS.min(block.keys.len() - j);
        let seen = context.inputs.queries(block.keys.start + j..block.keys.start + j + rows);
        let (start, end) = (seen.start.max(queries.start) / W::STEPS, seen.end.min(queries.end).div_ceil(W::STEPS));
        if start >= end {
            continue;
        }
        let here = (start - queries.start / W::STEPS) * KEYS + j;
        let to = (block.at + j) * width;
        let gradients = [(&*buffers.p, context.d_o, &mut *buffers.dv), (&*buffers.ds, context.q, &mut *buffers.dk)];
        for (left, right, gradient) in gradients {
            multiply(
                w,
                [rows, width, end - start],
                Left { data: &left[here..], row: 1, col: KEYS },
                right.right.from(start),
                (&mut gradient[to..], width),
                Beta::One,
            );
        }
    }
}
