//! The specification: the formulas of the [module](super), with the scores of a head as a matrix in memory.
//!
//! Generic over the number type; in `f64` it is the oracle of all other rungs, and itself checked against central
//! differences.
//!
//! P, dP and dS are made from S a row at a time. Backward, P is not kept from the forward pass but made again, as
//! exp(S − lse), in this rung as in all others: T numbers a head are kept instead of T². So no rung shows what
//! storing P would cost or save.
//!
//! It is slow because each score is a dot product, a chain of additions that wait 3 cycles for one another; and
//! because the values of hidden keys are added too, with weight 0, and all gradients through them: half as much work
//! again forward, four fifths more backward.
//!
//! Measured (Zen 4, one thread, f32, B×H×T×D = 4×6×256×64, causal, nominal FLOPs as in the [module](super)): forward
//! 68 ms, 3.0 GFLOP/s; backward 158 ms, 3.2. The same configuration, on one thread, is that of all rungs below. In
//! the report, 16×6×256×64: 254 and 527 ms, 3.2 and 3.8 GFLOP/s, 1 and 2% of the machine.

use super::{Inputs, Options, Output, Saved, Shape, Strides, View};
use crate::Float;

/// O and lse; arguments as [`super::forward`].
///
/// # Panics
/// Like [`super::forward`].
pub fn forward<E: Float>(
    shape: Shape,
    options: &Options<'_>,
    qkv: [View<'_, E>; 3],
    o: (&mut [E], Strides),
    lse: &mut [E],
) {
    super::forward_by(forward_view, shape, options, qkv, o, lse)
}

/// dQ, dK and dV; arguments as [`super::backward`].
///
/// # Panics
/// Like [`super::backward`].
pub fn backward<E: Float>(
    shape: Shape,
    options: &Options<'_>,
    qkv: [View<'_, E>; 3],
    o: View<'_, E>,
    lse: &[E],
    d_o: View<'_, E>,
    gradients: [(&mut [E], Strides); 3],
) {
    super::backward_by(backward_view, shape, options, qkv, o, lse, d_o, gradients)
}

/// S \[Tq,Tk\] of one head.
fn scores<E: Float>(inputs: &Inputs<'_, E>, b: usize, h: usize) -> Vec<E> {
    let Shape { tq, tk, d, .. } = inputs.shape;
    let scale = E::of(f64::from(inputs.options.scale));
    let score = |i, j| scale * dot(inputs.q.row(b, h, i, d), inputs.k.row(b, inputs.kv_head(h), j, d));
    let seen = |i, j| if inputs.sees(b, h, i, j) { score(i, j) } else { E::neg_infinity() };
    (0..tq * tk).map(|e| seen(e / tk, e % tk)).collect()
}

/// log Σ exp, less the largest element, so that exp cannot overflow.
fn log_sum_exp<E: Float>(s: &[E]) -> E {
    let max = s.iter().copied().fold(E::neg_infinity(), E::max);
    if max == E::neg_infinity() { max } else { max + s.iter().map(|&s| (s - max).exp()).sum::<E>().ln() }
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

pub(super) fn forward_view<E: Float>(inputs: &Inputs<'_, E>, mut o: Output<'_, E>, lse: &mut [E]) {
    let Shape { b: batch, h: heads, tq, tk, d, .. } = inputs.shape;
    for b in 0..batch {
        for h in 0..heads {
            let s = scores(inputs, b, h);
            for i in 0..tq {
                let s = &s[i * tk..][..tk];
                let row_lse = log_sum_exp(s);
                lse[inputs.row_index(b, h, i)] = row_lse;
                let p = softmax(s, row_lse);
                let o = o.row(b, h, i);
                o.fill(E::zero());
                for (j, p) in p.into_iter().enumerate() {
                    let kept = p * E::of(f64::from(inputs.keep_factor(b, h, i, j)));
                    add_scaled(o, kept, inputs.v.row(b, inputs.kv_head(h), j, d));
                }
            }
        }
    }
}

pub(super) fn backward_view<E: Float>(inputs: &Inputs<'_, E>, saved: &Saved<'_, E>, gradients: [Output<'_, E>; 3]) {
    let Shape { b: batch, h: heads, h_kv, tq, tk, d } = inputs.shape;
    let scale = E::of(f64::from(inputs.options.scale));
    let [mut dq, mut dk, mut dv] = gradients;
    for b in 0..batch {
        for (h, t) in (0..h_kv).flat_map(|h| (0..tk).map(move |t| (h, t))) {
            dk.row(b, h, t).fill(E::zero());
            dv.row(b, h, t).fill(E::zero());
        }
        for h in 0..heads {
            let kv = inputs.kv_head(h);
            let s = scores(inputs, b, h);
            for i in 0..tq {
                let p = softmax(&s[i * tk..][..tk], saved.lse[inputs.row_index(b, h, i)]);
                let d_o = saved.d_o.row(b, h, i, d);
                let keep: Vec<E> = (0..tk).map(|j| E::of(f64::from(inputs.keep_factor(b, h, i, j)))).collect();
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
