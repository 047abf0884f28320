//! The backward pass on tiles: keys are rows, so that almost nothing has to be transposed.
//!
//! Sᵀ = K·Qᵀ and dPᵀ = V·dOᵀ come out with queries side by side. So the log-sum-exp and δ of 16 queries are vectors, and
//! Pᵀ and dSᵀ, rounded by one instruction for two vectors, are left operands of dV += Pᵀ·dO and dK += dSᵀ·Q as they
//! lie. Q and dO are transposed once, and dS for dQ += dS·K, in squares of 16 words.
//!
//! A block is 64 keys and 128 queries, in squares of 32 by 32: only those are computed in which something is seen. What
//! a square adds to the gradients is added when the block is done, so sums are loaded and stored once for up to four
//! squares. 1×12×1024×64 takes 5.0 to 6.0 ms, 20.2 in `f32` (two threads of a Granite Rapids).

use crate::attention::{
    Inputs, Saved,
    amx::{
        hidden_keys::{WORDS_OF_GROUP, dropped, hidden, test},
        pack::{joined, rows, turned, words_width},
        product::{STEP, Side, multiply},
    },
    blocks::{
        exp2::exp2,
        head_operands::{deltas, log2_sums},
        pack,
    },
    one_by_one,
    task::{HeadTask, KeyTask},
};
use crate::{
    Bf16Isa, bf16_fn,
    philox::GROUP,
    simd::{
        Bf16, Simd,
        operand_kind::Pairs,
        tiles::{SIDE, Tiles, WORDS},
    },
};
use bytemuck::cast_slice_mut;
use std::{f32::consts::LOG2_E, ops::Range};

/// Squares of a block along the keys.
const DOWN: usize = WORDS_OF_GROUP; // 64 keys, so that the masks of dropout are drawn once for a block
/// Squares of a block along the queries.
const ACROSS: usize = 4;
/// The queries that are packed at once, so that they stay in the second-level cache while all keys go by.
const NEAR: usize = 1024;

/// Pᵀ and dSᵀ of a block as tiles of words, those of 16 keys in a row; dS, those of 16 queries in a row.
const BLOCK: usize = 2 * DOWN * ACROSS * WORDS;
const KEYS_APART: usize = ACROSS * WORDS;
const QUERIES_APART: usize = DOWN * WORDS;

/// The working memory of a chunk of keys and a head of queries.
fn lengths(inputs: &Inputs<'_>, keys: &Range<usize>) -> [usize; 18] {
    let (d, tq) = (inputs.shape.d, inputs.shape.tq);
    let (words, width) = (words_width(d), pack::width(d));
    let (keys, near) = (keys.len().next_multiple_of(STEP), tq.min(NEAR).next_multiple_of(STEP));
    let all = tq.next_multiple_of(STEP);
    let square = STEP * STEP;
    let [of_keys, of_queries] = [keys, near].map(|rows| [rows * words, rows / 2 * width, rows * width]);
    [
        of_keys[0],
        of_keys[0],
        of_keys[1], // K, V, and K zipped
        of_queries[0],
        of_queries[0],
        of_queries[1],
        of_queries[1], // Qᵀ, dOᵀ, and both zipped
        all,
        all, // log-sum-exp and δ
        square,
        square,
        square / 2, // scores, dP and dS of a square
        BLOCK,
        BLOCK,
        BLOCK, // Pᵀ, dSᵀ and dS of a block
        of_queries[2],
        of_keys[2],
        of_keys[2], // dQ, dK, dV
    ]
}

struct Operands<'a> {
    head: [usize; 2],
    k: &'a [u32],
    v: &'a [u32],
    k_joined: &'a [u32],
    q_turned: &'a [u32],
    d_o_turned: &'a [u32],
    q_joined: &'a [u32],
    d_o_joined: &'a [u32],
    /// The log-sum-exp of each query in units of log 2; ∞ where no key is seen, so that P = 0.
    lse: &'a [f32],
    delta: &'a [f32],
    /// 1 less the probability of dropout.
    kept: f32,
}

struct Space<'a> {
    scores: &'a mut [f32],
    dp: &'a mut [f32],
    ds_pairs: &'a mut [u32],
    p_t: &'a mut [u32],
    ds_t: &'a mut [u32],
    ds: &'a mut [u32],
}

