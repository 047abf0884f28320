//! Vectors: the passes of the naive rung on 16 or 8 lanes. While a row is written, the next one is asked for.
//! γ and its gradient are cut to c elements for the reason in [`crate::layer_norm::simd`].
//!
//! Backward, a row has four sums in turn, as in layer norm: 10% less at 768 × 128, 3 to 12% at 16384 × 384. Forward, where
//! there is a single sum and memory is the limit, they took 8% more at 16384 × 384.

use super::{BackwardInput, Gradients, Input, Output};
use crate::{
    Isa,
    rows::{Access, SUMS, for_vectors, for_vectors_in_turn, parameter, prefetch, total},
    simd_fn,
};

/// y = x·rrms·γ
pub fn forward(isa: Isa, input: Input<'_>, output: Output<'_>) {
    forward_to(isa, false, input, output);
}

/// dx = rrms·(g − x̂·mean(g∘x̂)) with g = dy∘γ, or dx += that with `add`; dγ = Σ dy∘x̂
pub fn backward(isa: Isa, input: BackwardInput<'_>, gradients: Gradients<'_>) {
    backward_to(isa, false, input, gradients);
}

simd_fn! {
    /// [`forward`]; where `far` is set, y is written past the caches.
    pub(super) fn forward_to<S>(s: S, far: bool, input: Input<'_>, output: Output<'_>) {
        input.check(&output);
        let Input { rows, c, eps, x, gamma } = input;
        let Output { y, rrms } = output;
        let gamma = gamma.map(|g| &g[..c]);
        for r in 0..rows {
            let (all, x, y) = (x, &x[r * c..][..c], &mut y[r * c..][..c]);
            let mut squares = s.zero();
            for_vectors!(S, c, |i, at| {
                let x = at.load(s, &x[i..]);
                squares = s.mul_add(x, x, squares);
            });
            rrms[r] = 1.0 / (s.reduce_sum(squares) / c as f32 + eps).sqrt();
            let scale = s.splat(rrms[r]);
            for_vectors!(S, c, |i, at| {
                prefetch(all, (r + 1) * c + i);
                let x_hat = s.mul(at.load(s, &x[i..]), scale);
                at.write(s, far, &mut y[i..], s.mul(x_hat, parameter(s, at, gamma, i, 1.0)));
            });
        }
        s.fence();
    }
}

simd_fn! {
    /// [`backward`]; where `far` is set, dx is written past the caches.
    pub(super) fn backward_to<S>(s: S, far: bool, input: BackwardInput<'_>, gradients: Gradients<'_>) {
        input.check(&gradients);
        let BackwardInput { rows, c, x, gamma, rrms, dy } = input;
        let Gradients { dx, add, dgamma } = gradients;
        let (gamma, mut dgamma) = (gamma.map(|g| &g[..c]), dgamma.map(|d| &mut d[..c]));
        if let Some(dgamma) = &mut dgamma {
            dgamma.fill(0.0);
        }
        for r in 0..rows {
            let (all_x, all_dy) = (x, dy);
            let (x, dy, dx) = (&x[r * c..][..c], &dy[r * c..][..c], &mut dx[r * c..][..c]);
            let scale = s.splat(rrms[r]);
            let mut sum_gx = [s.zero(); SUMS];
            for_vectors_in_turn!(S, SUMS, c, |a, i, at| {
                let g = s.mul(at.load(s, &dy[i..]), parameter(s, at, gamma, i, 1.0));
                sum_gx[a] = s.mul_add(g, s.mul(at.load(s, &x[i..]), scale), sum_gx[a]);
            });
            let mean_gx = s.splat(total(s, sum_gx) / c as f32);
            for_vectors!(S, c, |i, at| {
                let x_hat = s.mul(at.load(s, &x[i..]), scale);
                prefetch(all_x, (r + 1) * c + i);
                prefetch(all_dy, (r + 1) * c + i);
                let d = at.load(s, &dy[i..]);
                let g = s.mul(d, parameter(s, at, gamma, i, 1.0));
                let here = s.mul(scale, s.neg_mul_add(x_hat, mean_gx, g));
                let here = if add { s.add(at.load(s, &dx[i..]), here) } else { here };
                at.write(s, far, &mut dx[i..], here);
                if let Some(dgamma) = &mut dgamma {
                    let sum = at.load(s, &dgamma[i..]);
                    at.store(s, &mut dgamma[i..], s.mul_add(d, x_hat, sum));
                }
            });
        }
        s.fence();
    }
}
