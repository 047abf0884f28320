//! The residual addition and the norm after it in one pass: h = x + added, y = norm(h).
//!
//! Apart, h is written to memory and read again: 20 bytes an element, and 16 in one pass over x and `added`.
//!
//! Measured, 2 threads of a Zen 4, AVX-512, medians of runs in turn, apart and fused: 16384 × 384 2.68 and 2.12 ms,
//! 4096 × 768 1.53 and 1.23 ms (the first written past the caches), 768 × 128 23.7 and 19.8 µs (all in the caches).

use super::{
    Input, Output, expect, naive,
    simd::{PAIR, next_rows},
};
use crate::{
    Float, Isa,
    elementwise::{BINARY_RUNGS, Binary},
    moments::{in_range, mean_and_rstd},
    parallel::items_per_task,
    rows::{
        Access, SUMS, TOGETHER, for_vectors, for_vectors_in_turn, is_far, parameter, prefetch, rows_of_task, total,
    },
    simd::Simd,
    simd_fn,
};
use rayon::prelude::*;

/// Panics where a length is not the one that its field names, and unless `added` and h are `rows` × `c`.
fn check<E>(input: &Input<'_, E>, added: &[E], h: &[E], output: &Output<'_, E>) {
    input.check(output);
    expect(input.rows, input.c, &[added.len(), h.len()], &[], &[]);
}

/// The specification: the sum, then [`naive::forward`] of it.
pub fn naive<E: Float>(input: Input<'_, E>, added: &[E], h: &mut [E], output: Output<'_, E>) {
    check(&input, added, h, &output);
    for ((h, &x), &added) in h.iter_mut().zip(input.x).zip(added) {
        *h = x + added;
    }
    naive::forward(Input { x: h, ..input }, output);
}

/// One operation after the other, each at its best.
pub fn apart(isa: Isa, input: Input<'_>, added: &[f32], h: &mut [f32], output: Output<'_>) {
    check(&input, added, h, &output);
    let n = [h.len()];
    (BINARY_RUNGS[BINARY_RUNGS.len() - 1].run)(isa, Binary::Add, &n, input.x, &[1], added, &[1], h);
    super::streamed::forward(isa, Input { x: h, ..input }, output);
}

/// One pass over x and `added`, on all cores; large results are written past the caches.
pub fn fused(isa: Isa, input: Input<'_>, added: &[f32], h: &mut [f32], output: Output<'_>) {
    let Input { rows, c, .. } = input;
    let (far, per_task) = (is_far(output.y.len()), items_per_task(rows, 2 * c));
    if per_task >= rows || c == 0 {
        return fused_to(isa, far, input, added, h, output);
    }
    check(&input, added, h, &output);
    let outputs = h.par_chunks_mut(per_task * c).zip(output.of_tasks(per_task, c));
    outputs.enumerate().for_each(|(i, (h, output))| {
        let (_, elements) = rows_of_task(i, per_task, rows, c);
        fused_to(isa, far, input.of_task(i, per_task), &added[elements], h, output);
    });
}