/// The backward pass of some keys of one key head, where it [`fits`](super::fits), with vectors of any level.
pub(in crate::attention) fn chunk(
    isa: Bf16Isa,
    tiles: &mut impl Tiles,
    inputs: &Inputs<'_>,
    saved: &Saved<'_>,
    task: KeyTask<'_>,
) {
    let space = lengths(inputs, &task.keys).iter().sum();
    one_by_one::for_each_query_head(inputs, task, space, |task, buffer| {
        compiled(isa, tiles, inputs, saved, task, buffer);
    });
}

bf16_fn! {
    fn compiled<B>(
        b: B,
        tiles: &mut impl Tiles,
        inputs: &Inputs<'_>,
        saved: &Saved<'_>,
        task: HeadTask<'_, '_>,
        buffer: &mut [u32],
    ) {
        differentiate(b, tiles, inputs, saved, task, buffer)
    }
}

/// All queries of one head meet the keys of a chunk.
#[inline(always)]
fn differentiate<B: Bf16>(
    bf16: B,
    tiles: &mut impl Tiles,
    inputs: &Inputs<'_>,
    saved: &Saved<'_>,
    task: HeadTask<'_, '_>,
    buffer: &mut [u32],
) {
    let HeadTask { head: [b, h, kv], keys, dq: mut dq_rows, dk: dk_rows, dv: dv_rows } = task;
    let (s, d, tq, group) = (bf16.simd(), inputs.shape.d, inputs.shape.tq, inputs.shape.h / inputs.shape.h_kv);
    let width = pack::width(d);
    let parts = pack::split(buffer, lengths(inputs, &keys));
    let [k, v, k_joined, q_turned, d_o_turned, q_joined, d_o_joined, lse, delta, parts @ ..] = parts;
    let [scores, dp, ds_pairs, p_t, ds_t, ds, dq, dk, dv] = parts;
    let [lse, delta, scores, dp, dq, dk, dv] = [lse, delta, scores, dp, dq, dk, dv].map(cast_slice_mut::<u32, f32>);
    if h == kv * group {
        rows(bf16, inputs.k.rows([b, kv, d], keys.clone()), k);
        rows(bf16, inputs.v.rows([b, kv, d], keys.clone()), v);
        joined(bf16, inputs.k.rows([b, kv, d], keys.clone()), k_joined);
        dk.fill(0.0);
        dv.fill(0.0);
    }
    log2_sums(Pairs(bf16), inputs, saved, [b, h], lse);
    deltas(Pairs(bf16), inputs, saved, [b, h], delta);
    let mut space = Space { scores, dp, ds_pairs, p_t, ds_t, ds };
    // P and dP stay without the factor of dropout: it comes with the gradients. So δ is divided by it.
    let dropout_scale = inputs.options.dropout.map_or(1.0, |dropout| dropout.scale());
    let factor = s.splat(inputs.options.scale * dropout_scale);
    let far = dq_rows.is_far();
    for first in (0..tq).step_by(NEAR) {
        let near = first..(first + NEAR).min(tq);
        for (from, turn, join) in
            [(&inputs.q, &mut *q_turned, &mut *q_joined), (&saved.d_o, &mut *d_o_turned, &mut *d_o_joined)]
        {
            let rows = from.rows([b, h, d], near.clone());
            turned(bf16, rows, turn);
            joined(bf16, rows, join);
        }
        dq.fill(0.0);
        let operands = Operands {
            head: [b, h],
            k,
            v,
            k_joined,
            q_turned,
            d_o_turned,
            q_joined,
            d_o_joined,
            lse: &lse[first..],
            delta: &delta[first..],
            kept: 1.0 / dropout_scale,
        };
        for key in keys.clone().step_by(DOWN * STEP) {
            let block = key..(key + DOWN * STEP).min(keys.end);
            let seen = inputs.queries(block.clone());
            let (start, end) = (seen.start.max(near.start) / STEP * STEP, seen.end.min(near.end));
            for query in (start..end).step_by(ACROSS * STEP) {
                let queries = query..(query + ACROSS * STEP).min(end);
                let at = [(key - keys.start), query - first];
                let gradients = [&mut *dq, &mut *dk, &mut *dv];
                meet(bf16, tiles, inputs, &operands, [block.clone(), queries], at, &mut space, gradients);
            }
        }
        for (r, i) in near.enumerate() {
            pack::scaled(s, factor, &dq[r * width..], dq_rows.row(i), far);
        }
    }
    if h + 1 == (kv + 1) * group {
        let far = dk_rows.is_far();
        for (r, j) in keys.enumerate() {
            pack::scaled(s, factor, &dk[r * width..], dk_rows.row(j), far);
            pack::scaled(s, s.splat(dropout_scale), &dv[r * width..], dv_rows.row(j), far);
        }
    }
    s.fence();
}

