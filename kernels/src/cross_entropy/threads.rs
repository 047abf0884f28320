//! Chunks of rows on all cores. The losses go to their places and are added afterwards, in one order for any number
//! of threads.
//!
//! The rung below is bound by the exponential, so a second core should halve the time. What keeps it from that is
//! memory, where the logits are many: a large gradient is therefore written past the caches, as in
//! [`crate::softmax::streamed`].
//!
//! In the report, 2 threads against one: 768 × 65 10.5 µs and 19.2 µs forward, 16384 × 65 161 µs and 307 µs, 1.83 and
//! 1.90 times as fast. Backward at 16384 × 65 201 µs and 313 µs, 1.56 times, in a stretch with other work on the
//! machine: the best repetitions took 106 and 205 µs. 256 × 50257, 51 MB of logits: forward 1.96 ms and 3.14 ms, 1.60
//! times (at best 1.52 and 2.97), backward 1.99 ms and 3.28 ms, 1.65 times, where probes of the memory beside it
//! needed 1.93 ms for the same bytes.

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

/// The mean loss of the rows that count; fills `losses` and `lse`.
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

/// dlogits = d_loss / count · (softmax − target distribution)
pub fn backward(isa: Isa, input: BackwardInput<'_>, dlogits: &mut [f32]) {
    let BackwardInput { rows, v, d_loss, .. } = input;
    let per_task = items_per_task(rows, v);
    if per_task >= rows {
        return simd::backward(isa, input, dlogits);
    }
    let count = input.check(dlogits);
    let d_row = d_loss[0] / count as f32;
    // The target's gradient is corrected in memory, which has to be rare where it is far.
    let far = is_far(dlogits.len()) && v >= 1024;
    dlogits.par_chunks_mut(per_task * v).enumerate().for_each(|(i, dlogits)| {
        simd::backward_rows(isa, far, input.of_task(i, per_task), d_row, dlogits);
    });
}
