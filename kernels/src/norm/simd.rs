//! Vectors: the passes of the naive rung on 16 or 8 lanes. They should pay as many times, and a sum is no longer one chain.
//!
//! The variance is the mean square of x − μ, in a second pass, and not mean(x²) − μ², which needs one pass but loses
//! all digits where μ is large: a row of a few hundred elements is in the first cache, so the pass is nearly free.
//! The same pass adds up x − μ, which would be zero but for the rounding of μ, and corrects with it what that rounding
//! did to the variance and the result (Chan, Golub and LeVeque, "Algorithms for computing the sample variance", 1983).
//!
//! A row ends in a sum across lanes, a chain of dependent instructions. Rows are taken several at a time, so that their chains
//! run side by side: 64 × 128 of layer norm forward in the first cache takes half as long as row by row (Zen 4). How many rows
//! pay differs between the norms and directions (`next_rows`), and so does the number of partial sums of a row, which take
//! turns because an addition waits for the one before it to the same sum.
//!
//! γ, β and their gradients are cut to c elements, which they have anyway: then a loop needs one comparison for all of them.

use super::{
    BackwardInput, Gradients, Input, Output,
    out_of_range::{in_range, mean_and_rstd},
};
use crate::{
    Isa,
    rows::{Access, SUMS, TOGETHER, for_vectors, for_vectors_in_turn, parameter, prefetch, rows_at_once, total},
    simd::Simd,
    simd_fn,
};

/// y = (x − μ)·rstd·γ + β, or without the mean y = x·rstd·γ. Panics as [`super::forward`].
pub fn forward(isa: Isa, input: Input<'_>, output: Output<'_>) {
    forward_to(isa, false, input, output);
}

/// dx = rstd·(g − mean(g) − x̂·mean(g∘x̂)) with g = dy∘γ, or dx += that with `add`; dγ = Σ dy∘x̂; dβ = Σ dy.
/// Panics as [`super::backward`].
pub fn backward(isa: Isa, input: BackwardInput<'_>, gradients: Gradients<'_>) {
    backward_to(isa, false, input, gradients);
}

/// [`forward`]; where `far` is set, y is written past the caches.
pub(super) fn forward_to(isa: Isa, far: bool, input: Input<'_>, output: Output<'_>) {
    let centered = output.mean.is_some();
    let run = if centered { forward_of::<true> } else { forward_of::<false> };
    run(isa, far, input, output);
}

/// [`backward`]; where `far` is set, dx is written past the caches.
pub(super) fn backward_to(isa: Isa, far: bool, input: BackwardInput<'_>, gradients: Gradients<'_>) {
    let centered = input.mean.is_some();
    let run = if centered { backward_of::<true> } else { backward_of::<false> };
    run(isa, far, input, gradients);
}

/// The longest rows that are taken four at a time.
const LONGEST: usize = 128;

/// Rows of any length that are taken together.
const PAIR: usize = 2;

/// How many of the `left` rows of `c` elements are taken next: in layer norm four short ones, two, or the last; in RMS norm
/// two forward, and one where memory is the limit and backward (`alone`).
#[inline(always)]
fn next_rows<const CENTERED: bool>(alone: bool, left: usize, c: usize) -> usize {
    if CENTERED && rows_at_once(left, c, LONGEST) == TOGETHER {
        TOGETHER
    } else if left >= PAIR && (CENTERED || !alone) {
        PAIR
    } else {
        1
    }
}

simd_fn! {
    /// [`forward_to`] of layer norm (`CENTERED`) or RMS norm.
    fn forward_of<S, const CENTERED: bool>(s: S, far: bool, input: Input<'_>, output: Output<'_>) {
        input.check(&output);
        let Input { rows, c, eps, x, gamma, beta } = input;
        let Output { y, mean, rstd } = output;
        let (gamma, beta) = (gamma.map(|g| &g[..c]), beta.map(|b| &b[..c]));
        let mean = mean.unwrap_or_default();
        let mut r = 0;
        while r < rows {
            let n = next_rows::<CENTERED>(far, rows - r, c);
            let (x, y) = (&x[r * c..], &mut y[r * c..][..n * c]);
            let (mean, rstd) = (if CENTERED { &mut mean[r..][..n] } else { &mut mean[..] }, &mut rstd[r..][..n]);
            match (CENTERED, n) {
                (true, TOGETHER) => forward_rows::<S, true, TOGETHER, 1>(s, far, c, eps, x, gamma, beta, y, mean, rstd),
                (true, PAIR) => forward_rows::<S, true, PAIR, PAIR>(s, far, c, eps, x, gamma, beta, y, mean, rstd),
                (true, _) => forward_rows::<S, true, 1, SUMS>(s, far, c, eps, x, gamma, beta, y, mean, rstd),
                (false, PAIR) => forward_rows::<S, false, PAIR, 1>(s, far, c, eps, x, gamma, beta, y, mean, rstd),
                (false, _) => forward_rows::<S, false, 1, 1>(s, far, c, eps, x, gamma, beta, y, mean, rstd),
            }
            r += n;
        }
        s.fence();
    }
}

