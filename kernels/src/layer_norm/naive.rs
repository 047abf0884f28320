//! The specification: a pass for the mean, one for the variance, one for the result.
//!
//! Mean and variance are chains of additions, and each waits 3 cycles for the one before it: their order is part of
//! the result, so the compiler may not make vectors of them. Backward, two means of a row come first; then dx, dγ and
//! dβ are made together, one element at a time, and no vectors come of that loop either. A row stays in the first
//! cache between its passes, so they cost no traffic.
//!
//! In the report, 16384 × 384: forward 11.5 ms, 1.8 ns an element, of which the two chains are 1.6; backward 32.6 ms,
//! 5.2 ns. By probes of the memory beside it the bytes need 0.8 and 1.2 ms.

use super::{BackwardInput, Gradients, Input, Output};
use crate::{
    Float,
    moments::{in_range, mean as mean_of, mean_and_rstd},
};

/// y = (x − μ)·rstd·γ + β
pub fn forward<E: Float>(input: Input<'_, E>, output: Output<'_, E>) {
    input.check(&output);
    let Input { rows, c, eps, x, gamma, beta } = input;
    let Output { y, mean, rstd } = output;
    for r in 0..rows {
        let (x, y) = (&x[r * c..][..c], &mut y[r * c..][..c]);
        mean[r] = mean_of(x.iter().copied());
        let variance = mean_of(x.iter().map(|&x| (x - mean[r]).powi(2)));
        let square = variance + E::of(f64::from(eps));
        rstd[r] = square.sqrt().recip();
        if !in_range(square) {
            (mean[r], rstd[r]) = mean_and_rstd(x, eps);
        }
        for i in 0..c {
            let (gamma, beta) = (gamma.map_or(E::one(), |g| g[i]), beta.map_or(E::zero(), |b| b[i]));
            y[i] = (x[i] - mean[r]) * rstd[r] * gamma + beta;
        }
    }
}

/// dx = rstd·(g − mean(g) − x̂·mean(g∘x̂)) with g = dy∘γ, or dx += that with `add`; dγ = Σ dy∘x̂; dβ = Σ dy
pub fn backward<E: Float>(input: BackwardInput<'_, E>, gradients: Gradients<'_, E>) {
    input.check(&gradients);
    let BackwardInput { rows, c, x, gamma, mean, rstd, dy } = input;
    let Gradients { dx, add, mut dgamma, mut dbeta } = gradients;
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
