//! The forward pass on tiles: scores of 32 queries and 256 keys at once, then their softmax, then P·V.
//!
//! A product of tiles takes a tenth of the time that vectors need, so softmax and packing are what is left, and the layout
//! is chosen for them. Rows of scores are queries: then Q and P are operands as they lie, P rounded by one instruction for
//! 32 keys, V is zipped, and only K is transposed. P takes the place of the scores that it is made of: 32 KiB. With 256 keys
//! in a block most sequences have one, and nothing of a row has to be rescaled.
//!
//! K and V are packed once for all queries of a chunk, up to a part of the second-level cache; beyond that the rows wait in
//! memory for the next keys. 1×12×1024×64 takes 2.2 to 2.6 ms, 7.2 in `f32` (two threads of a Granite Rapids).
//!
//! Dropout acts on P when it is rounded, after it went into the sums; its factor comes with O (`hidden_keys.rs` has the
//! bits). A mask hides scores before the maximum.

use crate::attention::{
    Inputs,
    amx::{
        hidden_keys::{WORDS_OF_GROUP, drop_out, dropped_from},
        pack::{joined, rows, turned, words_width},
        product::{STEP, Side, multiply},
    },
    blocks::{
        exp2::{exp2, in_log},
        next_head::NextHead,
        pack,
    },
    task::QueryTask,
    view::Part,
};
use crate::{
    Bf16Isa, bf16_fn,
    philox::GROUP,
    scratch,
    simd::{
        Bf16, Simd,
        operand_kind::Pairs,
        tiles::{SIDE, Tiles},
    },
};
use bytemuck::cast_slice_mut;
use std::{f32::consts::LOG2_E, ops::Range};

/// The keys of a block of scores.
const KEYS: usize = 256;
/// Words for what dropout takes from a query of such a block, in whole groups.
const DROPS: usize = WORDS_OF_GROUP * (KEYS / GROUP + 1);
/// Words of packed keys, and as many of values, 512 KiB each.
const NEAR: usize = 128 << 10;

/// The keys that are packed at once.
fn near(d: usize) -> usize {
    (NEAR / words_width(d) / KEYS * KEYS).max(KEYS)
}

/// The keys that any of the queries sees, from the start of a step on.
#[inline(always)]
fn seen(inputs: &Inputs<'_>, queries: Range<usize>) -> Range<usize> {
    inputs.keys(queries.start).start / STEP * STEP..inputs.keys(queries.end - 1).end
}

/// The working memory of the queries `rows`: Q, keys, values, scores; maximum, sums and output of each row so far.
fn lengths(inputs: &Inputs<'_>, rows: &Range<usize>) -> [usize; 7] {
    let (d, all) = (inputs.shape.d, rows.len().next_multiple_of(STEP));
    let keys = if rows.is_empty() { 0 } else { seen(inputs, rows.clone()).len().next_multiple_of(STEP) };
    // Only one block of rows is unfinished at a time where all keys are near.
    let state = if keys <= near(d) { STEP } else { all };
    let keys = keys.min(near(d));
    let width = pack::width(d);
    [all * words_width(d), keys * words_width(d), keys / 2 * width, STEP * KEYS, state, state * SIDE, state * width]
}

/// What the blocks of rows share.
struct Context<'a, 'b> {
    inputs: &'a Inputs<'b>,
    head: [usize; 2],
    /// Keys, turned, and values, zipped: those from `first` on.
    k: &'a [u32],
    v: &'a [u32],
    first: usize,
    /// |scale| in units of log 2; its sign is with K.
    scale: f32,
    /// The head to prefetch, if this is the last time that the rows of this one are read.
    next: NextHead,
    prefetches: bool,
}

/// What is kept of 32 rows from block to block.
struct State<'a> {
    max: &'a mut [f32],
    /// Sixteen partial sums for each row.
    sums: &'a mut [f32],
    o: &'a mut [f32],
}

/// The forward pass of some queries of one head, where it [`fits`](super::fits), with vectors of any level.
pub(in crate::attention) fn chunk(isa: Bf16Isa, tiles: &mut impl Tiles, inputs: &Inputs<'_>, task: QueryTask<'_>) {
    let len = lengths(inputs, &task.queries).iter().sum();
    scratch::with(len, |buffer: &mut [u32]| compiled(isa, tiles, inputs, task, buffer));
}

