//! Chunks of rows on all cores.
//!
//! dγ and dβ are sums over all rows. Each chunk adds up its own in scratch memory while it has x̂, and the chunks' sums are
//! added in their order. So there are no atomics, x and dy are read once, and any number of threads gives the same bits,
//! because the chunks follow from the shape alone.
//!
//! Layer norm of 768 × 128, in the caches, is 1.78 times as fast on two threads as on one (Zen 4); from memory less, because
//! the cores share it.

use super::{BackwardInput, Gradients, Input, Output, simd};
use crate::{
    Isa,
    parallel::items_per_task,
    rows::{rows_of_task, tasks_with_sums},
};
use rayon::prelude::*;

impl Input<'_> {
    /// What task `i` reads, where each but the last takes `per_task` rows.
    fn of_task(self, i: usize, per_task: usize) -> Self {
        let (own, elements) = rows_of_task(i, per_task, self.rows, self.c);
        Input { rows: own.len(), x: &self.x[elements], ..self }
    }
}

impl BackwardInput<'_> {
    /// What task `i` reads, where each but the last takes `per_task` rows.
    fn of_task(self, i: usize, per_task: usize) -> Self {
        let (own, elements) = rows_of_task(i, per_task, self.rows, self.c);
        let (x, dy) = (&self.x[elements.clone()], &self.dy[elements]);
        let mean = self.mean.map(|mean| &mean[own.clone()]);
        BackwardInput { rows: own.len(), x, mean, rstd: &self.rstd[own], dy, ..self }
    }
}

/// [`forward`]; where `far` is set, y is written past the caches.
pub(super) fn forward_to(isa: Isa, far: bool, input: Input<'_>, output: Output<'_>) {
    let Input { rows, c, .. } = input;
    let per_task = items_per_task(rows, c);
    if per_task >= rows || c == 0 {
        return simd::forward_to(isa, far, input, output);
    }
    input.check(&output);
    let Output { y, mean, rstd } = output;
    let task = |i: usize, y: &mut [f32], mean: Option<&mut [f32]>, rstd: &mut [f32]| {
        simd::forward_to(isa, far, input.of_task(i, per_task), Output { y, mean, rstd });
    };
    let chunks = y.par_chunks_mut(per_task * c).zip(rstd.par_chunks_mut(per_task)).enumerate();
    match mean {
        Some(mean) => {
            let chunks = chunks.zip(mean.par_chunks_mut(per_task));
            chunks.for_each(|((i, (y, rstd)), mean)| task(i, y, Some(mean), rstd));
        }
        None => chunks.for_each(|(i, (y, rstd))| task(i, y, None, rstd)),
    }
}

/// [`backward`]; where `far` is set, dx is written past the caches.
pub(super) fn backward_to(isa: Isa, far: bool, input: BackwardInput<'_>, gradients: Gradients<'_>) {
    let BackwardInput { rows, c, .. } = input;
    let per_task = items_per_task(rows, 2 * c);
    if per_task >= rows || c == 0 {
        return simd::backward_to(isa, far, input, gradients);
    }
    input.check(&gradients);
    let Gradients { dx, add, dgamma, dbeta } = gradients;
    tasks_with_sums(isa, per_task, c, dx, [dgamma, dbeta], |i, dx, [dgamma, dbeta]| {
        simd::backward_to(isa, far, input.of_task(i, per_task), Gradients { dx, add, dgamma, dbeta });
    });
}

/// y = (x − μ)·rstd·γ + β, or without the mean y = x·rstd·γ. Panics as [`super::forward`].
pub fn forward(isa: Isa, input: Input<'_>, output: Output<'_>) {
    forward_to(isa, false, input, output);
}

/// dx = rstd·(g − mean(g) − x̂·mean(g∘x̂)) with g = dy∘γ, or dx += that with `add`; dγ = Σ dy∘x̂; dβ = Σ dy.
/// Panics as [`super::backward`].
pub fn backward(isa: Isa, input: BackwardInput<'_>, gradients: Gradients<'_>) {
    backward_to(isa, false, input, gradients);
}
