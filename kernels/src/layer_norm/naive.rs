//! The specification: a pass for the mean, one for the variance, one for the result.

use super::expect;
use crate::Float;

fn mean_of<E: Float>(values: impl ExactSizeIterator<Item = E>) -> E {
    let n = E::of(values.len() as f64);
    values.sum::<E>() / n
}

/// y = (x − μ)·rstd·γ + β
pub fn forward<E: Float>(
    rows: usize,
    c: usize,
    eps: f32,
    x: &[E],
    gamma: Option<&[E]>,
    beta: Option<&[E]>,
    y: &mut [E],
    mean: &mut [E],
    rstd: &mut [E],
) {
    expect(rows, c, &[x.len(), y.len()], &[mean.len(), rstd.len()], &[gamma.map(<[E]>::len), beta.map(<[E]>::len)]);
    for r in 0..rows {
        let (x, y) = (&x[r * c..][..c], &mut y[r * c..][..c]);
        mean[r] = mean_of(x.iter().copied());
        let variance = mean_of(x.iter().map(|&x| (x - mean[r]).powi(2)));
        rstd[r] = (variance + E::of(f64::from(eps))).sqrt().recip();
        for i in 0..c {
            let (gamma, beta) = (gamma.map_or(E::one(), |g| g[i]), beta.map_or(E::zero(), |b| b[i]));
            y[i] = (x[i] - mean[r]) * rstd[r] * gamma + beta;
        }
    }
}

/// dx = rstd·(g − mean(g) − x̂·mean(g∘x̂)) with g = dy∘γ, or dx += that with `add`; dγ = Σ dy∘x̂; dβ = Σ dy
pub fn backward<E: Float>(
    rows: usize,
    c: usize,
    x: &[E],
    gamma: Option<&[E]>,
    mean: &[E],
    rstd: &[E],
    dy: &[E],
    dx: &mut [E],
    add: bool,
    mut dgamma: Option<&mut [E]>,
    mut dbeta: Option<&mut [E]>,
) {
    let parameters = [gamma.map(<[E]>::len), dgamma.as_ref().map(|d| d.len()), dbeta.as_ref().map(|d| d.len())];
    expect(rows, c, &[x.len(), dy.len(), dx.len()], &[mean.len(), rstd.len()], &parameters);
    for d in [dgamma.as_deref_mut(), dbeta.as_deref_mut()].into_iter().flatten() {
        d.fill(E::zero());
    }
    for r in 0..rows {
        let (x, dy, dx) = (&x[r * c..][..c], &dy[r * c..][..c], &mut dx[r * c..][..c]);
        let x_hat = |i: usize| (x[i] - mean[r]) * rstd[r];
        let g = |i: usize| dy[i] * gamma.map_or(E::one(), |gamma| gamma[i]);
        let (mean_g, mean_gx) = (mean_of((0..c).map(g)), mean_of((0..c).map(|i| g(i) * x_hat(i))));
        for i in 0..c {
            let before = if add { dx[i] } else { E::zero() };
            dx[i] = before + rstd[r] * (g(i) - mean_g - x_hat(i) * mean_gx);
            if let Some(dgamma) = &mut dgamma {
                dgamma[i] += dy[i] * x_hat(i);
            }
            if let Some(dbeta) = &mut dbeta {
                dbeta[i] += dy[i];
            }
        }
    }
}