bf16_fn! {
    fn compiled<B>(b: B, tiles: &mut impl Tiles, inputs: &Inputs<'_>, task: QueryTask<'_>, buffer: &mut [u32]) {
        attend(b, tiles, inputs, task, buffer)
    }
}

#[inline(always)]
fn attend<B: Bf16>(bf16: B, tiles: &mut impl Tiles, inputs: &Inputs<'_>, task: QueryTask<'_>, buffer: &mut [u32]) {
    let QueryTask { head: [b, h], queries, o: o_rows, lse } = task;
    let mut outputs = [o_rows, lse];
    if queries.is_empty() {
        return;
    }
    let (d, kv) = (inputs.shape.d, inputs.kv_head(h));
    let (words, width, near) = (words_width(d), pack::width(d), near(d));
    let [q, k, v, scores, max, sums, o] = pack::split(buffer, lengths(inputs, &queries));
    let [scores, max, sums, o] = [scores, max, sums, o].map(cast_slice_mut::<u32, f32>);
    rows(bf16, inputs.q.rows([b, h, d], queries.clone()), q);
    max.fill(f32::MIN); // not −∞: the difference of two of them would be NaN
    sums.fill(0.0);
    let seen = seen(inputs, queries.clone());
    let single = seen.len().next_multiple_of(STEP) <= near;
    let scale = inputs.options.scale * LOG2_E;
    let mut first = seen.start;
    loop {
        let keys = first..(first + near).min(seen.end);
        turned(bf16, inputs.k.rows([b, kv, d], keys.clone()), k);
        if scale < 0.0 {
            pack::negate(Pairs(bf16), k);
        }
        joined(bf16, inputs.v.rows([b, kv, d], keys.clone()), v);
        // A factor of 0 would make NaN of the scores that are hidden.
        let magnitude = if scale == 0.0 { f32::MIN_POSITIVE } else { scale.abs() };
        let (next, prefetches) = (NextHead::new(inputs, [b, h]), queries.len() == inputs.shape.tq);
        let context = Context { inputs, head: [b, h], k, v, first, scale: magnitude, next, prefetches };
        for i in queries.clone().step_by(STEP) {
            let at = if single { 0 } else { i - queries.start };
            let block = i..(i + STEP).min(queries.end);
            let mut state = State {
                max: &mut max[at..at + STEP],
                sums: &mut sums[at * SIDE..(at + STEP) * SIDE],
                o: &mut o[at * width..(at + STEP) * width],
            };
            if single {
                state.max.fill(f32::MIN);
                state.sums.fill(0.0);
            }
            let q = &q[(i - queries.start) * words..];
            let seen = self::seen(inputs, block.clone());
            for start in (seen.start.max(keys.start)..seen.end.min(keys.end)).step_by(KEYS) {
                let keys = start..(start + KEYS).min(seen.end).min(keys.end);
                let fresh = start == seen.start;
                meet(bf16, tiles, &context, [block.clone(), keys], q, scores, &mut state, &outputs[0], fresh);
            }
            if keys.end == self::seen(inputs, queries.clone()).end {
                finish(bf16, inputs, block, &mut state, &mut outputs);
            }
        }
        first += near;
        if first >= seen.end {
            break;
        }
    }
    bf16.simd().fence();
}

