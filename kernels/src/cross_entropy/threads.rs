//! Chunks of rows on all cores. The losses go to their places and are added afterwards, in one order for any number
//! of threads.
//!
//! The rung below is bound by the exponential, so a second core should halve the time: 16384 × 65 forward is 1.90 times as fast
//! on two threads (Zen 4). Where the logits are many, memory is the limit; a large gradient is therefore written past the
//! caches, as in [`crate::softmax::streamed`].

use super::{BackwardInput, Input, Output, mean, simd};
use crate::{
    Isa,
    parallel::items_per_task,
    rows::{is_far, rows_of_task},
};
use rayon::prelude::*;

impl Input<'_> {
    /// What task `i` reads, where each but the last takes `per_task` rows.
    pub(super) fn of_task(self, i: usize, per_task: usize) -> Self {
        let (own, elements) = rows_of_task(i, per_task, self.rows, self.v);
        Input { rows: own.len(), logits: &self.logits[elements], targets: &self.targets[own], ..self }
    }
}

impl<'a> Output<'a> {
    /// What each task writes, of `per_task` rows.
    pub(super) fn of_tasks(self, per_task: usize) -> impl IndexedParallelIterator<Item = Output<'a>> {
        let chunks = self.losses.par_chunks_mut(per_task).zip(self.lse.par_chunks_mut(per_task));
        chunks.map(|(losses, lse)| Output { losses, lse })
    }
}

impl BackwardInput<'_> {
    /// What task `i` reads, where each but the last takes `per_task` rows.
    fn of_task(self, i: usize, per_task: usize) -> Self {
        let (own, elements) = rows_of_task(i, per_task, self.rows, self.v);
        let (targets, lse) = (&self.targets[own.clone()], &self.lse[own.clone()]);
        BackwardInput { rows: own.len(), logits: &self.logits[elements], targets, lse, ..self }
    }
}

/// The mean loss of the rows that count; fills `losses` and `lse`. Panics as [`super::forward`].
pub fn forward(isa: Isa, input: Input<'_>, output: Output<'_>) -> f32 {
    let per_task = items_per_task(input.rows, input.v);
    if per_task >= input.rows {
        return simd::forward(isa, input, output);
    }
    let count = input.check(&output);
    let Output { losses, lse } = output;
    let outputs = Output { losses: &mut *losses, lse }.of_tasks(per_task);
    outputs.enumerate().for_each(|(i, output)| simd::forward_rows(isa, input.of_task(i, per_task), output));
    mean(losses, count)
}

/// dlogits = d_loss / count · (softmax − target distribution). Panics as [`super::backward`].
pub fn backward(isa: Isa, input: BackwardInput<'_>, dlogits: &mut [f32]) {
    let BackwardInput { rows, v, d_loss, .. } = input;
    let per_task = items_per_task(rows, v);
    if per_task >= rows {
        return simd::backward(isa, input, dlogits);
    }
    let count = input.check(dlogits);
    let d_row = d_loss[0] / count as f32;
    // The target's gradient is corrected in memory, which has to be rare where the gradients went past the caches.
    let far = is_far(dlogits.len()) && v >= 1024;
    dlogits.par_chunks_mut(per_task * v).enumerate().for_each(|(i, dlogits)| {
        simd::backward_rows(isa, far, input.of_task(i, per_task), d_row, dlogits);
    });
}
