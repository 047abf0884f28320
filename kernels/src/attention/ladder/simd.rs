//! Vectors, and the fast algorithm around them: a chunk of queries meets the keys in blocks of 64.
//!
//! K of a block is packed transposed, so that the vectors of S = Q·Kᵀ run over keys: the softmax then works on whole
//! vectors, and no score is summed across lanes. V is packed by rows, so that the vectors of O run over D. Each block
//! is packed once for all queries of the chunk, which keep their maximum, their sum (as a vector of partial sums) and
//! their O between blocks: the [online softmax](super::online). Scores and exponentials are in units of log 2, see
//! [`crate::attention::blocks::exp2`].
//!
//! A panel of queries goes together through Q·Kᵀ, softmax and P·V, so that its scores stay in the first-level cache; it
//! stops at the last key that it may see. This rung has one query in a panel: each vector of K and V that is loaded
//! serves one multiply-add, so the cache limits it, not the arithmetic: 49 GFLOP/s with AVX-512. See
//! [`super::query_tiles`].

use crate::attention::{
    Inputs, Output,
    blocks::{
        exp2::exp2,
        pack,
        product::{Beta, Left, Right, multiply},
    },
};
use crate::{
    Isa, scratch,
    simd::{Simd, operand_kind::Plain},
    simd_fn,
};
use bytemuck::cast_slice;
use std::{f32::consts::LOG2_E, f64::consts::LN_2, ops::Range};

/// The keys of a block: one group of dropout.
pub(in crate::attention) const KEYS: usize = crate::philox::GROUP;
/// The most queries of a panel.
const MOST: usize = 16;

/// The forward pass, a query at a time.
pub(in crate::attention) fn forward(isa: Isa, inputs: &Inputs<'_>, o: Output<'_>, lse: &mut [f32]) {
    serial(isa, 1, inputs, o, lse)
}

/// The forward pass on one thread, `panel` queries at a time.
pub(in crate::attention) fn serial(isa: Isa, panel: usize, inputs: &Inputs<'_>, mut o: Output<'_>, lse: &mut [f32]) {
    let tq = inputs.shape.tq;
    for (head, lse) in lse.chunks_mut(tq.max(1)).enumerate() {
        let (b, h) = (head / inputs.shape.h, head % inputs.shape.h);
        chunk(isa, panel, inputs, [b, h], 0..tq, |i, row, row_lse| {
            o.row(b, h, i).copy_from_slice(row);
            lse[i] = row_lse;
        });
    }
}

/// The forward pass of the queries `rows` of one head; `panel` of them at a time;
/// `write` gets each row of O, and its lse.
pub(in crate::attention) fn chunk(
    isa: Isa,
    panel: usize,
    inputs: &Inputs<'_>,
    head: [usize; 2],
    rows: Range<usize>,
    mut write: impl FnMut(usize, &[f32], f32),
) {
    let (n, d, width) = (rows.len(), inputs.shape.d, pack::width(inputs.shape.d));
    assert!((1..=MOST).contains(&panel), "a panel of {panel} queries");
    if n == 0 {
        return;
    }
    let lengths = [n * width, width * KEYS, KEYS * width, MOST * KEYS, n, n * 16, n * width, n];
    scratch::with(lengths.iter().sum(), |buffer: &mut [f32]| {
        let [q, k, v, scores, max, sum, o, lse] = pack::split(buffer, lengths);
        vectors(isa, panel, inputs, head, rows.clone(), &mut Buffers { q, k, v, scores, max, sum, o, lse: &mut *lse });
        for (r, i) in rows.enumerate() {
            write(i, &o[r * width..][..d], lse[r]);
        }
    });
}

/// The working memory of a chunk.
struct Buffers<'a> {
    /// The queries, in units of log 2.
    q: &'a mut [f32],
    /// A block of keys, transposed: D × [`KEYS`].
    k: &'a mut [f32],
    /// A block of values.
    v: &'a mut [f32],
    /// The scores of a panel, then its probabilities: panel × [`KEYS`].
    scores: &'a mut [f32],
    /// The largest score of each row so far.
    max: &'a mut [f32],
    /// The sum of each row so far, a vector of partial sums.
    sum: &'a mut [f32],
    /// The output of each row so far, not yet divided by its sum.
    o: &'a mut [f32],
    /// log Σ exp of each row, in the end.
    lse: &'a mut [f32],
}