/// A block of keys and one of queries, which stand from these rows of their operands on: P and dS, and what they add.
#[inline(always)]
fn meet<B: Bf16>(
    b: B,
    tiles: &mut impl Tiles,
    inputs: &Inputs<'_>,
    operands: &Operands<'_>,
    [keys, queries]: [Range<usize>; 2],
    [key_at, query_at]: [usize; 2],
    space: &mut Space<'_>,
    [dq, dk, dv]: [&mut [f32]; 3],
) {
    let (d, [batch, head]) = (inputs.shape.d, operands.head);
    let (words, width) = (words_width(d), pack::width(d));
    let mut drops = [[0; ACROSS * STEP]; DOWN];
    if let Some(dropout) = inputs.options.dropout {
        assert!(keys.start.is_multiple_of(GROUP), "a block is a group of masks");
        for (r, i) in queries.clone().enumerate() {
            let group = inputs.first_group(batch, head, i) + (keys.start / GROUP) as u64;
            let words = dropped(b.simd(), dropout, group);
            for (drops, &word) in drops.iter_mut().zip(&words) {
                drops[r] = word;
            }
        }
    }
    // The squares of each row of them in which something is seen.
    let mut seen = [const { 0..0 }; DOWN];
    for (down, seen) in seen.iter_mut().enumerate() {
        let first = keys.start + down * STEP;
        if first < keys.end {
            let some = inputs.queries(first..(first + STEP).min(keys.end));
            let (start, end) = (some.start.max(queries.start), some.end.min(queries.end));
            if start < end {
                *seen = (start - queries.start) / STEP..(end - queries.start).div_ceil(STEP);
            }
        }
    }
    let left = |data| Side { data, row: words, second: SIDE * words, next: SIDE };
    let right = |data| Side { data, row: STEP, second: SIDE, next: SIDE * STEP };
    for (down, seen) in seen.iter().enumerate() {
        for across in seen.clone() {
            let (key, query) = ((key_at + down * STEP) * words, (query_at + across * STEP) * words);
            let sums = [STEP, words / SIDE];
            let (k, q) = (left(operands.k).from(key), right(operands.q_turned).from(query));
            multiply(tiles, sums, k, q, (&mut *space.scores, STEP), false);
            let (v, d_o) = (left(operands.v).from(key), right(operands.d_o_turned).from(query));
            multiply(tiles, sums, v, d_o, (&mut *space.dp, STEP), false);
            let first = [keys.start + down * STEP, queries.start + across * STEP];
            let all = inputs.options.mask.is_none()
                && inputs.keys(first[1] + STEP - 1).start <= first[0]
                && first[0] + STEP <= inputs.keys(first[1]).end.min(inputs.shape.tk);
            let at = query_at + across * STEP;
            let of_queries = OfQueries {
                lse: &operands.lse[at..],
                delta: &operands.delta[at..],
                drops: &drops[down][across * STEP..],
            };
            let at = [first, [down, across]];
            match (all, inputs.options.dropout.is_some()) {
                (true, false) => square::<B, false, false>(b, inputs, operands, at, of_queries, space),
                (true, true) => square::<B, false, true>(b, inputs, operands, at, of_queries, space),
                (false, false) => square::<B, true, false>(b, inputs, operands, at, of_queries, space),
                (false, true) => square::<B, true, true>(b, inputs, operands, at, of_queries, space),
            }
        }
    }
    let zipped = |data| Side { data, row: width, second: SIDE, next: SIDE * width };
    for (down, seen) in seen.iter().enumerate() {
        let from = down * 2 * KEYS_APART + seen.start * WORDS;
        let to = (key_at + down * STEP) * width;
        let at = (query_at / 2 + seen.start * SIDE) * width;
        for (left, right, gradient) in
            [(&*space.p_t, operands.d_o_joined, &mut *dv), (&*space.ds_t, operands.q_joined, &mut *dk)]
        {
            if seen.is_empty() {
                continue;
            }
            let left = Side { data: left, row: SIDE, second: KEYS_APART, next: WORDS };
            let gradient = (&mut gradient[to..], width);
            multiply(tiles, [width, seen.len()], left.from(from), zipped(right).from(at), gradient, true);
        }
    }
    for across in 0..queries.len().div_ceil(STEP) {
        // Those that see a query follow each other.
        let Some(start) = (0..DOWN).find(|&down| seen[down].contains(&across)) else { continue };
        let steps = (start..DOWN).filter(|&down| seen[down].contains(&across)).count();
        let ds = Side { data: &*space.ds, row: SIDE, second: QUERIES_APART, next: WORDS };
        let k = zipped(operands.k_joined).from((key_at / 2 + start * SIDE) * width);
        let to = (&mut dq[(query_at + across * STEP) * width..], width);
        multiply(tiles, [width, steps], ds.from(across * 2 * QUERIES_APART + start * WORDS), k, to, true);
    }
}

