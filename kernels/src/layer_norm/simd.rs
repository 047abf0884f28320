//! Vectors: the passes of the naive rung on 16 or 8 lanes.
//!
//! The variance is the mean square of x − μ, in a second pass, and not mean(x²) − μ², which needs one pass but loses
//! all digits where μ is large: a row of a few hundred elements is in the first cache, so the pass is nearly free.
//! The same pass sums x − μ, which would be zero but for the rounding of μ, and corrects with it what that rounding
//! did to the variance and the result (Chan, Golub and LeVeque, "Algorithms for computing the sample variance", 1983).
//!
//! While a row is written, the next one is asked for: the passes over the caches would else leave the memory idle.
//! Backward, dγ and dβ are read and written once for four rows, not for each.

use super::expect;
use crate::{
    Isa,
    rows::{Access, for_vectors, parameter, prefetch},
    simd::Simd,
    simd_fn,
};

/// y = (x − μ)·rstd·γ + β
pub fn forward(
    isa: Isa,
    rows: usize,
    c: usize,
    eps: f32,
    x: &[f32],
    gamma: Option<&[f32]>,
    beta: Option<&[f32]>,
    y: &mut [f32],
    mean: &mut [f32],
    rstd: &mut [f32],
) {
    forward_to(isa, false, rows, c, eps, x, gamma, beta, y, mean, rstd);
}

/// dx = rstd·(g − mean(g) − x̂·mean(g∘x̂)) with g = dy∘γ; dγ = Σ dy∘x̂; dβ = Σ dy
pub fn backward(
    isa: Isa,
    rows: usize,
    c: usize,
    x: &[f32],
    gamma: Option<&[f32]>,
    mean: &[f32],
    rstd: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    dgamma: Option<&mut [f32]>,
    dbeta: Option<&mut [f32]>,
) {
    backward_to(isa, false, rows, c, x, gamma, mean, rstd, dy, dx, dgamma, dbeta);
}

simd_fn! {
    /// [`forward`]; where `far` is set, y is written past the caches.
    pub(super) fn forward_to<S>(
        s: S, far: bool, rows: usize, c: usize, eps: f32, x: &[f32], gamma: Option<&[f32]>, beta: Option<&[f32]>,
        y: &mut [f32], mean: &mut [f32], rstd: &mut [f32],
    ) {
        let parameters = [gamma.map(<[f32]>::len), beta.map(<[f32]>::len)];
        expect(rows, c, &[x.len(), y.len()], &[mean.len(), rstd.len()], &parameters);
        for r in 0..rows {
            let (all, x, y) = (x, &x[r * c..][..c], &mut y[r * c..][..c]);
            let mut sum = s.zero();
            for_vectors!(S, c, |i, at| {
                sum = s.add(sum, at.load(s, &x[i..]));
            });
            let rough = s.reduce_sum(sum) / c as f32;
            let mu = s.splat(rough);
            let (mut residual, mut squares) = (s.zero(), s.zero());
            for_vectors!(S, c, |i, at| {
                let centred = s.sub(at.load_or(s, &x[i..], mu), mu);
                residual = s.add(residual, centred);
                squares = s.mul_add(centred, centred, squares);
            });
            let residual = s.reduce_sum(residual) / c as f32;
            let variance = s.reduce_sum(squares) / c as f32 - residual * residual;
            let variance = if variance < 0.0 { 0.0 } else { variance }; // not `max`: NaN has to stay
            mean[r] = rough + residual;
            rstd[r] = 1.0 / (variance + eps).sqrt();
            let (scale, offset) = (s.splat(rstd[r]), s.splat(-residual * rstd[r]));
            for_vectors!(S, c, |i, at| {
                prefetch(all, (r + 1) * c + i);
                let x_hat = s.mul_add(s.sub(at.load(s, &x[i..]), mu), scale, offset);
                let (gamma, beta) = (parameter(s, at, gamma, i, 1.0), parameter(s, at, beta, i, 0.0));
                at.write(s, far, &mut y[i..], s.mul_add(x_hat, gamma, beta));
            });
        }
        s.fence();
    }
}

