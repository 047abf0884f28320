//! Decoding: one query for each head against a cache of keys and values.
//!
//! Each key and value is used once, so there is nothing to share and nothing to pack: 4 FLOPs for 8 bytes, bound by the
//! reading of the cache. Vectors run over D, along the rows as they lie; the scores of all keys fit into scratch.
//!
//! Measured (Zen 4, AVX-512, B×H×Tk×D = 1×12×1024×64, 6.3 MB of cache in L3): naive 680 µs, the general rung on two
//! threads 139 µs, this one 76 µs on one thread and 42 µs on two, 150 GB/s. One key at a time, and each probability divided
//! by the sum, it took 91 and 48 µs in turn with it. A task is worth half as much work here as elsewhere, for it reads from
//! the third-level cache what others have in the first: with it a token at the sizes of `large` takes 2 to 3% less.

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
    threads::for_each(b * h, tk * d, |head| {
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
        let scores = &mut scores[..keys.len().next_multiple_of(S::N)];
        scores[keys.len()..].fill(f32::NEG_INFINITY);
        let row = |j: usize| inputs.k.row(b, kv, j, d);
        for (i, scores) in scores[..keys.len()].chunks_mut(TOGETHER).enumerate() {
            let first = keys.start + i * TOGETHER;
            if scores.len() == TOGETHER {
                let keys = [row(first), row(first + 1), row(first + 2), row(first + 3)];
                scores.copy_from_slice(&dots::<S, TOGETHER>(s, scale, q, keys));
            } else {
                scores.iter_mut().enumerate().for_each(|(r, score)| [*score] = dots(s, scale, q, [row(first + r)]));
            }
        }
        if let Some(keep) = inputs.mask_row(b, h, 0) {
            let keep = &keep[keys.clone()];
            scores.iter_mut().zip(keep).filter(|(_, keep)| **keep == 0.0).for_each(|(score, _)| *score = f32::NEG_INFINITY);
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
        if inputs.options.dropout.is_some() {
            for (p, j) in scores.iter_mut().zip(keys.clone()) {
                *p *= inputs.keep_factor(b, h, 0, j);
            }
        }
        let (weights, first) = (&scores[..keys.len()], [b, kv, keys.start]);
        let mut x = 0;
        while x + 4 * S::N <= d {
            average::<S, 4>(s, inputs, first, weights, sum, x, o);
            x += 4 * S::N;
        }
        while x < d {
            average::<S, 1>(s, inputs, first, weights, sum, x, o);
            x += S::N;
        }
        (f64::from(max) * std::f64::consts::LN_2 + f64::from(sum.ln())) as f32
    }
}

/// How many keys are multiplied at a time: they share the loads of the query, and their sums across lanes wait together.
const TOGETHER: usize = 4;

/// scale · q·k for each key k.
#[inline(always)]
fn dots<S: Simd, const R: usize>(s: S, scale: f32, q: &[f32], keys: [&[f32]; R]) -> [f32; R] {
    let mut sums = [s.zero(); R];
    for x in (0..q.len()).step_by(S::N) {
        let q = load(s, &q[x..]);
        for r in 0..R {
            sums[r] = s.mul_add(q, load(s, &keys[r][x..]), sums[r]);
        }
    }
    let mut scores = [0.0; R];
    for r in 0..R {
        scores[r] = scale * s.reduce_sum(sums[r]);
    }
    scores
}

/// The next vector of `x`; a masked load is only for its end, as AVX2 is slow at it.
#[inline(always)]
fn load<S: Simd>(s: S, x: &[f32]) -> S::F32 {
    if x.len() >= S::N { s.load(x) } else { s.load_partial(x) }
}

/// NR vectors of O, from element `x` on: Σ p·V / sum over the keys from `first` on.
#[inline(always)]
fn average<S: Simd, const NR: usize>(
    s: S,
    inputs: &Inputs<'_>,
    [b, kv, first]: [usize; 3],
    p: &[f32],
    sum: f32,
    x: usize,
    o: &mut [f32],
) {
    let d = inputs.shape.d;
    let mut sums = [s.zero(); NR];
    for (j, &p) in p.iter().enumerate() {
        let (p, v) = (s.splat(p), &inputs.v.row(b, kv, first + j, d)[x..]);
        for (n, sum) in sums.iter_mut().enumerate() {
            *sum = s.mul_add(p, load(s, &v[n * S::N..]), *sum);
        }
    }
    let share = s.splat(1.0 / sum);
    for (n, &sum) in sums.iter().enumerate() {
        s.store_partial(&mut o[x + n * S::N..], s.mul(sum, share));
    }
}