/// 32 queries meet a block of keys, which starts with a step.
#[inline(always)]
fn meet<B: Bf16>(
    b: B,
    tiles: &mut impl Tiles,
    context: &Context<'_, '_>,
    [queries, keys]: [Range<usize>; 2],
    q: &[u32],
    scores: &mut [f32],
    state: &mut State<'_>,
    o_rows: &Part<'_>,
    fresh: bool,
) {
    let (d, at, steps) = (context.inputs.shape.d, keys.start - context.first, keys.len().div_ceil(STEP));
    let (words, width) = (words_width(d), pack::width(d));
    let q = Side { data: q, row: words, second: SIDE * words, next: SIDE };
    let k = Side { data: &context.k[at * words..], row: STEP, second: SIDE, next: SIDE * STEP };
    for step in 0..steps {
        let to = (&mut scores[step * STEP..], KEYS);
        multiply(tiles, [STEP, words / SIDE], q, k.from(step * STEP * words), to, false);
    }
    let mut alpha = [0.0; STEP];
    maxima(b, context, [queries.clone(), keys.clone()], scores, state, &mut alpha);
    if !fresh {
        multiply_rows(b, &alpha, state.o, width);
    }
    let last = keys.end == seen(context.inputs, queries.clone()).end;
    for row in (0..STEP).step_by(SIDE) {
        let seen = columns(context.inputs, &queries, row, &keys);
        for r in row..row + SIDE {
            if last && context.prefetches {
                let i = queries.start + r;
                context.next.prefetch(context.inputs, i..i + 1);
                o_rows.prefetch(i..(i + 1).min(queries.end));
            }
            let (scores, sums) = (&mut scores[r * KEYS..][..steps * STEP], &mut state.sums[r * SIDE..][..SIDE]);
            let (scale, of_row) = (context.scale, [state.max[r], alpha[r]]);
            if let Some(dropout) = context.inputs.options.dropout {
                let of_query = context.inputs.first_group(context.head[0], context.head[1], queries.start + r);
                let at = keys.start + seen.start..keys.start + seen.end;
                let drops: [u32; DROPS] = dropped_from(b.simd(), dropout, of_query, keys.start, at);
                let drops = &drops[keys.start % GROUP / STEP..]; // a group begins at 64 keys, the block at 32
                exponentials::<_, true>(b, scale, of_row, seen.clone(), drops, scores, sums);
            } else {
                exponentials::<_, false>(b, scale, of_row, seen.clone(), &[], scores, sums);
            }
        }
    }
    let p = Side { data: bytemuck::cast_slice(scores), row: KEYS, second: SIDE * KEYS, next: SIDE };
    let v = Side { data: &context.v[at / 2 * width..], row: width, second: SIDE, next: SIDE * width };
    multiply(tiles, [width, steps], p, v, (state.o, width), !fresh);
}

/// The columns of a block that any of 16 queries sees, the `row`th and those after it: from a whole step on, in sixteens.
#[inline(always)]
fn columns(inputs: &Inputs<'_>, queries: &Range<usize>, row: usize, keys: &Range<usize>) -> Range<usize> {
    let (first, end) = (queries.start + row, (queries.start + row + SIDE).min(queries.end));
    if first >= end {
        return 0..0;
    }
    let start = inputs.keys(first).start.max(keys.start) - keys.start;
    let end = inputs.keys(end - 1).end.min(keys.end).saturating_sub(keys.start);
    if start < end { start / STEP * STEP..end.next_multiple_of(SIDE) } else { 0..0 }
}

/// Hides what is not seen; the new maximum of each row, and what its sums so far have to be multiplied with.
#[inline(always)]
fn maxima<B: Bf16>(
    b: B,
    context: &Context<'_, '_>,
    [queries, keys]: [Range<usize>; 2],
    scores: &mut [f32],
    state: &mut State<'_>,
    alpha: &mut [f32; STEP],
) {
    let (s, n) = (b.simd(), B::S::N);
    let mut new = [0.0; STEP];
    for row in (0..STEP).step_by(SIDE) {
        let seen = columns(context.inputs, &queries, row, &keys);
        let all_see = if queries.start + row + SIDE <= queries.end {
            context.inputs.keys(queries.start + row + SIDE - 1).start..context.inputs.keys(queries.start + row).end
        } else {
            0..0
        };
        for r in row..row + SIDE {
            let i = queries.start + r;
            let exists = i < queries.end;
            let own = if exists { context.inputs.keys(i) } else { 0..0 };
            let keep = if exists { context.inputs.mask_row(context.head[0], context.head[1], i) } else { None };
            let scores = &mut scores[r * KEYS..][..KEYS];
            let mut largest = s.splat(f32::MIN);
            for column in seen.clone().step_by(n) {
                let mut x = s.load(&scores[column..]);
                let first = keys.start + column;
                if first < all_see.start || first + n > all_see.end {
                    let key = s.add_u32(s.splat_u32(first as u32), s.iota_u32());
                    let hidden = s.splat(f32::NEG_INFINITY);
                    x = s.select(s.lt_u32(key, s.splat_u32(own.end as u32)), x, hidden);
                    x = s.select(s.lt_u32(key, s.splat_u32(own.start as u32)), hidden, x);
                    s.store(&mut scores[column..], x);
                }
                if let Some(keep) = keep {
                    // Columns past the last key read as zeros: hidden.
                    let keep = s.load_partial(&keep[first.min(keep.len())..]);
                    x = s.select(s.eq(keep, s.zero()), s.splat(f32::NEG_INFINITY), x);
                    s.store(&mut scores[column..], x);
                }
                largest = s.max(largest, x);
            }
            new[r] = (context.scale * s.reduce_max(largest)).max(state.max[r]);
        }
    }
    for r in (0..STEP).step_by(n) {
        let (old, new) = (s.load(&state.max[r..]), s.load(&new[r..]));
        s.store(&mut alpha[r..], exp2(s, s.sub(old, new)));
    }
    state.max.copy_from_slice(&new);
}