/// The first `R` rows, each with `A` partial sums; `x` holds those after them too.
///
/// Slices and no struct: only of slices the compiler knows that they do not overlap.
#[inline(always)]
fn forward_rows<S: Simd, const CENTERED: bool, const R: usize, const A: usize>(
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
    let shifts = if CENTERED {
        layer_statistics::<S, R, A>(s, c, eps, row, mean, rstd)
    } else {
        rms_statistic(s, c, eps, row, rstd);
        [Shift::default(); R]
    };
    let (mut mu, mut scale, mut offset) = ([s.zero(); R], [s.zero(); R], [s.zero(); R]);
    for r in 0..R {
        (mu[r], scale[r], offset[r]) = (s.splat(shifts[r].mu), s.splat(rstd[r]), s.splat(shifts[r].offset));
    }
    for_vectors!(S, c, |i, at| {
        let gamma = parameter(s, at, gamma, i, 1.0);
        let beta = if CENTERED { parameter(s, at, beta, i, 0.0) } else { s.zero() };
        for r in 0..R {
            prefetch(x, (R + r) * c + i);
            let v = at.load(s, &row[r][i..]);
            let v = if CENTERED {
                s.mul_add(s.mul_add(s.sub(v, mu[r]), scale[r], offset[r]), gamma, beta)
            } else {
                s.mul(s.mul(v, scale[r]), gamma)
            };
            at.write(s, far, &mut y[r * c..][..c][i..], v);
        }
    });
}

/// What centres a row of layer norm: x̂ = (x − mu)·rstd + offset.
#[derive(Clone, Copy, Default)]
struct Shift {
    /// The mean as it was first rounded.
    mu: f32,
    /// What that rounding did to x̂.
    offset: f32,
}

/// Writes `mean` and `rstd` of the rows.
///
/// The results are numbers and not vectors: arrays of vectors that are returned do not stay in registers.
#[inline(always)]
fn layer_statistics<S: Simd, const R: usize, const A: usize>(
    s: S,
    c: usize,
    eps: f32,
    row: [&[f32]; R],
    mean: &mut [f32],
    rstd: &mut [f32],
) -> [Shift; R] {
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
            let distance = s.sub(at.load_or(s, &row[r][i..], mu[r]), mu[r]);
            residual[r][a] = s.add(residual[r][a], distance);
            squares[r][a] = s.mul_add(distance, distance, squares[r][a]);
        }
    });
    let mut shifts = [Shift::default(); R];
    for r in 0..R {
        let residual = total(s, residual[r]) / c as f32;
        let variance = total(s, squares[r]) / c as f32 - residual * residual;
        let variance = if variance < 0.0 { 0.0 } else { variance }; // not `max`: NaN has to stay
        rstd[r] = 1.0 / (variance + eps).sqrt();
        shifts[r] = Shift { mu: mean[r], offset: -residual * rstd[r] };
        mean[r] += residual;
        if !in_range(variance + eps) {
            (mean[r], rstd[r]) = mean_and_rstd(true, row[r], eps);
            shifts[r] = Shift { mu: mean[r], offset: 0.0 };
        }
    }
    shifts
}

/// Writes `rstd` of the rows.
#[inline(always)]
fn rms_statistic<S: Simd, const R: usize>(s: S, c: usize, eps: f32, row: [&[f32]; R], rstd: &mut [f32]) {
    let mut squares = [s.zero(); R];
    for_vectors!(S, c, |i, at| {
        for r in 0..R {
            let x = at.load(s, &row[r][i..]);
            squares[r] = s.mul_add(x, x, squares[r]);
        }
    });
    for r in 0..R {
        let square = s.reduce_sum(squares[r]) / c as f32 + eps;
        rstd[r] = if in_range(square) { 1.0 / square.sqrt() } else { mean_and_rstd(false, row[r], eps).1 };
    }
}

