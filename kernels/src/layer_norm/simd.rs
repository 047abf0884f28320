//! Vectors: the passes of the naive rung on 16 or 8 lanes.
//!
//! The variance is the mean square of x − μ, in a second pass, and not mean(x²) − μ², which needs one pass but loses
//! all digits where μ is large: a row of a few hundred elements is in the first cache, so the pass is nearly free.
//! The same pass sums x − μ, which would be zero but for the rounding of μ, and corrects with it what that rounding
//! did to the variance and the result (Chan, Golub and LeVeque, "Algorithms for computing the sample variance", 1983).

use super::expect;
use crate::{
    rows::{Access, for_vectors, parameter},
    simd_fn,
};

simd_fn! {
    /// y = (x − μ)·rstd·γ + β
    pub fn forward<S>(
        s: S, rows: usize, c: usize, eps: f32, x: &[f32], gamma: Option<&[f32]>, beta: Option<&[f32]>,
        y: &mut [f32], mean: &mut [f32], rstd: &mut [f32],
    ) {
        let parameters = [gamma.map(<[f32]>::len), beta.map(<[f32]>::len)];
        expect(rows, c, &[x.len(), y.len()], &[mean.len(), rstd.len()], &parameters);
        for r in 0..rows {
            let (x, y) = (&x[r * c..][..c], &mut y[r * c..][..c]);
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
                let x_hat = s.mul_add(s.sub(at.load(s, &x[i..]), mu), scale, offset);
                let (gamma, beta) = (parameter(s, at, gamma, i, 1.0), parameter(s, at, beta, i, 0.0));
                at.store(s, &mut y[i..], s.mul_add(x_hat, gamma, beta));
            });
        }
    }
}

simd_fn! {
    /// dx = rstd·(g − mean(g) − x̂·mean(g∘x̂)) with g = dy∘γ; dγ = Σ dy∘x̂; dβ = Σ dy
    pub fn backward<S>(
        s: S, rows: usize, c: usize, x: &[f32], gamma: Option<&[f32]>, mean: &[f32], rstd: &[f32],
        dy: &[f32], dx: &mut [f32], dgamma: Option<&mut [f32]>, dbeta: Option<&mut [f32]>,
    ) {
        let parameters = [gamma.map(<[f32]>::len), dgamma.as_ref().map(|d| d.len()), dbeta.as_ref().map(|d| d.len())];
        expect(rows, c, &[x.len(), dy.len(), dx.len()], &[mean.len(), rstd.len()], &parameters);
        let (mut dgamma, mut dbeta) = (dgamma, dbeta);
        for d in [dgamma.as_deref_mut(), dbeta.as_deref_mut()].into_iter().flatten() {
            d.fill(0.0);
        }
        for r in 0..rows {
            let (x, dy, dx) = (&x[r * c..][..c], &dy[r * c..][..c], &mut dx[r * c..][..c]);
            let (mu, scale) = (s.splat(mean[r]), s.splat(rstd[r]));
            let (mut sum_g, mut sum_gx) = (s.zero(), s.zero());
            for_vectors!(S, c, |i, at| {
                let x_hat = s.mul(s.sub(at.load(s, &x[i..]), mu), scale);
                let g = s.mul(at.load(s, &dy[i..]), parameter(s, at, gamma, i, 1.0)); // 0 past the end
                sum_g = s.add(sum_g, g);
                sum_gx = s.mul_add(g, x_hat, sum_gx);
            });
            let mean_g = s.splat(s.reduce_sum(sum_g) / c as f32);
            let mean_gx = s.splat(s.reduce_sum(sum_gx) / c as f32);
            for_vectors!(S, c, |i, at| {
                let x_hat = s.mul(s.sub(at.load(s, &x[i..]), mu), scale);
                let d = at.load(s, &dy[i..]);
                let g = s.mul(d, parameter(s, at, gamma, i, 1.0));
                let inner = s.neg_mul_add(x_hat, mean_gx, s.sub(g, mean_g));
                at.store(s, &mut dx[i..], s.mul(scale, inner));
                if let Some(dgamma) = &mut dgamma {
                    let sum = at.load(s, &dgamma[i..]);
                    at.store(s, &mut dgamma[i..], s.mul_add(d, x_hat, sum));
                }
                if let Some(dbeta) = &mut dbeta {
                    let sum = at.load(s, &dbeta[i..]);
                    at.store(s, &mut dbeta[i..], s.add(sum, d));
                }
            });
        }
    }
}
