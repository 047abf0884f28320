//! The softmax runs in registers: scores are not stored before they are probabilities.
//!
//! With AVX-512 the scores of four queries and 64 keys fill 16 vectors, half of the registers. They stay there from Q·Kᵀ to
//! the P that P·V broadcasts. The scale is part of the exponential (a multiply-add), so Q is read where it lies. Panels of
//! four queries waste 5% of P·V at the causal diagonal, panels of eight 11%. A panel writes its output after its last
//! block of keys, so a head with one block keeps nothing between blocks.
//!
//! It should pay where a head has few keys. Measured: 12×4×64×32 takes 136 µs, the rung below 164 (two threads, AVX-512).
//! AVX2 and the portable level have too few registers; [`super::threads`] uses `query_tiles` there.

use crate::attention::{
    Inputs, Output,
    blocks::{
        exp2::{exp2, in_log},
        head_operands,
        next_head::{NextHead, take},
        pack,
        product::{Beta, Left, Right, multiply, tile},
    },
    ladder::simd::{KEYS, columns},
    one_by_one,
    task::QueryTask,
    view::Part,
};
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use crate::{Bf16Isa, attention::amx};
use crate::{
    Isa, scratch,
    simd::{
        Simd,
        operand_kind::{F32, Level, OperandKind, kind_fn},
    },
};
use bytemuck::cast_slice_mut;
use std::{f32::consts::LOG2_E, ops::Range};

/// The queries of a panel.
pub(in crate::attention) const PANEL: usize = 4;

/// The forward pass on one thread.
pub(in crate::attention) fn forward<I: Into<Level>>(isa: I, inputs: &Inputs<'_>, o: Output<'_>, lse: &mut [f32]) {
    let level = isa.into();
    one_by_one::forward(inputs, o, lse, |task| chunk(level, inputs, task));
}

/// The forward pass of some queries of one head.
pub(in crate::attention) fn chunk(level: Level, inputs: &Inputs<'_>, task: QueryTask<'_>) {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if amx::fits(level, inputs) {
        return amx::forward::chunk(Bf16Isa::Amx, &mut amx::registers(), inputs, task);
    }
    let len = lengths(level.steps(), inputs, task.queries.len()).iter().sum();
    scratch::with(len, |buffer: &mut [u32]| compiled(level, inputs, task, buffer));
}

kind_fn! {
    fn compiled<W>(w: W, inputs: &Inputs<'_>, task: QueryTask<'_>, buffer: &mut [u32]) {
        attend(w, inputs, task, buffer)
    }
}

/// The working memory of `n` queries, with so many steps in a word: queries, a block of keys as rows and transposed, one of
/// values, P of a panel;
/// maximum, sum, partial sums and output of each row so far.
fn lengths(steps: usize, inputs: &Inputs<'_>, n: usize) -> [usize; 9] {
    let (width, words) = (pack::width(inputs.shape.d), pack::words_width(steps, inputs.shape.d));
    let rows = n.next_multiple_of(16);
    let space = if steps == 1 { 0 } else { KEYS * words };
    [rows * words, space, words * KEYS, KEYS * width, PANEL * KEYS, rows, rows, rows * 16, rows * width]
}

/// What the panels of a chunk share.
struct Context<'a, 'b> {
    inputs: &'a Inputs<'b>,
    head: [usize; 2],
    /// The queries, from that of row 0 on.
    rows: Range<usize>,
    q: Left<'a>,
    /// |scale| in units of log 2; its sign is with K.
    scale: f32,
    /// Whether all keys are in one block, so that only one panel's O is ever unfinished.
    single: bool,
}

/// A block of keys and values, from key `first` on.
struct Block<'a> {
    first: usize,
    k: &'a [u32],
    v: Right<'a>,
}

/// What is kept of the rows from block to block.
struct State<'a> {
    p: &'a mut [u32],
    max: &'a mut [f32],
    sum: &'a mut [f32],
    sums: &'a mut [f32],
    o: &'a mut [f32],
}

