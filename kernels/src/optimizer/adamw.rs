//! AdamW: the first and second moment of the gradient, corrected for their start at zero, and decoupled weight decay.
//!
//! One pass reads p, g, m and v and writes p, m and v. A chain of tensor operations would move each of them several
//! times. What is the same for all elements (the corrections, lr / correction1) is computed once, in `f64`. A
//! division and a root an element are no hindrance: 16 of them take 20 cycles, about as long as their 448 bytes
//! take from the third cache, and less than from memory (Zen 4).
//!
//! All four arrays are prefetched 2 KiB ahead, because in training they are in no cache. Roots and divisions fill the
//! reorder buffer of the processor, so that without prefetches it would wait at the beginning of every page.

use super::{naive, per_task};
use crate::{
    Isa, Rung,
    rows::{AHEAD, Access, for_vectors, prefetch},
    simd_fn,
};
use rayon::prelude::*;

/// The settings of one step of AdamW (Loshchilov and Hutter, 2019; with the decay times lr, as in PyTorch):
///
/// g ← g·grad_scale; p ← p·(1 − lr·weight_decay); m ← β₁·m + (1 − β₁)·g; v ← β₂·v + (1 − β₂)·g²;
/// p ← p − lr/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + eps), with t = step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// The learning rate.
    pub lr: f32,
    /// β₁: how much of the old first moment stays, in [0, 1).
    pub beta1: f32,
    /// β₂: how much of the old second moment stays, in [0, 1).
    pub beta2: f32,
    /// What keeps the division from zero.
    pub eps: f32,
    /// λ: the share of a parameter, times lr, that decays away in a step, whatever its gradient.
    pub weight_decay: f32,
    /// The number of this step, from 1.
    pub step: u64,
    /// What every gradient is multiplied with first: 1, or less where the global norm is clipped.
    pub grad_scale: f32,
}

impl AdamW {
    pub(super) fn expect(&self, p: usize, g: usize, m: usize, v: usize) {
        assert!(p == g && p == m && p == v, "p, g, m and v have {p}, {g}, {m} and {v} elements");
        assert!(self.step > 0, "the first step of AdamW has the number 1");
        for beta in [self.beta1, self.beta2] {
            assert!((0.0..1.0).contains(&beta), "AdamW with a beta of {beta}");
        }
    }
}

/// `(isa, options, p, g, m, v)`
pub type Step = fn(Isa, AdamW, &mut [f32], &[f32], &mut [f32], &mut [f32]);

/// The rungs of AdamW, from the specification upwards.
pub static ADAMW_RUNGS: [Rung<Step>; 3] = [
    Rung {
        name: "naive",
        idea: "one fused pass, an element at a time",
        run: |_, options, p, g, m, v| naive::adamw(options, p, g, m, v),
        simd: false,
    },
    Rung { name: "simd", idea: "16 or 8 lanes", run: simd, simd: true },
    Rung {
        name: "threads",
        idea: "chunks on all cores, which have more memory bandwidth than one",
        run: threads,
        simd: true,
    },
];

simd_fn! {
    /// The step on vectors. Panics as [`adamw`].
    pub fn simd<S>(s: S, options: AdamW, p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) {
        options.expect(p.len(), g.len(), m.len(), v.len());
        let splat = |x: f64| s.splat(x as f32);
        let (beta1, beta2, lr) = (f64::from(options.beta1), f64::from(options.beta2), f64::from(options.lr));
        let (keep1, add1, keep2, add2) = (splat(beta1), splat(1.0 - beta1), splat(beta2), splat(1.0 - beta2));
        let t = options.step as f64;
        let root2 = splat(1.0 / (1.0 - beta2.powf(t)).sqrt());
        let rate = splat(-lr / (1.0 - beta1.powf(t)));
        let decay = splat(1.0 - lr * f64::from(options.weight_decay));
        let (eps, grad_scale) = (s.splat(options.eps), s.splat(options.grad_scale));
        for_vectors!(S, p.len(), |i, at| {
            for x in [&*p, g, &*m, &*v] {
                prefetch(x, i + AHEAD);
            }
            let g = s.mul(at.load(s, &g[i..]), grad_scale);
            let mean = s.mul_add(keep1, at.load(s, &m[i..]), s.mul(add1, g));
            let square = s.mul_add(keep2, at.load(s, &v[i..]), s.mul(s.mul(add2, g), g));
            let denominator = s.mul_add(s.sqrt(square), root2, eps);
            let decayed = s.mul(at.load(s, &p[i..]), decay);
            at.store(s, &mut p[i..], s.add(decayed, s.div(s.mul(rate, mean), denominator)));
            at.store(s, &mut m[i..], mean);
            at.store(s, &mut v[i..], square);
        });
    }
}

/// The step on vectors, in chunks on all cores. Panics as [`adamw`].
pub fn threads(isa: Isa, options: AdamW, p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) {
    let chunk = per_task(p.len());
    if chunk >= p.len() {
        return simd(isa, options, p, g, m, v);
    }
    options.expect(p.len(), g.len(), m.len(), v.len());
    let state = m.par_chunks_mut(chunk).zip(v.par_chunks_mut(chunk));
    p.par_chunks_mut(chunk).zip(g.par_chunks(chunk)).zip(state).for_each(|((p, g), (m, v))| {
        simd(isa, options, p, g, m, v);
    });
}

/// One step of AdamW on the parameters `p` with gradients `g`; `m` and `v` are the first and second moments, zero before the
/// first step.
///
/// # Panics
/// Unless all are of one length, `step` is at least 1 and both betas are in [0, 1).
pub fn adamw(options: AdamW, p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) {
    threads(Isa::active(), options, p, g, m, v);
}