/// The first `R` rows, in the passes of the norm's vector rung; `x` and `added` hold those after them too.
///
/// x + added is added up again in each pass, from the first cache: what has gone past the caches is far. The two rungs do
/// not share their loops: with the sum as an option the plain norm took 15.4 cycles a vector of 64 × 128 instead of 11.5.
#[inline(always)]
fn fused_rows<S: Simd, const R: usize, const A: usize>(
    s: S,
    far: bool,
    c: usize,
    eps: f32,
    x: &[f32],
    added: &[f32],
    gamma: Option<&[f32]>,
    beta: Option<&[f32]>,
    h: &mut [f32],
    y: &mut [f32],
    mean: &mut [f32],
    rstd: &mut [f32],
) {
    let row: [(&[f32], &[f32]); R] = std::array::from_fn(|r| (&x[r * c..][..c], &added[r * c..][..c]));
    let (mut mu, mut sums) = ([s.zero(); R], [[s.zero(); A]; R]);
    for_vectors_in_turn!(S, A, c, |a, i, at| {
        for r in 0..R {
            let v = s.add(at.load(s, &row[r].0[i..]), at.load(s, &row[r].1[i..]));
            sums[r][a] = s.add(sums[r][a], v);
            at.write(s, far, &mut h[r * c..][..c][i..], v);
        }
    });
    for r in 0..R {
        mean[r] = total(s, sums[r]) / c as f32;
        mu[r] = s.splat(mean[r]);
    }
    let (mut residual, mut squares) = ([[s.zero(); A]; R], [[s.zero(); A]; R]);
    for_vectors_in_turn!(S, A, c, |a, i, at| {
        for r in 0..R {
            let v = s.add(at.load_or(s, &row[r].0[i..], mu[r]), at.load(s, &row[r].1[i..]));
            let centred = s.sub(v, mu[r]);
            residual[r][a] = s.add(residual[r][a], centred);
            squares[r][a] = s.mul_add(centred, centred, squares[r][a]);
        }
    });
    let (mut scale, mut offset) = ([s.zero(); R], [s.zero(); R]);
    for r in 0..R {
        let residual = total(s, residual[r]) / c as f32;
        let variance = total(s, squares[r]) / c as f32 - residual * residual;
        let variance = if variance < 0.0 { 0.0 } else { variance }; // not `max`: NaN has to stay
        mean[r] += residual;
        rstd[r] = 1.0 / (variance + eps).sqrt();
        (scale[r], offset[r]) = (s.splat(rstd[r]), s.splat(-residual * rstd[r]));
        if !in_range(variance + eps) {
            (mean[r], rstd[r]) = mean_and_rstd(&h[r * c..][..c], eps);
            (mu[r], scale[r], offset[r]) = (s.splat(mean[r]), s.splat(rstd[r]), s.zero());
        }
    }
    for_vectors!(S, c, |i, at| {
        let (gamma, beta) = (parameter(s, at, gamma, i, 1.0), parameter(s, at, beta, i, 0.0));
        for r in 0..R {
            prefetch(x, (R + r) * c + i);
            prefetch(added, (R + r) * c + i);
            let v = s.add(at.load(s, &row[r].0[i..]), at.load(s, &row[r].1[i..]));
            let x_hat = s.mul_add(s.sub(v, mu[r]), scale[r], offset[r]);
            at.write(s, far, &mut y[r * c..][..c][i..], s.mul_add(x_hat, gamma, beta));
        }
    });
}

simd_fn! {
    /// [`fused`] on one thread; where `far` is set, h and y are written past the caches.
    fn fused_to<S>(s: S, far: bool, input: Input<'_>, added: &[f32], h: &mut [f32], output: Output<'_>) {
        check(&input, added, h, &output);
        let Input { rows, c, eps, x, gamma, beta } = input;
        let Output { y, mean, rstd } = output;
        let (gamma, beta) = (gamma.map(|g| &g[..c]), beta.map(|b| &b[..c]));
        let mut r = 0;
        while r < rows {
            let n = next_rows(rows - r, c);
            let (x, added) = (&x[r * c..], &added[r * c..]);
            let (h, y) = (&mut h[r * c..][..n * c], &mut y[r * c..][..n * c]);
            let (mean, rstd) = (&mut mean[r..][..n], &mut rstd[r..][..n]);
            if n == TOGETHER {
                fused_rows::<S, TOGETHER, 1>(s, far, c, eps, x, added, gamma, beta, h, y, mean, rstd);
            } else if n == PAIR {
                fused_rows::<S, PAIR, PAIR>(s, far, c, eps, x, added, gamma, beta, h, y, mean, rstd);
            } else {
                fused_rows::<S, 1, SUMS>(s, far, c, eps, x, added, gamma, beta, h, y, mean, rstd);
            }
            r += n;
        }
        s.fence();
    }
}
