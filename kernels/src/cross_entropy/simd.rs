//! Vectors: 16 or 8 classes at a time, with a vector exponential.
//!
//! A vocabulary of 65 characters is 4 vectors of 16 and one element more, so the tail is a masked vector like the rest,
//! not a loop over elements: its lanes past the end count as −∞, whose exponential is 0. Short rows are taken four at a
//! time, so that their maxima and sums across lanes wait together: 16 cycles a vector, and 21 row by row.
//!
//! One logarithm a row is left. The sums of 64 rows wait in `losses`, and their logarithms are taken on vectors, too.

use super::{Options, expect, mean};
use crate::{
    Isa,
    rows::{Access, TOGETHER, expect_len, for_vectors, prefetch, rows_at_once},
    simd::{
        Simd,
        math::{exp_below, ln},
    },
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

/// The longest rows that are taken four at a time.
const LONGEST: usize = 128;

/// The rows whose logarithms are taken together.
const BLOCK: usize = 64;

/// The maxima of the first `R` rows of x and Σ exp(x − maximum) of each. Asks for the rows after them meanwhile.
#[inline(always)]
fn max_and_sum<S: Simd, const R: usize>(s: S, v: usize, x: &[f32], max: &mut [f32], sum: &mut [f32]) {
    let lowest = s.splat(f32::NEG_INFINITY);
    let (mut shift, mut sums) = ([lowest; R], [s.zero(); R]);
    for_vectors!(S, v, |i, at| {
        for r in 0..R {
            shift[r] = s.max(shift[r], at.load_or(s, &x[r * v..][..v][i..], lowest));
        }
    });
    for r in 0..R {
        max[r] = s.reduce_max(shift[r]);
        shift[r] = s.splat(max[r]);
    }
    for_vectors!(S, v, |i, at| {
        for r in 0..R {
            prefetch(x, (R + r) * v + i);
            let x = at.load_or(s, &x[r * v..][..v][i..], lowest);
            sums[r] = s.add(sums[r], exp_below(s, s.sub(x, shift[r])));
        }
    });
    for r in 0..R {
        sum[r] = s.reduce_sum(sums[r]);
    }
}

/// The mean of x − shift.
#[inline(always)]
fn mean_above<S: Simd>(s: S, x: &[f32], shift: f32) -> f32 {
    let (shift, mut sum) = (s.splat(shift), s.zero());
    for_vectors!(S, x.len(), |i, at| {
        sum = s.add(sum, s.sub(at.load_or(s, &x[i..], shift), shift));
    });
    s.reduce_sum(sum) / x.len() as f32
}

simd_fn! {
    /// The losses and log-sum-exps of some rows; targets are valid or ignored.
    pub(super) fn forward_rows<S>(
        s: S, v: usize, options: Options, logits: &[f32], targets: &[u32], losses: &mut [f32], lse: &mut [f32],
    ) {
        let smoothing = options.label_smoothing;
        let blocks = losses.chunks_mut(BLOCK).zip(lse.chunks_mut(BLOCK)).zip(targets.chunks(BLOCK));
        for (block, ((losses, lse), targets)) in blocks.enumerate() {
            let row = |r: usize| &logits[(block * BLOCK + r) * v..][..v];
            let mut r = 0;
            while r < targets.len() {
                let n = rows_at_once(targets.len() - r, v, LONGEST);
                let (x, max, sum) = (&logits[(block * BLOCK + r) * v..][..n * v], &mut lse[r..], &mut losses[r..]);
                if n == TOGETHER {
                    max_and_sum::<S, TOGETHER>(s, v, x, max, sum);
                } else {
                    max_and_sum::<S, 1>(s, v, x, max, sum);
                }
                r += n;
            }
            for_vectors!(S, losses.len(), |i, at| {
                let log_sum = ln(s, at.load(s, &losses[i..]));
                at.store(s, &mut losses[i..], log_sum);
            });
            for (r, &target) in targets.iter().enumerate() {
                let (max, log_sum) = (lse[r], losses[r]);
                lse[r] = max + log_sum;
                losses[r] = 0.0;
                if !options.ignores(target) {
                    losses[r] = (1.0 - smoothing) * (log_sum - (row(r)[target as usize] - max));
                    if smoothing > 0.0 {
                        losses[r] += smoothing * (log_sum - mean_above(s, row(r), max));
                    }
                }
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
                let p = exp_below(s, s.sub(at.load(s, &x[i..]), log_sum_exp));
                at.store(s, &mut dx[i..], s.mul(d_rows, s.sub(p, spread)));
            });
            dx[target as usize] -= d_row * (1.0 - smoothing);
        }
    }
}