/// The forward pass of the queries `rows` of one head, on words of any kind.
#[inline(always)]
fn attend<W: OperandKind>(w: W, inputs: &Inputs<'_>, task: QueryTask<'_>, buffer: &mut [u32]) {
    let QueryTask { head: [b, h], queries: rows, o: mut o_rows, lse: mut lse_rows } = task;
    let (s, n, d, kv) = (w.simd(), rows.len(), inputs.shape.d, if rows.is_empty() { 0 } else { inputs.kv_head(h) });
    let [q, space, k_t, v, p, max, sum, sums, o] = pack::split(buffer, lengths(W::STEPS, inputs, n));
    let [max, sum, sums, o] = [max, sum, sums, o].map(cast_slice_mut::<u32, f32>);
    max.fill(f32::MIN); // not −∞: the difference of two of them would be NaN
    sum.fill(0.0);
    let mut state = State { p, max, sum, sums, o };
    if n > 0 {
        let seen = inputs.keys(rows.start).start..inputs.keys(rows.end - 1).end;
        let blocks = seen.start / KEYS * KEYS..seen.end;
        let single = blocks.len() <= KEYS;
        let q = match pack::in_place::<W>(inputs.q.rows([b, h, d], rows.clone()), single && n.is_multiple_of(PANEL)) {
            Some((data, row)) => Left { data, row, col: 1 },
            None => {
                pack::words(w, inputs.q.rows([b, h, d], rows.clone()), q);
                Left { data: q, row: pack::words_width(W::STEPS, d), col: 1 }
            }
        };
        let scale = inputs.options.scale * LOG2_E;
        // A factor of 0 would make NaN of the scores that are hidden.
        let magnitude = if scale == 0.0 { f32::MIN_POSITIVE } else { scale.abs() };
        let context = Context { inputs, head: [b, h], rows: rows.clone(), q, scale: magnitude, single };
        let next_head = NextHead::new(inputs, [b, h]);
        let mut later = 0..if n == inputs.shape.tq { n } else { 0 };
        for first in blocks.step_by(KEYS) {
            let keys = first..(first + KEYS).min(inputs.shape.tk);
            pack::words_transposed(w, inputs.k.rows([b, kv, d], keys.clone()), (k_t, KEYS), space);
            if scale < 0.0 {
                pack::negate(w, k_t);
            }
            let v = head_operands::right(w, inputs.v.rows([b, kv, d], keys), single, v);
            let block = Block { first, k: k_t, v };
            let mut next = (first + KEYS).min(seen.end)..(first + 2 * KEYS).min(seen.end);
            for r in (0..n).step_by(PANEL) {
                if later.is_empty() {
                    pack::prefetch(inputs, [b, kv], &mut next, 2);
                } else if inputs.keys(rows.start + r).end > first {
                    next_head.prefetch(inputs, take(&mut later, 2));
                }
                meet(w, &context, &block, r, &mut state, &mut o_rows);
            }
        }
    }
    for r in (0..n).step_by(PANEL) {
        // Where a panel sees no key, no block has written its rows.
        let i = rows.start + r;
        if inputs.keys(i).start >= inputs.keys((i + PANEL).min(rows.end) - 1).end {
            (i..(i + PANEL).min(rows.end)).for_each(|i| o_rows.row(i).fill(0.0));
        }
    }
    log_sum_exp(s, rows, &mut state, &mut lse_rows);
    s.fence();
}

/// The log-sum-exp of each row.
#[inline(always)]
fn log_sum_exp<S: Simd>(s: S, rows: Range<usize>, state: &mut State<'_>, lse: &mut Part<'_>) {
    for (max, sum) in state.max.chunks_exact(S::N).zip(state.sum.chunks_exact_mut(S::N)) {
        s.store(sum, in_log(s, s.load(max), s.load(sum)));
    }
    for (i, &sum) in rows.zip(&*state.sum) {
        lse.row(i)[0] = sum;
    }
}