simd_fn! {
    fn vectors<S>(
        s: S,
        panel: usize,
        inputs: &Inputs<'_>,
        head: [usize; 2],
        rows: Range<usize>,
        buffers: &mut Buffers<'_>,
    ) {
        let [b, h] = head;
        let (d, kv, tk) = (inputs.shape.d, inputs.kv_head(h), inputs.shape.tk);
        pack::rows(s, inputs.q.rows([b, h, d], rows.clone()), inputs.options.scale * LOG2_E, buffers.q);
        buffers.max.fill(f32::MIN); // not −∞: the difference of two of them would be NaN
        buffers.sum.fill(0.0);
        buffers.o.fill(0.0);
        let seen = inputs.keys(rows.start).start..inputs.keys(rows.end - 1).end;
        for first in (seen.start / KEYS * KEYS..seen.end).step_by(KEYS) {
            let keys = first..(first + KEYS).min(tk);
            pack::transposed(s, inputs.k.rows([b, kv, d], keys.clone()), buffers.k, KEYS);
            pack::rows(s, inputs.v.rows([b, kv, d], keys), 1.0, buffers.v);
            let mut next = (first + KEYS).min(seen.end)..(first + 2 * KEYS).min(seen.end);
            for r in (0..rows.len()).step_by(panel) {
                pack::prefetch(inputs, [b, kv], &mut next, 4);
                meet(s, inputs, [b, h, rows.start], r..(r + panel).min(rows.len()), first, buffers);
            }
        }
        finish(s, inputs, buffers);
    }
}

/// A panel of queries meets a block of keys: the online softmax on tiles.
#[inline(always)]
fn meet<S: Simd>(
    s: S,
    inputs: &Inputs<'_>,
    [b, h, start]: [usize; 3],
    rows: Range<usize>,
    first: usize,
    buffers: &mut Buffers<'_>,
) {
    let (m, d, width) = (rows.len(), inputs.shape.d, pack::width(inputs.shape.d));
    let columns = columns(inputs, start + rows.start..start + rows.end, first);
    if columns.is_empty() {
        return;
    }
    let whole = columns.start / S::N * S::N..columns.end.next_multiple_of(S::N);
    let scores = &mut *buffers.scores;
    let q = Left { data: cast_slice(&buffers.q[rows.start * width..]), row: width, col: 1 };
    multiply(
        Plain(s),
        [m, whole.len(), d],
        q,
        right(&buffers.k[whole.start.min(buffers.k.len())..], KEYS),
        (&mut scores[whole.start..], KEYS),
        Beta::Zero,
    );
    let mut max = [f32::MIN; MOST];
    max[..m].copy_from_slice(&buffers.max[rows.clone()]);
    let old = max;
    for (r, (scores, max)) in scores.chunks_exact_mut(KEYS).zip(&mut max[..m]).enumerate() {
        hide(s, inputs, [b, h, start + rows.start + r], first, &whole, scores);
        let mut largest = s.splat(*max);
        for j in whole.clone().step_by(S::N) {
            largest = s.max(largest, s.load(&scores[j..]));
        }
        *max = s.reduce_max(largest);
    }
    // What the sums so far have to be multiplied with, now that they are taken less a larger maximum.
    let mut alpha = [0.0; MOST];
    for j in (0..m).step_by(S::N) {
        s.store(&mut alpha[j..], exp2(s, s.sub(s.load(&old[j..]), s.load(&max[j..]))));
    }
    buffers.max[rows.clone()].copy_from_slice(&max[..m]);
    for (r, scores) in scores.chunks_exact_mut(KEYS).take(m).enumerate() {
        let row_sum = &mut buffers.sum[(rows.start + r) * 16..];
        let mut sum = s.mul(s.splat(alpha[r]), s.load(row_sum));
        let largest = s.splat(max[r]);
        for j in whole.clone().step_by(S::N) {
            let p = exp2(s, s.sub(s.load(&scores[j..]), largest));
            sum = s.add(sum, p);
            s.store(&mut scores[j..], p);
        }
        s.store(row_sum, sum);
        drop_out(s, inputs, [b, h, start + rows.start + r], first, &whole, scores);
    }
    multiply(
        Plain(s),
        [m, width, columns.end - whole.start],
        Left { data: cast_slice(&scores[whole.start..]), row: KEYS, col: 1 },
        right(&buffers.v[whole.start * width..], width),
        (&mut buffers.o[rows.start * width..], width),
        Beta::Rows(&alpha),
    );
}