simd_fn! {
    /// [`backward_to`] of layer norm (`CENTERED`) or RMS norm.
    fn backward_of<S, const CENTERED: bool>(s: S, far: bool, input: BackwardInput<'_>, gradients: Gradients<'_>) {
        input.check(&gradients);
        let BackwardInput { rows, c, x, gamma, mean, rstd, dy } = input;
        let Gradients { dx, add, dgamma, dbeta } = gradients;
        let (gamma, mean) = (gamma.map(|g| &g[..c]), mean.unwrap_or_default());
        let (mut dgamma, mut dbeta) = (dgamma.map(|d| &mut d[..c]), dbeta.map(|d| &mut d[..c]));
        for d in [dgamma.as_deref_mut(), dbeta.as_deref_mut()].into_iter().flatten() {
            d.fill(0.0);
        }
        let mut r = 0;
        while r < rows {
            let n = next_rows::<CENTERED>(true, rows - r, c);
            let (x, dy, dx) = (&x[r * c..], &dy[r * c..], &mut dx[r * c..][..n * c]);
            let (mean, rstd) = (if CENTERED { &mean[r..][..n] } else { mean }, &rstd[r..][..n]);
            let (dg, db) = (&mut dgamma, &mut dbeta);
            if CENTERED && n == TOGETHER {
                backward_rows::<S, CENTERED, TOGETHER, 1>(s, far, c, x, gamma, mean, rstd, dy, dx, add, dg, db);
            } else if CENTERED && n == PAIR {
                backward_rows::<S, CENTERED, PAIR, PAIR>(s, far, c, x, gamma, mean, rstd, dy, dx, add, dg, db);
            } else {
                backward_rows::<S, CENTERED, 1, SUMS>(s, far, c, x, gamma, mean, rstd, dy, dx, add, dg, db);
            }
            r += n;
        }
        s.fence();
    }
}

/// The first `R` rows, each with `A` partial sums, added to `dgamma` and `dbeta`; `x` and `dy` hold those after them too.
///
/// Layer norm takes several rows, so it adds their sum to dγ; RMS norm takes one, and adds it with a single rounding.
#[inline(always)]
fn backward_rows<S: Simd, const CENTERED: bool, const R: usize, const A: usize>(
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
        (mu[r], scale[r]) = (s.splat(if CENTERED { mean[r] } else { 0.0 }), s.splat(rstd[r]));
        let (mut sum_g, mut sum_gx) = ([s.zero(); A], [s.zero(); A]);
        for_vectors_in_turn!(S, A, c, |a, i, at| {
            let x_hat = normalised::<S, _, CENTERED>(s, at, &x[i..], mu[r], scale[r]);
            let g = s.mul(at.load(s, &dy[i..]), parameter(s, at, gamma, i, 1.0));
            sum_g[a] = s.add(sum_g[a], g);
            sum_gx[a] = s.mul_add(g, x_hat, sum_gx[a]);
        });
        if CENTERED {
            mean_g[r] = s.splat(total(s, sum_g) / c as f32);
        }
        mean_gx[r] = s.splat(total(s, sum_gx) / c as f32);
    }
    for_vectors!(S, c, |i, at| {
        let weight = parameter(s, at, gamma, i, 1.0);
        let (mut sum_dyx, mut sum_dy) = (s.zero(), s.zero());
        for r in 0..R {
            let here = r * c + i..r * c + c;
            prefetch(x, R * c + here.start);
            prefetch(dy, R * c + here.start);
            let x_hat = normalised::<S, _, CENTERED>(s, at, &x[here.clone()], mu[r], scale[r]);
            let d = at.load(s, &dy[here.clone()]);
            if CENTERED {
                sum_dyx = s.mul_add(d, x_hat, sum_dyx);
                sum_dy = s.add(sum_dy, d);
            } else if let Some(dgamma) = dgamma {
                let sum = at.load(s, &dgamma[i..]);
                at.store(s, &mut dgamma[i..], s.mul_add(d, x_hat, sum));
            }
            let g = s.mul(d, weight);
            let g = if CENTERED { s.sub(g, mean_g[r]) } else { g };
            let d = s.mul(scale[r], s.neg_mul_add(x_hat, mean_gx[r], g));
            let d = if add { s.add(at.load(s, &dx[here.clone()]), d) } else { d };
            at.write(s, far, &mut dx[here], d);
        }
        if CENTERED && let Some(dgamma) = dgamma {
            let sum = at.load(s, &dgamma[i..]);
            at.store(s, &mut dgamma[i..], s.add(sum, sum_dyx));
        }
        if CENTERED && let Some(dbeta) = dbeta {
            let sum = at.load(s, &dbeta[i..]);
            at.store(s, &mut dbeta[i..], s.add(sum, sum_dy));
        }
    });
}

/// x̂ of the next elements of a row: (x − μ)·rstd, in RMS norm x·rstd. Past the end of the row it is 0.
#[inline(always)]
fn normalised<S: Simd, A: Access, const CENTERED: bool>(s: S, at: A, x: &[f32], mu: S::F32, rstd: S::F32) -> S::F32 {
    if CENTERED { s.mul(s.sub(at.load_or(s, x, mu), mu), rstd) } else { s.mul(at.load(s, x), rstd) }
}
