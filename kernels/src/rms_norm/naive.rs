//! The specification: a pass for the mean square, one for the result.
//!
//! The mean square is one chain of additions, each of which waits 3 cycles for the one before it: their order is part
//! of the result, so the compiler may not make vectors of them. Of the result it does, 4 lanes. Backward there is a
//! chain again, and then dx and dγ are made together, one element at a time. A row stays in the first cache between
//! its passes, so they cost no traffic.
//!
//! In the report, 16384 × 384: forward 6.01 ms, 1.0 ns an element, of which the chain is 0.8; backward 21.5 ms,
//! 3.4 ns. By probes of the memory beside it the bytes need 0.9 and 1.1 ms.

use super::{BackwardInput, Gradients, Input, Output};
use crate::{Float, moments};

/// y = x·rrms·γ
pub fn forward<E: Float>(input: Input<'_, E>, output: Output<'_, E>) {
    input.check(&output);
    let Input { rows, c, eps, x, gamma } = input;
    let Output { y, rrms } = output;
    for r in 0..rows {
        let (x, y) = (&x[r * c..][..c], &mut y[r * c..][..c]);
        let square = x.iter().map(|&x| x * x).sum::<E>() / E::of(c as f64) + E::of(f64::from(eps));
        rrms[r] = if moments::in_range(square) { square.sqrt().recip() } else { moments::rrms(x, eps) };
        for i in 0..c {
            y[i] = x[i] * rrms[r] * gamma.map_or(E::one(), |g| g[i]);
        }
    }
}

/// dx = rrms·(g − x̂·mean(g∘x̂)) with g = dy∘γ, or dx += that with `add`; dγ = Σ dy∘x̂
pub fn backward<E: Float>(input: BackwardInput<'_, E>, gradients: Gradients<'_, E>) {
    input.check(&gradients);
    let BackwardInput { rows, c, x, gamma, rrms, dy } = input;
    let Gradients { dx, add, mut dgamma } = gradients;
    if let Some(dgamma) = &mut dgamma {
        dgamma.fill(E::zero());
    }
    for r in 0..rows {
        let (x, dy, dx) = (&x[r * c..][..c], &dy[r * c..][..c], &mut dx[r * c..][..c]);
        let x_hat = |i: usize| x[i] * rrms[r];
        let g = |i: usize| dy[i] * gamma.map_or(E::one(), |gamma| gamma[i]);
        let mean_gx = (0..c).map(|i| g(i) * x_hat(i)).sum::<E>() / E::of(c as f64);
        for i in 0..c {
            let before = if add { dx[i] } else { E::zero() };
            dx[i] = before + rrms[r] * (g(i) - x_hat(i) * mean_gx);
            if let Some(dgamma) = &mut dgamma {
                dgamma[i] += dy[i] * x_hat(i);
            }
        }
    }
}
