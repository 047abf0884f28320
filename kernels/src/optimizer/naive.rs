//! The specifications of the three operations.
//!
//! Elements of AdamW and SGD do not depend on each other, and the compiler makes vectors of 4 of both loops. In the caches AdamW
//! then takes 3 cycles an element, for a root and two divisions every four elements; elsewhere memory is the limit.
//!
//! Σ g² is one chain of additions. Their order is part of the result, so the compiler may not make vectors.

use super::{AdamW, Sgd};
use crate::Float;

/// One step of AdamW: see [`AdamW`].
pub fn adamw<E: Float>(options: AdamW, p: &mut [E], g: &[E], m: &mut [E], v: &mut [E]) {
    options.expect(p.len(), g.len(), m.len(), v.len());
    let of = |x: f32| E::of(f64::from(x));
    let (beta1, beta2) = (of(options.beta1), of(options.beta2));
    let correction = |beta: f32| E::of(1.0 - f64::from(beta).powf(options.step as f64));
    let (correction1, correction2) = (correction(options.beta1), correction(options.beta2));
    for i in 0..p.len() {
        let g = g[i] * of(options.grad_scale);
        p[i] *= E::one() - of(options.lr) * of(options.weight_decay);
        m[i] = beta1 * m[i] + (E::one() - beta1) * g;
        v[i] = beta2 * v[i] + (E::one() - beta2) * g * g;
        let denominator = v[i].sqrt() / correction2.sqrt() + of(options.eps);
        p[i] -= of(options.lr) / correction1 * m[i] / denominator;
    }
}

/// One step of SGD: see [`Sgd`].
pub fn sgd<E: Float>(options: Sgd, p: &mut [E], g: &[E], velocity: &mut [E]) {
    options.expect(p.len(), g.len(), velocity.len());
    let of = |x: f32| E::of(f64::from(x));
    for i in 0..p.len() {
        let g = g[i] * of(options.grad_scale) + of(options.weight_decay) * p[i];
        velocity[i] = of(options.momentum) * velocity[i] + g;
        let step = if options.nesterov { g + of(options.momentum) * velocity[i] } else { velocity[i] };
        p[i] -= of(options.lr) * step;
    }
}

/// Σ g², in `f64`.
pub fn sum_of_squares<E: Float>(g: &[E]) -> f64 {
    g.iter().map(|g| g.f64() * g.f64()).sum()
}

/// [`sum_of_squares`] written to `sum`, one element.
pub fn sum_of_squares_to<E: Float>(g: &[E], sum: &mut [f64]) {
    assert_eq!(sum.len(), 1, "the sum is one element");
    sum[0] = sum_of_squares(g);
}