/// Packed rows of `f32` as a right operand.
pub(in crate::attention) fn right(data: &[f32], row: usize) -> Right<'_> {
    Right { data: cast_slice(data), row }
}

/// The columns of the block of keys from `first` on that any of these queries sees.
#[inline(always)]
pub(in crate::attention) fn columns(inputs: &Inputs<'_>, queries: Range<usize>, first: usize) -> Range<usize> {
    let start = inputs.keys(queries.start).start.saturating_sub(first);
    let end = inputs.keys(queries.end - 1).end.saturating_sub(first).min(KEYS);
    start.min(end)..end
}

/// Sets the scores of row (b, h, i) to −∞ where the key is not seen.
#[inline(always)]
pub(in crate::attention) fn hide<S: Simd>(
    s: S,
    inputs: &Inputs<'_>,
    [b, h, i]: [usize; 3],
    first: usize,
    columns: &Range<usize>,
    scores: &mut [f32],
) {
    let seen = inputs.keys(i);
    let seen = seen.start.saturating_sub(first)..seen.end.saturating_sub(first);
    let hidden = s.splat(f32::NEG_INFINITY);
    if seen.start > columns.start || seen.end < columns.end {
        // Small integers: exact as f32.
        let [start, end] = [seen.start, seen.end].map(|x| s.splat(x.min(KEYS) as f32));
        for j in columns.clone().step_by(S::N) {
            let column = s.add(s.i32_to_f32(s.iota_u32()), s.splat(j as f32));
            let x = s.select(s.lt(column, end), s.load(&scores[j..]), hidden);
            s.store(&mut scores[j..], s.select(s.lt(column, start), hidden, x));
        }
    }
    if let Some(keep) = inputs.mask_row(b, h, i) {
        for j in columns.clone().step_by(S::N) {
            // Columns past the last key read as zeros: hidden.
            let keep = s.load_partial(&keep[(first + j).min(keep.len())..]);
            let x = s.load(&scores[j..]);
            s.store(&mut scores[j..], s.select(s.eq(keep, s.zero()), hidden, x));
        }
    }
}

/// Sets the probabilities of row (b, h, i) to 0 where dropout says so; the factor of the others comes with O.
#[inline(always)]
fn drop_out<S: Simd>(
    s: S,
    inputs: &Inputs<'_>,
    [b, h, i]: [usize; 3],
    first: usize,
    columns: &Range<usize>,
    p: &mut [f32],
) {
    let Some(dropout) = inputs.options.dropout else { return };
    let group = inputs.first_group(b, h, i) + (first / KEYS) as u64;
    for part in 0..16 / S::N {
        for (word, drop) in dropout.drop_masks(s, group, part).into_iter().enumerate() {
            let j = word * 16 + part * S::N;
            if columns.contains(&j) {
                let x = s.load(&p[j..]);
                s.store(&mut p[j..], s.select(drop, s.zero(), x));
            }
        }
    }
}

/// Divides O by the sums, and makes lse.
#[inline(always)]
fn finish<S: Simd>(s: S, inputs: &Inputs<'_>, buffers: &mut Buffers<'_>) {
    let scale = inputs.options.dropout.map_or(1.0, |dropout| dropout.scale());
    let width = pack::width(inputs.shape.d);
    for (r, lse) in buffers.lse.iter_mut().enumerate() {
        let sum = s.reduce_sum(s.load(&buffers.sum[r * 16..]));
        if sum == 0.0 {
            *lse = f32::NEG_INFINITY; // no key is seen; O is 0 already
            continue;
        }
        // In f64, lest the change of units costs a rounding of a large maximum.
        *lse = (f64::from(buffers.max[r]) * LN_2 + f64::from(sum.ln())) as f32;
        let factor = s.splat(scale / sum);
        let o = &mut buffers.o[r * width..][..width];
        for j in (0..width).step_by(S::N) {
            let x = s.mul(factor, s.load(&o[j..]));
            s.store(&mut o[j..], x);
        }
    }
}
