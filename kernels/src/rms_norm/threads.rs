//! Chunks of rows on all cores; each sums its part of dγ into scratch, and the parts are added in their order, as in
//! [`crate::layer_norm::threads`].
//!
//! Two cores have twice the arithmetic and less than twice the memory, so it should buy less than a factor of two
//! where the data is far.
//!
//! In the report, 16384 × 384, 2 threads against one: forward 1.18 ms and 1.62 ms, 1.37 times as fast, backward
//! 1.86 ms and 2.70 ms, 1.45 times. With the lines that a plain store reads before it writes them, that is 64 and
//! 54 GB/s, about what two threads copy in memory; the rung above does without that reading.

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

impl<'a> Output<'a> {
    /// What each task writes, of `per_task` rows.
    fn of_tasks(self, per_task: usize, c: usize) -> impl IndexedParallelIterator<Item = Output<'a>> {
        let chunks = self.y.par_chunks_mut(per_task * c).zip(self.rrms.par_chunks_mut(per_task));
        chunks.map(|(y, rrms)| Output { y, rrms })
    }
}

impl BackwardInput<'_> {
    /// What task `i` reads, where each but the last takes `per_task` rows.
    fn of_task(self, i: usize, per_task: usize) -> Self {
        let (own, elements) = rows_of_task(i, per_task, self.rows, self.c);
        let (x, dy) = (&self.x[elements.clone()], &self.dy[elements]);
        BackwardInput { rows: own.len(), x, rrms: &self.rrms[own], dy, ..self }
    }
}

/// y = x·rrms·γ; `far`: whether it is written past the caches.
pub(super) fn forward_to(isa: Isa, far: bool, input: Input<'_>, output: Output<'_>) {
    let Input { rows, c, .. } = input;
    let per_task = items_per_task(rows, c);
    if per_task >= rows || c == 0 {
        return simd::forward_to(isa, far, input, output);
    }
    input.check(&output);
    output.of_tasks(per_task, c).enumerate().for_each(|(i, output)| {
        simd::forward_to(isa, far, input.of_task(i, per_task), output);
    });
}

/// dx = rrms·(g − x̂·mean(g∘x̂)) with g = dy∘γ, or dx += that with `add`; dγ = Σ dy∘x̂
///
/// `far`: whether dx is written past the caches.
pub(super) fn backward_to(isa: Isa, far: bool, input: BackwardInput<'_>, gradients: Gradients<'_>) {
    let BackwardInput { rows, c, .. } = input;
    let per_task = items_per_task(rows, 2 * c);
    if per_task >= rows || c == 0 {
        return simd::backward_to(isa, far, input, gradients);
    }
    input.check(&gradients);
    let Gradients { dx, add, dgamma } = gradients;
    tasks_with_sums(isa, per_task, c, dx, [dgamma], |i, dx, [dgamma]| {
        simd::backward_to(isa, far, input.of_task(i, per_task), Gradients { dx, add, dgamma });
    });
}

/// y = x·rrms·γ
pub fn forward(isa: Isa, input: Input<'_>, output: Output<'_>) {
    forward_to(isa, false, input, output);
}

/// dx = rrms·(g − x̂·mean(g∘x̂)) with g = dy∘γ, or dx += that with `add`; dγ = Σ dy∘x̂
pub fn backward(isa: Isa, input: BackwardInput<'_>, gradients: Gradients<'_>) {
    backward_to(isa, false, input, gradients);
}
