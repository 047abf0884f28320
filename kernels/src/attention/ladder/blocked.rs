//! Blocks of keys: what is loaded serves several queries before the next block takes its place in the cache.
//!
//! A row at a time reads all of K and V again for every query: at T = 4096 and D = 64 that is 2 MiB a row, from beyond
//! the second-level cache. Here a block of 64 keys (and values, or their gradients) meets all queries of a block, or
//! backward all queries, while it lies in the first level. The block of queries keeps its scores, 16×T, in between.
//!
//! It is no faster than a row at a time (49 ms forward, 43 before), because scalar arithmetic never waits for the cache. The
//! rung stays because the fast rungs are built on this order of the loops.

use crate::attention::{
    Inputs, Output, Saved, Shape,
    ladder::causal::{add_gradients, add_scaled, clear, exponentials, rows, score},
};
use crate::{Isa, scratch};

/// The keys of a block: 16 KiB of K at D = 64.
pub(in crate::attention) const KEYS: usize = 64;
/// The queries of a block.
const QUERIES: usize = 16;

pub(in crate::attention) fn forward(_: Isa, inputs: &Inputs<'_>, mut o: Output<'_>, lse: &mut [f32]) {
    let Shape { b, h, tq, tk, d, .. } = inputs.shape;
    scratch::with(QUERIES * tk, |s: &mut [f32]| {
        for [b, h, block] in rows(Shape { b, h, tq: tq.div_ceil(QUERIES), ..inputs.shape }) {
            let queries = block * QUERIES..((block + 1) * QUERIES).min(tq);
            // One visit of the keys for S, one of the values for O; between them the softmax of whole rows.
            for (first, i) in visits(tk, queries.clone()) {
                let q = inputs.q.row(b, h, i, d);
                let row = &mut s[(i - queries.start) * tk..][..tk];
                for (j, s) in row.iter_mut().enumerate().skip(first).take(KEYS) {
                    let seen = inputs.keys(i).contains(&j);
                    *s = if seen { score(inputs, q, [b, h, i], j) } else { f32::NEG_INFINITY };
                }
            }
            for i in queries.clone() {
                lse[inputs.row_index(b, h, i)] = exponentials(&mut s[(i - queries.start) * tk..][..tk]);
                o.row(b, h, i).fill(0.0);
            }
            for (first, i) in visits(tk, queries.clone()) {
                let keys = inputs.keys(i);
                for j in first.max(keys.start)..(first + KEYS).min(keys.end) {
                    let p = s[(i - queries.start) * tk + j] * inputs.keep_factor(b, h, i, j);
                    add_scaled(o.row(b, h, i), p, inputs.v.row(b, inputs.kv_head(h), j, d));
                }
            }
        }
    });
}

/// Every block of keys with every query: (first key, query).
fn visits(tk: usize, queries: std::ops::Range<usize>) -> impl Iterator<Item = (usize, usize)> {
    (0..tk).step_by(KEYS).flat_map(move |first| queries.clone().map(move |i| (first, i)))
}

pub(in crate::attention) fn backward(_: Isa, inputs: &Inputs<'_>, saved: &Saved<'_>, mut gradients: [Output<'_>; 3]) {
    let Shape { b, h, tq, tk, .. } = inputs.shape;
    clear(inputs, &mut gradients);
    for [b, h, _] in rows(Shape { b, h, tq: 1, ..inputs.shape }) {
        for (first, i) in visits(tk, 0..tq) {
            let keys = inputs.keys(i);
            let keys = first.max(keys.start)..(first + KEYS).min(keys.end);
            add_gradients(inputs, saved, [b, h, i], keys, &mut gradients);
        }
    }
}
