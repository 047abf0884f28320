//! Vectors: the passes of the naive rung on 16 or 8 lanes.
//!
//! The variance is the mean square of x − μ, in a second pass, and not mean(x²) − μ², which needs one pass but loses
//! all digits where μ is large: a row of a few hundred elements is in the first cache, so the pass is nearly free.
//! The same pass sums x − μ, which would be zero but for the rounding of μ, and corrects with it what that rounding
//! did to the variance and the result (Chan, Golub and LeVeque, "Algorithms for computing the sample variance", 1983).
//!
//! Short rows are taken four at a time, so that their sums across lanes wait together and not one after the other: 64 ×
//! 128 forward in the first cache takes 13 cycles for 16 elements, and 26 row by row; backward, dγ and dβ are then read
//! and written once for four rows. Longer rows go in twos, and while they are written, the next ones are prefetched. In turn
//! with one by one, forward on one thread: 400 × 384 29 and 42 µs, 400 × 1536 119 and 131; on two, 16384 × 384 7% less;
//! backward 400 × 384 38.6 and 45.7 µs, 16384 × 384 on two 2 to 4% less. Four long rows at a time are slower from memory
//! (forward 18 to 33%), whose prefetchers then see less.
//!
//! Each long row has two sums of each kind (four where it goes alone), which take turns, for an addition waits for the one
//! before it to the same sum.
//!
//! γ, β and their gradients are cut to c elements, which they have anyway: a loop that sees one length for them and the
//! row compares with one number and keeps one, not five. On one thread and on two, in turn with loops that do not see it,
//! 16384 × 384 forward takes 4 to 5% less; in RMS norm, 768 × 128 backward 12 to 18% less.

use super::{BackwardInput, Gradients, Input, Output};
use crate::{
    Isa,
    moments::{in_range, mean_and_rstd},
    rows::{Access, SUMS, TOGETHER, for_vectors, for_vectors_in_turn, parameter, prefetch, rows_at_once, total},
    simd::Simd,
    simd_fn,
};

/// y = (x − μ)·rstd·γ + β
pub fn forward(isa: Isa, input: Input<'_>, output: Output<'_>) {
    forward_to(isa, false, input, output);
}

/// dx = rstd·(g − mean(g) − x̂·mean(g∘x̂)) with g = dy∘γ, or dx += that with `add`; dγ = Σ dy∘x̂; dβ = Σ dy
pub fn backward(isa: Isa, input: BackwardInput<'_>, gradients: Gradients<'_>) {
    backward_to(isa, false, input, gradients);
}

/// The longest rows that are taken four at a time.
const LONGEST: usize = 128;

/// Rows of any length that are taken together.
pub(super) const PAIR: usize = 2;

/// How many of the `left` rows of `c` elements are taken next: four short ones, two, or the last.
#[inline(always)]
pub(super) fn next_rows(left: usize, c: usize) -> usize {
    match rows_at_once(left, c, LONGEST) {
        1 if left >= PAIR => PAIR,
        n => n,
    }
}

