//! Vectors: 16 or 8 classes at a time, with a vector exponential.
//!
//! A vocabulary of 65 characters is 4 vectors of 16 and one element more, so the tail is a masked vector like the rest,
//! not a loop over elements: its lanes past the end count as −∞, whose exponential is 0.

use super::{Options, expect, mean};
use crate::{
    Isa,
    rows::{Access, expect_len, for_vectors},
    simd::math::exp,
    simd_fn,
};

/// The mean loss of the rows that count; fills `losses` and `lse`.
pub fn forward(
    isa: Isa,
    rows: usize,
    v: usize,
    options: Options,
    logits: &[f32],
    targets: &[u32],
    losses: &mut [f32],
    lse: &mut [f32],
) -> f32 {
    let count = expect(rows, v, options, logits.len(), targets, &[losses.len(), lse.len()]);
    forward_rows(isa, v, options, logits, targets, losses, lse);
    mean(losses, count)
}

/// dlogits = d_loss / count · (softmax − target distribution)
pub fn backward(
    isa: Isa,
    rows: usize,
    v: usize,
    options: Options,
    logits: &[f32],
    targets: &[u32],
    lse: &[f32],
    d_loss: f32,
    dlogits: &mut [f32],
) {
    let count = expect(rows, v, options, logits.len(), targets, &[lse.len()]);
    expect_len("dlogits", rows, v, dlogits.len());
    backward_rows(isa, v, options, logits, targets, lse, d_loss / count as f32, dlogits);
}

simd_fn! {
    /// The losses and log-sum-exps of some rows; targets are valid or ignored.
    pub(super) fn forward_rows<S>(
        s: S, v: usize, options: Options, logits: &[f32], targets: &[u32], losses: &mut [f32], lse: &mut [f32],
    ) {
        let lowest = s.splat(f32::NEG_INFINITY);
        let smoothing = options.label_smoothing;
        for (r, &target) in targets.iter().enumerate() {
            let x = &logits[r * v..][..v];
            let mut max = lowest;
            for_vectors!(S, v, |i, at| {
                max = s.max(max, at.load_or(s, &x[i..], lowest));
            });
            let max = s.reduce_max(max);
            let shift = s.splat(max);
            let mut sum = s.zero();
            for_vectors!(S, v, |i, at| {
                sum = s.add(sum, exp(s, s.sub(at.load_or(s, &x[i..], lowest), shift)));
            });
            let log_sum = s.reduce_sum(sum).ln();
            lse[r] = max + log_sum;
            losses[r] = 0.0;
            if options.ignores(target) {
                continue;
            }
            losses[r] = (1.0 - smoothing) * (log_sum - (x[target as usize] - max));
            if smoothing > 0.0 {
                let mut shifted = s.zero();
                for_vectors!(S, v, |i, at| {
                    shifted = s.add(shifted, s.sub(at.load_or(s, &x[i..], shift), shift));
                });
                losses[r] += smoothing * (log_sum - s.reduce_sum(shifted) / v as f32);
            }
        }
    }
}

simd_fn! {
    /// The gradients of some rows, `d_row` being that of a single loss; targets are valid or ignored.
    pub(super) fn backward_rows<S>(
        s: S, v: usize, options: Options, logits: &[f32], targets: &[u32], lse: &[f32], d_row: f32, dlogits: &mut [f32],
    ) {
        let smoothing = options.label_smoothing;
        let (d_rows, spread) = (s.splat(d_row), s.splat(smoothing / v as f32));
        for (r, &target) in targets.iter().enumerate() {
            let (x, dx) = (&logits[r * v..][..v], &mut dlogits[r * v..][..v]);
            if options.ignores(target) {
                dx.fill(0.0);
                continue;
            }
            let log_sum_exp = s.splat(lse[r]);
            for_vectors!(S, v, |i, at| {
                let p = exp(s, s.sub(at.load(s, &x[i..]), log_sum_exp));
                at.store(s, &mut dx[i..], s.mul(d_rows, s.sub(p, spread)));
            });
            // The target's element once more, not its gradient less 1 − ε: p close to 1 would lose its digits.
            let t = target as usize;
            dx[t] = d_row * ((x[t] - lse[r]).exp() - ((1.0 - smoothing) + smoothing / v as f32));
        }
    }
}