/// The rows whose parameters' gradients are added before they go to memory.
const BLOCK: usize = 4;

/// [`backward`] for `R` rows, adding to `dgamma` and `dbeta`.
#[inline(always)]
fn backward_rows<S: Simd, const R: usize>(
    s: S,
    far: bool,
    c: usize,
    x: &[f32],
    gamma: Option<&[f32]>,
    mean: &[f32],
    rstd: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    dgamma: &mut Option<&mut [f32]>,
    dbeta: &mut Option<&mut [f32]>,
) {
    let (mut mu, mut scale) = ([s.zero(); R], [s.zero(); R]);
    let (mut mean_g, mut mean_gx) = ([s.zero(); R], [s.zero(); R]);
    for r in 0..R {
        let (x, dy) = (&x[r * c..][..c], &dy[r * c..][..c]);
        (mu[r], scale[r]) = (s.splat(mean[r]), s.splat(rstd[r]));
        let (mut sum_g, mut sum_gx) = (s.zero(), s.zero());
        for_vectors!(S, c, |i, at| {
            let x_hat = s.mul(s.sub(at.load(s, &x[i..]), mu[r]), scale[r]);
            let g = s.mul(at.load(s, &dy[i..]), parameter(s, at, gamma, i, 1.0)); // 0 past the end
            sum_g = s.add(sum_g, g);
            sum_gx = s.mul_add(g, x_hat, sum_gx);
        });
        mean_g[r] = s.splat(s.reduce_sum(sum_g) / c as f32);
        mean_gx[r] = s.splat(s.reduce_sum(sum_gx) / c as f32);
    }
    for_vectors!(S, c, |i, at| {
        let weight = parameter(s, at, gamma, i, 1.0);
        let (mut sum_dyx, mut sum_dy) = (s.zero(), s.zero());
        for r in 0..R {
            let here = r * c + i..r * c + c;
            prefetch(x, here.start + R * c);
            prefetch(dy, here.start + R * c);
            let x_hat = s.mul(s.sub(at.load(s, &x[here.clone()]), mu[r]), scale[r]);
            let d = at.load(s, &dy[here.clone()]);
            sum_dyx = s.mul_add(d, x_hat, sum_dyx);
            sum_dy = s.add(sum_dy, d);
            let inner = s.neg_mul_add(x_hat, mean_gx[r], s.sub(s.mul(d, weight), mean_g[r]));
            at.write(s, far, &mut dx[here], s.mul(scale[r], inner));
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
    pub(super) fn backward_to<S>(
        s: S, far: bool, rows: usize, c: usize, x: &[f32], gamma: Option<&[f32]>, mean: &[f32], rstd: &[f32],
        dy: &[f32], dx: &mut [f32], dgamma: Option<&mut [f32]>, dbeta: Option<&mut [f32]>,
    ) {
        let parameters = [gamma.map(<[f32]>::len), dgamma.as_ref().map(|d| d.len()), dbeta.as_ref().map(|d| d.len())];
        expect(rows, c, &[x.len(), dy.len(), dx.len()], &[mean.len(), rstd.len()], &parameters);
        let (mut dgamma, mut dbeta) = (dgamma, dbeta);
        for d in [dgamma.as_deref_mut(), dbeta.as_deref_mut()].into_iter().flatten() {
            d.fill(0.0);
        }
        let mut r = 0;
        while r < rows {
            let n = if rows - r >= BLOCK { BLOCK } else { 1 };
            let (x, dy, dx) = (&x[r * c..][..n * c], &dy[r * c..][..n * c], &mut dx[r * c..][..n * c]);
            let (mean, rstd, dg, db) = (&mean[r..][..n], &rstd[r..][..n], &mut dgamma, &mut dbeta);
            if n == BLOCK {
                backward_rows::<S, BLOCK>(s, far, c, x, gamma, mean, rstd, dy, dx, dg, db);
            } else {
                backward_rows::<S, 1>(s, far, c, x, gamma, mean, rstd, dy, dx, dg, db);
            }
            r += n;
        }
        s.fence();
    }
}