#[inline(always)]
fn multiply_rows<B: Bf16>(b: B, factors: &[f32; STEP], rows: &mut [f32], width: usize) {
    let s = b.simd();
    for (row, &factor) in rows.chunks_exact_mut(width).zip(factors) {
        let factor = s.splat(factor);
        for x in row.chunks_exact_mut(B::S::N) {
            let product = s.mul(factor, s.load(x));
            s.store(x, product);
        }
    }
}

/// The scores of a row become 2^(scale·score − max) where any of its neighbours sees the key, and 0 elsewhere: in pairs, in
/// the first half of the row. They are added to its sums; with `DROPS`, dropout then takes those whose bits are set, while
/// the factor of the others comes with O.
#[inline(always)]
fn exponentials<B: Bf16, const DROPS: bool>(
    b: B,
    scale: f32,
    [max, alpha]: [f32; 2],
    seen: Range<usize>,
    drops: &[u32],
    scores: &mut [f32],
    sums: &mut [f32],
) {
    let (s, n) = (b.simd(), B::S::N);
    let (scale, offset) = (s.splat(scale), s.splat(-max));
    let mut sum = s.mul(s.splat(alpha), s.load(sums));
    let whole = seen.start + seen.len() / (2 * n) * 2 * n;
    for column in (0..seen.start).step_by(2 * n) {
        s.store(&mut scores[column / 2..], s.zero());
    }
    for column in (seen.start..whole).step_by(2 * n) {
        let mut p = [s.zero(); 2];
        for part in 0..2 {
            p[part] = exp2(s, s.mul_add(scale, s.load(&scores[column + part * n..]), offset));
        }
        sum = s.add(sum, s.add(p[0], p[1]));
        if DROPS {
            p = [drop_out(b, drops, column, p[0]), drop_out(b, drops, column + n, p[1])];
        }
        s.store(&mut scores[column / 2..], s.from_bits(b.round_neighbours(p)));
    }
    let mut end = whole;
    if whole < seen.end {
        let mut p = exp2(s, s.mul_add(scale, s.load(&scores[whole..]), offset));
        sum = s.add(sum, p);
        if DROPS {
            p = drop_out(b, drops, whole, p);
        }
        s.store(&mut scores[whole / 2..], s.from_bits(b.round_neighbours([p, s.zero()])));
        end += 2 * n;
    }
    for column in (end..scores.len()).step_by(2 * n) {
        s.store(&mut scores[column / 2..], s.zero());
    }
    s.store(sums, sum);
}

/// The output of 32 rows that have met all of their keys.
#[inline(always)]
fn finish<B: Bf16>(
    b: B,
    inputs: &Inputs<'_>,
    queries: Range<usize>,
    state: &mut State<'_>,
    [o_rows, lse_rows]: &mut [Part<'_>; 2],
) {
    let (s, n, width) = (b.simd(), B::S::N, pack::width(inputs.shape.d));
    let mut sums = [0.0; STEP];
    for (sum, parts) in sums.iter_mut().zip(state.sums.chunks_exact(SIDE)) {
        *sum = s.reduce_sum(s.load(parts));
    }
    let met = !seen(inputs, queries.clone()).is_empty();
    let far = o_rows.is_far();
    let scale = inputs.options.dropout.map_or(1.0, |dropout| dropout.scale());
    for (r, i) in queries.clone().enumerate() {
        if met {
            let factor = s.splat(if sums[r] == 0.0 { 0.0 } else { scale / sums[r] });
            pack::scaled(s, factor, &state.o[r * width..], o_rows.row(i), far);
        } else {
            o_rows.row(i).fill(0.0);
        }
    }
    for (max, sum) in state.max.chunks_exact(n).zip(sums.chunks_exact_mut(n)) {
        let lse = in_log(s, s.load(max), s.load(sum));
        s.store(sum, lse);
    }
    for (&lse, i) in sums.iter().zip(queries) {
        lse_rows.row(i)[0] = lse;
    }
}
