//! The specification: a pass for the mean (layer norm alone), one for the mean square, one for the result.
//!
//! Each mean is a chain of additions whose order is part of the result, so the compiler may not make vectors of it, and each
//! addition waits for the one before it. Backward, the means of a row come first; then dx, dγ and dβ are computed together,
//! an element at a time. A row stays in the first cache between its passes, so they cost no memory traffic.
//!
//! Layer norm of 16384 × 384 takes 1.8 ns an element forward, of which the two chains are 1.6 (Zen 4).

use super::{
    BackwardInput, Gradients, Input, Output,
    out_of_range::{in_range, mean as mean_of, mean_and_rstd},
};
use crate::Float;

/// y = (x − μ)·rstd·γ + β, or without the mean y = x·rstd·γ. Panics as [`super::forward`].
pub fn forward<E: Float>(input: Input<'_, E>, output: Output<'_, E>) {
    input.check(&output);
    if output.mean.is_some() { forward_of::<true, E>(input, output) } else { forward_of::<false, E>(input, output) }
}

/// [`forward`] of layer norm (`CENTERED`) or RMS norm.
fn forward_of<const CENTERED: bool, E: Float>(input: Input<'_, E>, output: Output<'_, E>) {
    let Input { rows, c, eps, x, gamma, beta } = input;
    let Output { y, mut mean, rstd } = output;
    for r in 0..rows {
        let (x, y) = (&x[r * c..][..c], &mut y[r * c..][..c]);
        let mut mu = if CENTERED { mean_of(x.iter().copied()) } else { E::zero() };
        let square = mean_of(x.iter().map(|&x| (x - mu).powi(2))) + E::of(f64::from(eps));
        rstd[r] = square.sqrt().recip();
        if !in_range(square) {
            (mu, rstd[r]) = mean_and_rstd(CENTERED, x, eps);
        }
        if let Some(mean) = &mut mean {
            mean[r] = mu;
        }
        for i in 0..c {
            let scaled = (x[i] - mu) * rstd[r] * gamma.map_or(E::one(), |g| g[i]);
            y[i] = if CENTERED { scaled + beta.map_or(E::zero(), |b| b[i]) } else { scaled };
        }
    }
}

/// dx = rstd·(g − mean(g) − x̂·mean(g∘x̂)) with g = dy∘γ, or dx += that with `add`; dγ = Σ dy∘x̂; dβ = Σ dy. Without the means
/// of the rows x̂ = x·rstd, and there is no mean(g). Panics as [`super::backward`].
pub fn backward<E: Float>(input: BackwardInput<'_, E>, gradients: Gradients<'_, E>) {
    input.check(&gradients);
    if input.mean.is_some() {
        backward_of::<true, E>(input, gradients)
    } else {
        backward_of::<false, E>(input, gradients)
    }
}

/// [`backward`] of layer norm (`CENTERED`) or RMS norm.
fn backward_of<const CENTERED: bool, E: Float>(input: BackwardInput<'_, E>, gradients: Gradients<'_, E>) {
    let BackwardInput { rows, c, x, gamma, mean, rstd, dy } = input;
    let Gradients { dx, add, mut dgamma, dbeta } = gradients;
    let (mean, mut dbeta) = (mean.unwrap_or_default(), if CENTERED { dbeta } else { None });
    for d in [dgamma.as_deref_mut(), dbeta.as_deref_mut()].into_iter().flatten() {
        d.fill(E::zero());
    }
    for r in 0..rows {
        let (x, dy, dx) = (&x[r * c..][..c], &dy[r * c..][..c], &mut dx[r * c..][..c]);
        let x_hat = |i: usize| if CENTERED { (x[i] - mean[r]) * rstd[r] } else { x[i] * rstd[r] };
        let g = |i: usize| dy[i] * gamma.map_or(E::one(), |gamma| gamma[i]);
        let mean_g = if CENTERED { mean_of((0..c).map(g)) } else { E::zero() };
        let mean_gx = mean_of((0..c).map(|i| g(i) * x_hat(i)));
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
