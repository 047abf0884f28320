//! Decoding: one query for each head against a cache of keys and values.
//!
//! Each key and value is used once, so there is nothing to share and nothing to pack: 4 FLOPs for 8 bytes, bound by the
//! reading of the cache. Vectors run over D, along the rows as they lie; the scores of all keys fit into scratch.

use super::{Forward, Inputs, Output, Shape, exp2::exp2, threads};
use crate::{Isa, Rung, scratch, simd::Simd, simd_fn};
use std::f32::consts::LOG2_E;

/// The ladder of decoding: shapes with one query.
pub const DECODE_RUNGS: &[Rung<Forward>] = &[
    Rung {
        name: "naive",
        idea: "the definition",
        run: |_, inputs, o, lse| super::naive::forward_view(inputs, o, lse),
        simd: false,
    },
    Rung {
        name: "threads",
        idea: "the general rung: packs every block of keys for a single query",
        run: threads::forward,
        simd: true,
    },
    Rung { name: "decode", idea: "vectors over D on the cache as it lies", run: forward, simd: true },
    Rung {
        name: "decode_threads",
        idea: "a task for each few heads, where the cache is long",
        run: forward_threads,
        simd: true,
    },
];

fn forward(isa: Isa, inputs: &Inputs<'_>, mut o: Output<'_>, lse: &mut [f32]) {
    let Shape { b, h, tk, .. } = inputs.shape;
    scratch::with(tk.next_multiple_of(16), |s: &mut [f32]| {
        for (head, lse) in lse.iter_mut().enumerate().take(b * h) {
            let (b, h) = (head / h, head % h);
            *lse = one(isa, inputs, [b, h], s, o.row(b, h, 0));
        }
    });
}

/// The fast path of [`super::forward`] where Tq = 1.
pub(super) fn forward_threads(isa: Isa, inputs: &Inputs<'_>, o: Output<'_>, lse: &mut [f32]) {
    let Shape { b, h, tk, d, .. } = inputs.shape;
    let lse = Output::new("lse", lse, [b, h, 1], super::Strides { b: h, h: 1, t: 1 }, 1);
    threads::for_each(b * h, 2 * tk * d, |head| {
        let (b, h) = (head / h, head % h);
        // SAFETY: there is one task for each (b, h).
        let (o, lse) = unsafe { (o.row_shared(b, h, 0), lse.row_shared(b, h, 0)) };
        scratch::with(tk.next_multiple_of(16), |s: &mut [f32]| lse[0] = one(isa, inputs, [b, h], s, o));
    });
}

simd_fn! {
    /// One query: its output, and the log-sum-exp.
    fn one<S>(s: S, inputs: &Inputs<'_>, head: [usize; 2], scores: &mut [f32], o: &mut [f32]) -> f32 {
        let [b, h] = head;
        let (d, kv, keys) = (inputs.shape.d, inputs.kv_head(h), inputs.keys(0));
        let q = inputs.q.row(b, h, 0, d);
        let scale = inputs.options.scale * LOG2_E;
        let mask = inputs.mask_row(b, h, 0);
        let scores = &mut scores[..keys.len().next_multiple_of(S::N)];
        scores[keys.len()..].fill(f32::NEG_INFINITY);
        for (score, j) in scores.iter_mut().zip(keys.clone()) {
            let hidden = mask.is_some_and(|keep| keep[j] == 0.0);
            *score = if hidden { f32::NEG_INFINITY } else { scale * dot(s, q, inputs.k.row(b, kv, j, d)) };
        }
        let mut max = s.splat(f32::MIN); // not −∞: the difference of two of them would be NaN
        for x in scores.chunks_exact(S::N) {
            max = s.max(max, s.load(x));
        }
        let max = s.reduce_max(max);
        let mut sum = s.zero();
        for x in scores.chunks_exact_mut(S::N) {
            let p = exp2(s, s.sub(s.load(x), s.splat(max)));
            sum = s.add(sum, p);
            s.store(x, p);
        }
        let sum = s.reduce_sum(sum);
        o.fill(0.0);
        if sum == 0.0 {
            return f32::NEG_INFINITY;
        }
        for (p, j) in scores.iter_mut().zip(keys.clone()) {
            *p *= inputs.keep_factor(b, h, 0, j) / sum;
        }
        let mut x = 0;
        while x + 4 * S::N <= d {
            average::<S, 4>(s, inputs, [b, kv, keys.start], &scores[..keys.len()], x, o);
            x += 4 * S::N;
        }
        while x < d {
            average::<S, 1>(s, inputs, [b, kv, keys.start], &scores[..keys.len()], x, o);
            x += S::N;
        }
        (f64::from(max) * std::f64::consts::LN_2 + f64::from(sum.ln())) as f32
    }
}

#[inline(always)]
fn dot<S: Simd>(s: S, x: &[f32], y: &[f32]) -> f32 {
    let mut sum = s.zero();
    for (x, y) in x.chunks(S::N).zip(y.chunks(S::N)) {
        sum = s.mul_add(s.load_partial(x), s.load_partial(y), sum);
    }
    s.reduce_sum(sum)
}

/// NR vectors of O, from element `x` on: Σ p·V over the keys from `first` on.
#[inline(always)]
fn average<S: Simd, const NR: usize>(
    s: S,
    inputs: &Inputs<'_>,
    [b, kv, first]: [usize; 3],
    p: &[f32],
    x: usize,
    o: &mut [f32],
) {
    let d = inputs.shape.d;
    let mut sums = [s.zero(); NR];
    for (j, &p) in p.iter().enumerate() {
        let (p, v) = (s.splat(p), &inputs.v.row(b, kv, first + j, d)[x..]);
        for (n, sum) in sums.iter_mut().enumerate() {
            *sum = s.mul_add(p, s.load_partial(&v[n * S::N..]), *sum);
        }
    }
    for (n, &sum) in sums.iter().enumerate() {
        s.store_partial(&mut o[x + n * S::N..], sum);
    }
}