/// What a square needs of its queries: the first two as in [`Operands`], and the bits of the keys that dropout takes.
struct OfQueries<'a> {
    lse: &'a [f32],
    delta: &'a [f32],
    drops: &'a [u32],
}

/// P and dS of 32 keys and 32 queries, from these on; with `PARTLY`, some are not seen, or not there, and with `DROPS`
/// dropout takes some.
#[inline(always)]
fn square<B: Bf16, const PARTLY: bool, const DROPS: bool>(
    b: B,
    inputs: &Inputs<'_>,
    operands: &Operands<'_>,
    [[key, query], [down, across]]: [[usize; 2]; 2],
    of: OfQueries<'_>,
    space: &mut Space<'_>,
) {
    let (s, n) = (b.simd(), B::S::N);
    let mut hides = [0; STEP];
    if PARTLY {
        for (i, hides) in hides.iter_mut().enumerate() {
            *hides = hidden(s, inputs, [operands.head[0], operands.head[1], query + i], key);
        }
    }
    let scale = s.splat(inputs.options.scale * LOG2_E);
    for i in (0..STEP).step_by(2 * n) {
        let at = [i, i + n];
        let (mut offset, mut less, mut bits) = ([s.zero(); 2], [s.zero(); 2], [[s.splat_u32(0); 2]; 2]);
        for part in 0..2 {
            offset[part] = s.neg(s.load(&of.lse[at[part]..]));
            less[part] = s.mul(s.splat(operands.kept), s.load(&of.delta[at[part]..]));
            bits[part] = [b.load(&hides[at[part]..]), b.load(&of.drops[at[part]..])];
        }
        let mut bit = s.splat_u32(1);
        for j in (0..STEP).step_by(2) {
            let mut ds = [[s.zero(); 2]; 2];
            for (row, ds) in ds.iter_mut().enumerate() {
                let mut p = [s.zero(); 2];
                for part in 0..2 {
                    let from = (j + row) * STEP + at[part];
                    let mut x = s.mul_add(scale, s.load(&space.scores[from..]), offset[part]);
                    if PARTLY {
                        x = s.select(test(s, bits[part][0], bit), s.splat(f32::NEG_INFINITY), x);
                    }
                    p[part] = exp2(s, x);
                    // dS needs all of P, dV what was kept of it.
                    let (all, mut dp) = (p[part], s.load(&space.dp[from..]));
                    if DROPS {
                        let drop = test(s, bits[part][1], bit);
                        (p[part], dp) = (s.select(drop, s.zero(), all), s.select(drop, s.zero(), dp));
                    }
                    ds[part] = s.mul(all, s.sub(dp, less[part]));
                }
                bit = s.shl_u32::<1>(bit);
                let r = j + row;
                let to = (2 * down + r / SIDE) * KEYS_APART + across * WORDS + r % SIDE * SIDE + i / 2;
                b.store(&mut space.p_t[to..], b.round_neighbours(p));
                b.store(&mut space.ds_t[to..], b.round_neighbours(*ds));
            }
            for part in 0..2 {
                b.store(&mut space.ds_pairs[j / 2 * STEP + at[part]..], b.round_pair(ds[0][part], ds[1][part]));
            }
        }
    }
    for i in (0..STEP).step_by(n) {
        for pair in [0, 8] {
            let mut eight = [s.splat_u32(0); 8];
            for (r, eight) in eight.iter_mut().enumerate() {
                *eight = b.load(&space.ds_pairs[(pair + r) * STEP + i..]);
            }
            let to = (2 * across + i / SIDE) * QUERIES_APART + down * WORDS + i % SIDE * SIDE + pair;
            let to = &mut space.ds[to..];
            assert!((n - 1) * SIDE + 8 <= to.len(), "tiles of dS");
            // SAFETY: the assertion: 8 words, n times 16 words apart.
            unsafe { b.store_transposed(eight, to.as_mut_ptr(), SIDE) };
        }
    }
}