/// [`forward_to`] for the first `R` rows; `x` holds those after them too.
///
/// Slices and no struct: that arguments do not overlap is known to the compiler of slices alone.
#[inline(always)]
fn forward_rows<S: Simd, const R: usize, const A: usize>(
    s: S,
    far: bool,
    c: usize,
    eps: f32,
    x: &[f32],
    gamma: Option<&[f32]>,
    beta: Option<&[f32]>,
    y: &mut [f32],
    mean: &mut [f32],
    rstd: &mut [f32],
) {
    let row: [&[f32]; R] = std::array::from_fn(|r| &x[r * c..][..c]);
    let (mut mu, mut sums) = ([s.zero(); R], [[s.zero(); A]; R]);
    for_vectors_in_turn!(S, A, c, |a, i, at| {
        for r in 0..R {
            sums[r][a] = s.add(sums[r][a], at.load(s, &row[r][i..]));
        }
    });
    for r in 0..R {
        mean[r] = total(s, sums[r]) / c as f32;
        mu[r] = s.splat(mean[r]);
    }
    let (mut residual, mut squares) = ([[s.zero(); A]; R], [[s.zero(); A]; R]);
    for_vectors_in_turn!(S, A, c, |a, i, at| {
        for r in 0..R {
            let centred = s.sub(at.load_or(s, &row[r][i..], mu[r]), mu[r]);
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
            (mean[r], rstd[r]) = mean_and_rstd(row[r], eps);
            (mu[r], scale[r], offset[r]) = (s.splat(mean[r]), s.splat(rstd[r]), s.zero());
        }
    }
    for_vectors!(S, c, |i, at| {
        let (gamma, beta) = (parameter(s, at, gamma, i, 1.0), parameter(s, at, beta, i, 0.0));
        for r in 0..R {
            prefetch(x, (R + r) * c + i);
            let x_hat = s.mul_add(s.sub(at.load(s, &row[r][i..]), mu[r]), scale[r], offset[r]);
            at.write(s, far, &mut y[r * c..][..c][i..], s.mul_add(x_hat, gamma, beta));
        }
    });
}

simd_fn! {
    /// [`forward`]; where `far` is set, y is written past the caches.
    pub(super) fn forward_to<S>(s: S, far: bool, input: Input<'_>, output: Output<'_>) {
        input.check(&output);
        let Input { rows, c, eps, x, gamma, beta } = input;
        let Output { y, mean, rstd } = output;
        let (gamma, beta) = (gamma.map(|g| &g[..c]), beta.map(|b| &b[..c]));
        let mut r = 0;
        while r < rows {
            let n = next_rows(rows - r, c);
            let (x, y) = (&x[r * c..], &mut y[r * c..][..n * c]);
            let (mean, rstd) = (&mut mean[r..][..n], &mut rstd[r..][..n]);
            if n == TOGETHER {
                forward_rows::<S, TOGETHER, 1>(s, far, c, eps, x, gamma, beta, y, mean, rstd);
            } else if n == PAIR {
                forward_rows::<S, PAIR, PAIR>(s, far, c, eps, x, gamma, beta, y, mean, rstd);
            } else {
                forward_rows::<S, 1, SUMS>(s, far, c, eps, x, gamma, beta, y, mean, rstd);
            }
            r += n;
        }
        s.fence();
    }
}

/// [`backward_to`] for the first `R` rows, adding to `dgamma` and `dbeta`; `x` and `dy` hold those after them too.
#[inline(always)]
fn backward_rows<S: Simd, const R: usize, const A: usize>(
    s: S,
    far: bool,
    c: usize,
    x: &[f32],
    gamma: Option<&[f32]>,
    mean: &[f32],
    rstd: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    add: bool,
    dgamma: &mut Option<&mut [f32]>,
    dbeta: &mut Option<&mut [f32]>,
) {
    let (mut mu, mut scale) = ([s.zero(); R], [s.zero(); R]);
    let (mut mean_g, mut mean_gx) = ([s.zero(); R], [s.zero(); R]);
    for r in 0..R {
        let (x, dy) = (&x[r * c..][..c], &dy[r * c..][..c]);
        (mu[r], scale[r]) = (s.splat(mean[r]), s.splat(rstd[r]));
        let (mut sum_g, mut sum_gx) = ([s.zero(); A], [s.zero(); A]);
        for_vectors_in_turn!(S, A, c, |a, i, at| {
            let x_hat = s.mul(s.sub(at.load_or(s, &x[i..], mu[r]), mu[r]), scale[r]); // finite past the end, where g is 0
            let g = s.mul(at.load(s, &dy[i..]), parameter(s, at, gamma, i, 1.0));
            sum_g[a] = s.add(sum_g[a], g);
            sum_gx[a] = s.mul_add(g, x_hat, sum_gx[a]);
        });
        mean_g[r] = s.splat(total(s, sum_g) / c as f32);
        mean_gx[r] = s.splat(total(s, sum_gx) / c as f32);
    }
    for_vectors!(S, c, |i, at| {
        let weight = parameter(s, at, gamma, i, 1.0);
        let (mut sum_dyx, mut sum_dy) = (s.zero(), s.zero());
        for r in 0..R {
            let here = r * c + i..r * c + c;
            prefetch(x, R * c + here.start);
            prefetch(dy, R * c + here.start);
            let x_hat = s.mul(s.sub(at.load(s, &x[here.clone()]), mu[r]), scale[r]);
            let d = at.load(s, &dy[here.clone()]);
            sum_dyx = s.mul_add(d, x_hat, sum_dyx);
            sum_dy = s.add(sum_dy, d);
            let inner = s.neg_mul_add(x_hat, mean_gx[r], s.sub(s.mul(d, weight), mean_g[r]));
            let d = s.mul(scale[r], inner);
            let d = if add { s.add(at.load(s, &dx[here.clone()]), d) } else { d };
            at.write(s, far, &mut dx[here], d);
        }
        if let Some(dgamma) = dgamma {
            let sum = at.load(s, &dgamma[i..]);
            at.store(s, &mut dgamma[i..], s.add(sum, sum_dyx));
        }
        if let Some(dbeta) = dbeta {
            let sum = at.load(s, &dbeta[i..]);
            at.store(s, &mut dbeta[i..], s.add(sum, sum_dy));
        }
    });
}

simd_fn! {
    /// [`backward`]; where `far` is set, dx is written past the caches.
    pub(super) fn backward_to<S>(s: S, far: bool, input: BackwardInput<'_>, gradients: Gradients<'_>) {
        input.check(&gradients);
        let BackwardInput { rows, c, x, gamma, mean, rstd, dy } = input;
        let Gradients { dx, add, dgamma, dbeta } = gradients;
        let gamma = gamma.map(|g| &g[..c]);
        let (mut dgamma, mut dbeta) = (dgamma.map(|d| &mut d[..c]), dbeta.map(|d| &mut d[..c]));
        for d in [dgamma.as_deref_mut(), dbeta.as_deref_mut()].into_iter().flatten() {
            d.fill(0.0);
        }
        let mut r = 0;
        while r < rows {
            let n = next_rows(rows - r, c);
            let (x, dy, dx) = (&x[r * c..], &dy[r * c..], &mut dx[r * c..][..n * c]);
            let (mean, rstd, dg, db) = (&mean[r..][..n], &rstd[r..][..n], &mut dgamma, &mut dbeta);
            if n == TOGETHER {
                backward_rows::<S, TOGETHER, 1>(s, far, c, x, gamma, mean, rstd, dy, dx, add, dg, db);
            } else if n == PAIR {
                backward_rows::<S, PAIR, PAIR>(s, far, c, x, gamma, mean, rstd, dy, dx, add, dg, db);
            } else {
                backward_rows::<S, 1, SUMS>(s, far, c, x, gamma, mean, rstd, dy, dx, add, dg, db);
            }
            r += n;
        }
        s.fence();
    }
}