/// The panel of queries from row `r` on meets a block of keys.
#[inline(always)]
fn meet<W: OperandKind>(
    w: W,
    context: &Context<'_, '_>,
    block: &Block<'_>,
    r: usize,
    state: &mut State<'_>,
    o_rows: &mut Part<'_>,
) {
    let i = context.rows.start + r;
    let queries = i..(i + PANEL).min(context.rows.end);
    let columns = columns(context.inputs, queries.clone(), block.first);
    if columns.is_empty() {
        return;
    }
    // With dropout from the first column on: its masks come 64 at a time.
    let start = if context.inputs.options.dropout.is_some() { 0 } else { columns.start / 16 * 16 };
    let at = Panel { queries, r, columns: start..columns.end };
    // The vectors of 16 keys; in registers or, where those are narrow, a query at a time.
    let sixteens = (columns.end - start).div_ceil(16);
    if const { matches!(W::S::ISA, Isa::Avx512) } {
        match sixteens {
            1 => panel::<W, 4, 1>(w, context, block, at, state, o_rows),
            2 => panel::<W, 4, 2>(w, context, block, at, state, o_rows),
            3 => panel::<W, 4, 3>(w, context, block, at, state, o_rows),
            _ => panel::<W, 4, 4>(w, context, block, at, state, o_rows),
        }
    } else {
        match sixteens {
            1 => panel::<W, 1, 2>(w, context, block, at, state, o_rows),
            2 => panel::<W, 1, 4>(w, context, block, at, state, o_rows),
            3 => panel::<W, 1, 6>(w, context, block, at, state, o_rows),
            _ => panel::<W, 1, 8>(w, context, block, at, state, o_rows),
        }
    }
}

/// Up to [`PANEL`] queries, from row `r` on, and the columns of a block that they see, from a multiple of 16 on.
struct Panel {
    queries: Range<usize>,
    r: usize,
    columns: Range<usize>,
}

#[inline(always)]
fn panel<W: OperandKind, const MR: usize, const NV: usize>(
    w: W,
    context: &Context<'_, '_>,
    block: &Block<'_>,
    at: Panel,
    state: &mut State<'_>,
    o_rows: &mut Part<'_>,
) {
    let (s, inputs, d) = (w.simd(), context.inputs, context.inputs.shape.d);
    let Panel { queries, r, columns } = at;
    let range = inputs.keys(queries.start).start..inputs.keys(queries.end - 1).end;
    let fresh = block.first <= range.start;
    let first = block.first + columns.start;
    let partly = partly_hidden(inputs, queries.clone(), PANEL, first..first + NV * W::S::N);
    let mut alpha = [0.0; 16];
    for part in (0..PANEL).step_by(MR) {
        let q = context.q.from(r + part);
        let k = Right { data: block.k.get(columns.start..).unwrap_or_default(), row: KEYS };
        let mut scores = tile::<W, MR, NV>(w, d.div_ceil(W::STEPS), q, k);
        let rows = r + part..r + part + MR;
        let (mut old, mut new) = ([0.0; 16], [0.0; 16]);
        old[..MR].copy_from_slice(&state.max[rows.clone()]);
        for (row, scores) in scores.iter_mut().enumerate() {
            if partly {
                let i = queries.start + part + row;
                let [b, h] = context.head;
                hide(w, inputs, [b, h, i], i < context.rows.end, first, scores);
            }
            let mut largest = scores[0];
            for &x in &scores[1..] {
                largest = s.max(largest, x);
            }
            new[row] = (context.scale * s.reduce_max(largest)).max(old[row]);
        }
        state.max[rows.clone()].copy_from_slice(&new[..MR]);
        if !fresh {
            // What the sums so far have to be multiplied with, now that they are taken less a larger maximum.
            s.store(&mut alpha[part..], exp2(s, s.sub(s.load(&old), s.load(&new))));
        }
        for (row, scores) in scores.iter_mut().enumerate() {
            let sums = &mut state.sums[(rows.start + row) * 16..];
            let so_far = if fresh { s.zero() } else { s.mul(s.splat(alpha[part + row]), s.load(sums)) };
            s.store(sums, exponentials(w, context.scale, new[row], scores, so_far));
            drop_out(w, context, queries.start + part + row, block.first, scores);
            let to = ((part + row) * KEYS + columns.start) / W::STEPS;
            for v in (0..NV).step_by(W::STEPS) {
                let second = if W::STEPS == 2 && v + 1 < NV { scores[v + 1] } else { s.zero() };
                let words = s.from_bits(w.pack([scores[v], second]));
                s.store(cast_slice_mut(&mut state.p[to + v * W::S::N / W::STEPS..]), words);
            }
        }
    }
    let width = pack::width(d);
    let o = &mut state.o[if context.single { 0 } else { r * width }..];
    let words = columns.start / W::STEPS;
    multiply(
        w,
        [PANEL, width, columns.len().div_ceil(W::STEPS)],
        Left { data: &state.p[words..], row: KEYS / W::STEPS, col: 1 },
        block.v.from(words),
        (&mut *o, width),
        if fresh { Beta::Zero } else { Beta::Rows(&alpha) },
    );
    if range.end <= block.first + KEYS {
        let scale = inputs.options.dropout.map_or(1.0, |dropout| dropout.scale());
        let far = o_rows.is_far();
        for (row, i) in queries.enumerate() {
            let sum = s.reduce_sum(s.load(&state.sums[(r + row) * 16..]));
            state.sum[r + row] = sum;
            let factor = s.splat(if sum == 0.0 { 0.0 } else { scale / sum });
            pack::scaled(s, factor, &o[row * width..], o_rows.row(i), far);
        }
    }
}

