//! The specification: the formulas of the [module](crate::attention), with the scores of a head as a matrix in memory.
//!
//! Generic over the number type; in `f64` it is the oracle of all other rungs, and itself checked against central
//! differences.
//!
//! P, dP and dS are made from S a row at a time. The backward pass computes P again, as exp(S − lse), as all rungs do: T
//! numbers a head are kept instead of T².
//!
//! Which keys a query sees, which key head it reads and which probabilities dropout keeps is written out here once more,
//! number by number. The faster rungs take it from [`Inputs`], and a rung that called the same function could not show that
//! the function is wrong.
//!
//! It is slow because each score is a dot product, a chain of additions that wait for one another, and because hidden keys
//! are added with weight 0: half as much work again forward, four fifths more backward. 4×6×256×64 (B×H×T×D, causal, one
//! thread of a Zen 4) runs forward at 3.0 GFLOP/s of the nominal half, the configuration of all rungs below.

use crate::attention::{Inputs, Options, Output, Saved, Shape, Strides, View};
use crate::{Float, dropout};

/// O and lse; arguments as [`crate::attention::forward`].
///
/// # Panics
/// Like [`crate::attention::forward`].
pub fn forward<E: Float>(
    shape: Shape,
    options: &Options<'_>,
    qkv: [View<'_, E>; 3],
    o: (&mut [E], Strides),
    lse: &mut [E],
) {
    crate::attention::forward_by(forward_view, shape, options, qkv, o, lse)
}

/// dQ, dK and dV; arguments as [`crate::attention::backward`].
///
/// # Panics
/// Like [`crate::attention::backward`].
pub fn backward<E: Float>(
    shape: Shape,
    options: &Options<'_>,
    qkv: [View<'_, E>; 3],
    o: View<'_, E>,
    lse: &[E],
    d_o: View<'_, E>,
    gradients: [(&mut [E], Strides); 3],
) {
    crate::attention::backward_by(backward_view, shape, options, qkv, o, lse, d_o, gradients)
}

/// Whether query i of (b, h) sees key j. Query i stands at position Tk − Tq + i, which may be before the first key.
pub(in crate::attention) fn sees<E: Float>(inputs: &Inputs<'_, E>, [b, h, i, j]: [usize; 4]) -> bool {
    let number = |x: usize| i128::try_from(x).expect("a size");
    let (position, key) = (number(inputs.shape.tk) - number(inputs.shape.tq) + number(i), number(j));
    let in_the_future = inputs.options.causal && key > position;
    let left_behind = inputs.options.window.is_some_and(|w| position - key >= number(w));
    let masked = inputs
        .options
        .mask
        .is_some_and(|mask| mask.keep[[b, h, i].iter().zip(mask.strides).fold(j, |at, (n, s)| at + n * s)] == 0.0);
    !(in_the_future || left_behind || masked)
}

/// The key head of query head h: the first H/Hkv query heads read key head 0, the next ones key head 1, and so on.
fn key_head(Shape { h: heads, h_kv, .. }: Shape, h: usize) -> usize {
    h * h_kv / heads
}

/// What dropout multiplies the probability (i, j) of (b, h) with. Each row of probabilities takes whole groups of 64
/// elements.
pub(in crate::attention) fn keep_factor<E: Float>(inputs: &Inputs<'_, E>, [b, h, i, j]: [usize; 4]) -> E {
    let Shape { h: heads, tq, tk, .. } = inputs.shape;
    let Some(dropout) = inputs.options.dropout else { return E::one() };
    let (row, row_len) = ((b * heads + h) * tq + i, tk.div_ceil(64) * 64);
    let element = row as u64 * row_len as u64 + j as u64;
    if dropout::naive::keeps(dropout, element) { E::of(f64::from(dropout.scale())) } else { E::zero() }
}

/// S \[Tq,Tk\] of one head.
fn scores<E: Float>(inputs: &Inputs<'_, E>, b: usize, h: usize) -> Vec<E> {
    let Shape { tq, tk, d, .. } = inputs.shape;
    let scale = E::of(f64::from(inputs.options.scale));
    let kv = key_head(inputs.shape, h);
    let score = |i, j| scale * dot(inputs.q.row(b, h, i, d), inputs.k.row(b, kv, j, d));
    let seen = |i, j| if sees(inputs, [b, h, i, j]) { score(i, j) } else { E::neg_infinity() };
    (0..tq * tk).map(|e| seen(e / tk, e % tk)).collect()
}

/// log Σ exp, less the largest element, so that exp cannot overflow.
fn log_sum_exp<E: Float>(s: &[E]) -> E {
    if s.iter().all(|&s| s == E::neg_infinity()) {
        return E::neg_infinity();
    }
    let max = s.iter().copied().fold(E::neg_infinity(), E::max); // passes NaN over, but the sum does not
    max + s.iter().map(|&s| (s - max).exp()).sum::<E>().ln()
}

/// exp(S − lse), and 0 where nothing is seen, for which the formula has ∞ − ∞.
fn softmax<E: Float>(s: &[E], lse: E) -> Vec<E> {
    s.iter().map(|&s| if s == E::neg_infinity() { E::zero() } else { (s - lse).exp() }).collect()
}

fn dot<E: Float>(x: &[E], y: &[E]) -> E {
    x.iter().zip(y).map(|(&x, &y)| x * y).sum()
}

/// y ← y + a · x
fn add_scaled<E: Float>(y: &mut [E], a: E, x: &[E]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}

pub(in crate::attention) fn forward_view<E: Float>(inputs: &Inputs<'_, E>, mut o: Output<'_, E>, lse: &mut [E]) {
    let Shape { b: batch, h: heads, tq, tk, d, .. } = inputs.shape;
    for b in 0..batch {
        for h in 0..heads {
            let (kv, s) = (key_head(inputs.shape, h), scores(inputs, b, h));
            for i in 0..tq {
                let s = &s[i * tk..][..tk];
                let row_lse = log_sum_exp(s);
                lse[(b * heads + h) * tq + i] = row_lse;
                let p = softmax(s, row_lse);
                let o = o.row(b, h, i);
                o.fill(E::zero());
                for (j, p) in p.into_iter().enumerate() {
                    add_scaled(o, p * keep_factor(inputs, [b, h, i, j]), inputs.v.row(b, kv, j, d));
                }
            }
        }
    }
}

pub(in crate::attention) fn backward_view<E: Float>(
    inputs: &Inputs<'_, E>,
    saved: &Saved<'_, E>,
    gradients: [Output<'_, E>; 3],
) {
    let Shape { b: batch, h: heads, h_kv, tq, tk, d } = inputs.shape;
    let scale = E::of(f64::from(inputs.options.scale));
    let [mut dq, mut dk, mut dv] = gradients;
    for b in 0..batch {
        for (h, t) in (0..h_kv).flat_map(|h| (0..tk).map(move |t| (h, t))) {
            dk.row(b, h, t).fill(E::zero());
            dv.row(b, h, t).fill(E::zero());
        }
        for h in 0..heads {
            let kv = key_head(inputs.shape, h);
            let s = scores(inputs, b, h);
            for i in 0..tq {
                let p = softmax(&s[i * tk..][..tk], saved.lse[(b * heads + h) * tq + i]);
                let d_o = saved.d_o.row(b, h, i, d);
                let keep: Vec<E> = (0..tk).map(|j| keep_factor(inputs, [b, h, i, j])).collect();
                let dp: Vec<E> = (0..tk).map(|j| keep[j] * dot(d_o, inputs.v.row(b, kv, j, d))).collect();
                let delta = dot(d_o, saved.o.row(b, h, i, d));
                dq.row(b, h, i).fill(E::zero());
                for j in 0..tk {
                    let ds = p[j] * (dp[j] - delta) * scale;
                    add_scaled(dv.row(b, kv, j), p[j] * keep[j], d_o);
                    add_scaled(dq.row(b, h, i), ds, inputs.k.row(b, kv, j, d));
                    add_scaled(dk.row(b, kv, j), ds, inputs.q.row(b, h, i, d));
                }
            }
        }
    }
}
