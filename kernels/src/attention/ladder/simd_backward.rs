//! Vectors, backward: five products of blocks for each block of 64 queries and 64 keys.
//!
//! S and dP are computed a panel of queries at a time, as in the forward pass, and become P and dS of the whole block; then
//! dV += Pᵀ·dO, dK += dSᵀ·Q and dQ += dS·K, each with 64 steps for a load and a store of its sums. P and dS are read
//! transposed through the strides of the left operand: its elements are broadcast one by one, so that costs nothing.
//! Keys are the outer loop: a block of K and V is packed once for all queries.
//!
//! With one query in a panel the cache is the limit, and wider vectors do not help: 40 GFLOP/s with AVX-512, 41 with AVX2.

use crate::attention::{
    Inputs, Output, Saved,
    blocks::{
        exp2::exp2,
        pack,
        product::{Beta, Left, multiply},
    },
    ladder::simd::{KEYS, columns, hide, right},
};
use crate::{
    Isa, scratch,
    simd::{Simd, operand_kind::Plain},
    simd_fn,
};
use bytemuck::cast_slice;
use std::{
    f32::consts::{LN_2, LOG2_E},
    ops::Range,
};

/// The queries of a block.
const QUERIES: usize = 64;

/// The backward pass, a query or key at a time.
pub(in crate::attention) fn backward(isa: Isa, inputs: &Inputs<'_>, saved: &Saved<'_>, gradients: [Output<'_>; 3]) {
    serial(isa, 1, inputs, saved, gradients)
}

/// The backward pass on one thread, `panel` queries or keys at a time.
pub(in crate::attention) fn serial(
    isa: Isa,
    panel: usize,
    inputs: &Inputs<'_>,
    saved: &Saved<'_>,
    gradients: [Output<'_>; 3],
) {
    let [mut dq, mut dk, mut dv] = gradients;
    for (b, kv) in (0..inputs.shape.b).flat_map(|b| (0..inputs.shape.h_kv).map(move |kv| (b, kv))) {
        let write_dq = |h: usize, i: usize, row: &[f32]| dq.row(b, h, i).copy_from_slice(row);
        let write_dkv = |j: usize, dk_row: &[f32], dv_row: &[f32]| {
            dk.row(b, kv, j).copy_from_slice(dk_row);
            dv.row(b, kv, j).copy_from_slice(dv_row);
        };
        chunk(isa, panel, inputs, saved, [b, kv], 0..inputs.shape.tk, write_dq, write_dkv);
    }
}

/// The backward pass of some keys of one key head, with all queries of its group.
///
/// `write_dq` gets what these keys add to each (h, i), `write_dkv` the rows of dK and dV of each key.
pub(in crate::attention) fn chunk(
    isa: Isa,
    panel: usize,
    inputs: &Inputs<'_>,
    saved: &Saved<'_>,
    [b, kv]: [usize; 2],
    keys: Range<usize>,
    mut write_dq: impl FnMut(usize, usize, &[f32]),
    mut write_dkv: impl FnMut(usize, &[f32], &[f32]),
) {
    let (tq, d, width) = (inputs.shape.tq, inputs.shape.d, pack::width(inputs.shape.d));
    let group = inputs.shape.h / inputs.shape.h_kv;
    let (queries, columns) = (tq * width, keys.len().next_multiple_of(KEYS) * width);
    let block = KEYS * width;
    let square = QUERIES * KEYS;
    let lengths = [queries, queries, queries, tq, tq, block, block, block, square, square, columns, columns];
    scratch::with(lengths.iter().sum(), |buffer: &mut [f32]| {
        let [q, d_o, dq, delta, lse, k, k_t, v_t, p, ds, dk, dv] = pack::split(buffer, lengths);
        let mut buffers = Buffers { q, d_o, dq, delta, lse, k, k_t, v_t, p, ds, dk, dv };
        buffers.dk.fill(0.0);
        buffers.dv.fill(0.0);
        for h in kv * group..(kv + 1) * group {
            head(isa, panel, inputs, saved, [b, h, kv], keys.clone(), &mut buffers);
            for i in 0..tq {
                write_dq(h, i, &buffers.dq[i * width..][..d]);
            }
        }
        for (r, j) in keys.enumerate() {
            write_dkv(j, &buffers.dk[r * width..][..d], &buffers.dv[r * width..][..d]);
        }
    });
}

/// The working memory of a chunk of keys and a head of queries.
struct Buffers<'a> {
    /// The queries, in units of log 2.
    q: &'a mut [f32],
    /// The gradient of the output.
    d_o: &'a mut [f32],
    /// The gradient of the queries.
    dq: &'a mut [f32],
    /// Σ dO·O of each query.
    delta: &'a mut [f32],
    /// The log-sum-exp of each query, in units of log 2; ∞ where no key is seen, so that P = 0.
    lse: &'a mut [f32],
    /// A block of keys.
    k: &'a mut [f32],
    /// The same, transposed: D × [`KEYS`].
    k_t: &'a mut [f32],
    /// A block of values, transposed: D × [`KEYS`].
    v_t: &'a mut [f32],
    /// S, then P of a block.
    p: &'a mut [f32],
    /// dP, then dS of a block.
    ds: &'a mut [f32],
    /// The gradient of the keys of the chunk.
    dk: &'a mut [f32],
    /// The gradient of the values of the chunk.
    dv: &'a mut [f32],
}

simd_fn! {
    /// All queries of one head meet the keys of the chunk.
    fn head<S>(
        s: S,
        panel: usize,
        inputs: &Inputs<'_>,
        saved: &Saved<'_>,
        head: [usize; 3],
        keys: Range<usize>,
        buffers: &mut Buffers<'_>,
    ) {
        let [b, h, kv] = head;
        let d = inputs.shape.d;
        prepare(s, inputs, saved, [b, h], buffers);
        for first in keys.clone().step_by(KEYS) {
            let block = first..(first + KEYS).min(keys.end);
            pack::rows(s, inputs.k.rows([b, kv, d], block.clone()), 1.0, buffers.k);
            pack::transposed(s, inputs.k.rows([b, kv, d], block.clone()), buffers.k_t, KEYS);
            pack::transposed(s, inputs.v.rows([b, kv, d], block.clone()), buffers.v_t, KEYS);
            let queries = inputs.queries(block.clone());
            let mut next = block.end..(block.end + KEYS).min(keys.end);
            for query in (queries.start / 8 * 8..queries.end).step_by(QUERIES) {
                let queries = query..(query + QUERIES).min(queries.end);
                meet(s, panel, inputs, [b, h, kv], queries, block.clone(), first - keys.start, &mut next, buffers);
            }
        }
        scale(s, inputs.options.scale, buffers.dq);
        if h + 1 == (kv + 1) * (inputs.shape.h / inputs.shape.h_kv) {
            // Q was in units of log 2.
            scale(s, LN_2, buffers.dk);
            scale(s, inputs.options.dropout.map_or(1.0, |dropout| dropout.scale()), buffers.dv);
        }
    }
}

#[inline(always)]
fn scale<S: Simd>(s: S, factor: f32, x: &mut [f32]) {
    if factor != 1.0 {
        for x in x.chunks_exact_mut(S::N) {
            s.store(x, s.mul(s.splat(factor), s.load(x)));
        }
    }
}

/// Packs the queries and dO of a head, and makes δ.
#[inline(always)]
fn prepare<S: Simd>(s: S, inputs: &Inputs<'_>, saved: &Saved<'_>, [b, h]: [usize; 2], buffers: &mut Buffers<'_>) {
    let (tq, d) = (inputs.shape.tq, inputs.shape.d);
    pack::rows(s, inputs.q.rows([b, h, d], 0..tq), inputs.options.scale * LOG2_E, buffers.q);
    pack::rows(s, saved.d_o.rows([b, h, d], 0..tq), 1.0, buffers.d_o);
    buffers.dq.fill(0.0);
    for i in 0..tq {
        let lse = saved.lse[inputs.row_index(b, h, i)];
        let seen = lse != f32::NEG_INFINITY;
        buffers.lse[i] = if seen { (f64::from(lse) * std::f64::consts::LOG2_E) as f32 } else { f32::INFINITY };
        let mut delta = s.zero();
        for (o, d_o) in saved.o.row(b, h, i, d).chunks(S::N).zip(saved.d_o.row(b, h, i, d).chunks(S::N)) {
            delta = s.mul_add(s.load_partial(o), s.load_partial(d_o), delta);
        }
        buffers.delta[i] = s.reduce_sum(delta);
    }
}

/// A block of queries meets a block of keys, whose gradients stand from row `at` on.
#[inline(always)]
fn meet<S: Simd>(
    s: S,
    panel: usize,
    inputs: &Inputs<'_>,
    [b, h, kv]: [usize; 3],
    queries: Range<usize>,
    keys: Range<usize>,
    at: usize,
    next: &mut Range<usize>,
    buffers: &mut Buffers<'_>,
) {
    let (d, width) = (inputs.shape.d, pack::width(inputs.shape.d));
    for i in queries.clone().step_by(panel) {
        pack::prefetch(inputs, [b, kv], next, 4);
        let rows = i..(i + panel).min(queries.end);
        let columns = columns(inputs, rows.clone(), keys.start);
        if columns.is_empty() {
            continue;
        }
        let whole = columns.start / S::N * S::N..columns.end.next_multiple_of(S::N);
        let here = (i - queries.start) * KEYS;
        let size = [rows.len(), whole.len(), d];
        let (p, ds) = (&mut buffers.p[here..], &mut buffers.ds[here..]);
        let left = |x| Left { data: cast_slice(x), row: width, col: 1 };
        let first = whole.start.min(buffers.k_t.len());
        let from = |t: usize| t * width;
        multiply(
            Plain(s),
            size,
            left(&buffers.q[from(i)..]),
            right(&buffers.k_t[first..], KEYS),
            (&mut p[whole.start..], KEYS),
            Beta::Zero,
        );
        multiply(
            Plain(s),
            size,
            left(&buffers.d_o[from(i)..]),
            right(&buffers.v_t[first..], KEYS),
            (&mut ds[whole.start..], KEYS),
            Beta::Zero,
        );
        for (r, i) in rows.clone().enumerate() {
            let (p, ds) = (&mut p[r * KEYS..][..KEYS], &mut ds[r * KEYS..][..KEYS]);
            hide(s, inputs, [b, h, i], keys.start, &whole, p);
            let (lse, delta) = (s.splat(buffers.lse[i]), s.splat(buffers.delta[i]));
            if inputs.options.dropout.is_some() {
                probabilities_dropped(s, inputs, [b, h, i], keys.start, &whole, (lse, delta), p, ds);
            } else {
                probabilities(s, &whole, (lse, delta), p, ds);
            }
        }
        multiply(
            Plain(s),
            [rows.len(), width, columns.end - whole.start],
            Left { data: cast_slice(&ds[whole.start..]), row: KEYS, col: 1 },
            right(&buffers.k[from(whole.start)..], width),
            (&mut buffers.dq[from(i)..], width),
            Beta::One,
        );
    }
    for j in (0..keys.len()).step_by(panel) {
        let rows = panel.min(keys.len() - j);
        let seen = inputs.queries(keys.start + j..keys.start + j + rows);
        let (start, end) = (seen.start.max(queries.start), seen.end.min(queries.end));
        if start >= end {
            continue;
        }
        let size = [rows, width, end - start];
        let left = |x| Left { data: cast_slice(x), row: 1, col: KEYS };
        let here = (start - queries.start) * KEYS + j;
        let to = (at + j) * width;
        multiply(
            Plain(s),
            size,
            left(&buffers.p[here..]),
            right(&buffers.d_o[start * width..], width),
            (&mut buffers.dv[to..], width),
            Beta::One,
        );
        multiply(
            Plain(s),
            size,
            left(&buffers.ds[here..]),
            right(&buffers.q[start * width..], width),
            (&mut buffers.dk[to..], width),
            Beta::One,
        );
    }
}

/// S to P = 2^(S − lse), dP to dS = P·(dP − δ), for a row.
#[inline(always)]
fn probabilities<S: Simd>(s: S, columns: &Range<usize>, (lse, delta): (S::F32, S::F32), p: &mut [f32], ds: &mut [f32]) {
    for j in columns.clone().step_by(S::N) {
        let x = exp2(s, s.sub(s.load(&p[j..]), lse));
        s.store(&mut p[j..], x);
        let dp = s.load(&ds[j..]);
        s.store(&mut ds[j..], s.mul(x, s.sub(dp, delta)));
    }
}

/// The same where dropout has taken some of P: dS needs all of P, dV what was kept of it.
#[inline(always)]
fn probabilities_dropped<S: Simd>(
    s: S,
    inputs: &Inputs<'_>,
    [b, h, i]: [usize; 3],
    first: usize,
    columns: &Range<usize>,
    (lse, delta): (S::F32, S::F32),
    p: &mut [f32],
    ds: &mut [f32],
) {
    let Some(dropout) = inputs.options.dropout else { return };
    let group = inputs.first_group(b, h, i) + (first / KEYS) as u64;
    let factor = s.splat(dropout.scale());
    for part in 0..16 / S::N {
        for (word, drop) in dropout.drop_masks(s, group, part).into_iter().enumerate() {
            let j = word * 16 + part * S::N;
            if columns.contains(&j) {
                let x = exp2(s, s.sub(s.load(&p[j..]), lse));
                s.store(&mut p[j..], s.select(drop, s.zero(), x));
                let dp = s.select(drop, s.zero(), s.mul(factor, s.load(&ds[j..])));
                s.store(&mut ds[j..], s.mul(x, s.sub(dp, delta)));
            }
        }
    }
}