/// The scores of one query become 2^(scale·score − max), and are added to its sums.
#[inline(always)]
fn exponentials<W: OperandKind, const NV: usize>(
    w: W,
    scale: f32,
    max: f32,
    scores: &mut [F32<W>; NV],
    mut sum: F32<W>,
) -> F32<W> {
    let s = w.simd();
    let (scale, offset) = (s.splat(scale), s.splat(-max));
    for x in scores.iter_mut() {
        *x = exp2(s, s.mul_add(scale, *x, offset));
        sum = s.add(sum, *x);
    }
    sum
}

/// The probabilities of query i with the block of keys from `first` on become 0 where dropout takes them; the factor of
/// the others comes with O.
#[inline(always)]
fn drop_out<W: OperandKind, const NV: usize>(
    w: W,
    context: &Context<'_, '_>,
    i: usize,
    first: usize,
    p: &mut [F32<W>; NV],
) {
    let Some(dropout) = context.inputs.options.dropout.filter(|_| i < context.rows.end) else { return };
    let (s, parts) = (w.simd(), 16 / W::S::N);
    let [b, h] = context.head;
    let group = context.inputs.first_group(b, h, i) + (first / KEYS) as u64;
    let first = dropout.drop_masks(s, group, 0);
    let masks = [first, if parts > 1 { dropout.drop_masks(s, group, 1) } else { first }];
    for (v, p) in p.iter_mut().enumerate() {
        *p = s.select(masks[v % parts][v / parts], s.zero(), *p);
    }
}

/// Whether there is anything to hide from `rows` queries, of which `queries` exist, in these columns.
#[inline(always)]
pub(in crate::attention) fn partly_hidden(
    inputs: &Inputs<'_>,
    queries: Range<usize>,
    rows: usize,
    columns: Range<usize>,
) -> bool {
    inputs.options.mask.is_some()
        || queries.len() < rows
        || inputs.keys(queries.end - 1).start > columns.start
        || inputs.keys(queries.start).end < columns.end
}

/// The scores of query i with the keys from `first` on become −∞ where the key is not seen, or where there is no
/// such query.
#[inline(always)]
pub(in crate::attention) fn hide<W: OperandKind, const NV: usize>(
    w: W,
    inputs: &Inputs<'_>,
    [b, h, i]: [usize; 3],
    exists: bool,
    first: usize,
    scores: &mut [F32<W>; NV],
) {
    let (s, n) = (w.simd(), W::S::N);
    let hidden = s.splat(f32::NEG_INFINITY);
    let seen = if exists { inputs.keys(i) } else { 0..0 };
    for (v, x) in scores.iter_mut().enumerate() {
        let at = first + v * n;
        if seen.start > at || seen.end < at + n {
            let start = s.splat_u32(seen.start.saturating_sub(at).min(n) as u32);
            let end = s.splat_u32(seen.end.saturating_sub(at).min(n) as u32);
            let lane = s.iota_u32();
            *x = s.select(s.lt_u32(lane, end), *x, hidden);
            *x = s.select(s.lt_u32(lane, start), hidden, *x);
        }
    }
    if let Some(keep) = exists.then(|| inputs.mask_row(b, h, i)).flatten() {
        for (v, x) in scores.iter_mut().enumerate() {
            // Columns past the last key read as zeros: hidden.
            let keep = s.load_partial(&keep[(first + v * n).min(keep.len())..]);
            *x = s.select(s.eq(keep, s.zero()), hidden, *x);
        }
    }
}
