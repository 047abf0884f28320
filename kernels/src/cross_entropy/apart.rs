//! One operation after the other, each at its best: the log-softmax y of all rows is written to memory, and the losses are
//! picked from it. The fused rung neither writes nor reads y, and its vectors go on from row to row, which those of
//! log-softmax do not.
//!
//! Backward, y is computed again by a subtraction, x − L, and read for its exponential minus the target, by the top rung with y
//! for the logits and 0 for L: 16 bytes an element instead of 8. If y were kept from the forward pass, there would be no
//! subtraction, and the rest is the work of the fused rung: fusion would then save the memory of y, and no time backward.
//!
//! 16384 × 65 forward takes 331 µs and the fused rung 140 (two threads of a Granite Rapids).

use super::{BackwardInput, Input, Output, mean, threads};
use crate::{
    Isa,
    elementwise::{BINARY_RUNGS, Binary},
    parallel::items_per_task,
    reduce::{self, Reduce},
    rows::rows_of_task,
    scratch, softmax,
};
use rayon::prelude::*;

/// What the choice costs a row, as [`items_per_task`] counts: some cache lines from memory.
const CHOICE: usize = 64;

/// The mean loss of the rows that count; fills `losses` and `lse`. Panics as [`super::forward`].
pub fn forward(isa: Isa, input: Input<'_>, output: Output<'_>) -> f32 {
    let count = input.check(&output);
    let Input { rows, v, options, logits, .. } = input;
    let Output { losses, lse } = output;
    scratch::with(rows * v, |y: &mut [f32]| {
        softmax::streamed::log_forward(isa, rows, v, logits, y);
        if options.label_smoothing > 0.0 {
            let mean = reduce::RUNGS[reduce::RUNGS.len() - 1].run;
            mean(isa, Reduce::Mean, &[rows], &[v], &[v], &[1], y, losses);
        }
        let per_task = items_per_task(rows, CHOICE);
        let outputs = Output { losses: &mut *losses, lse }.of_tasks(per_task);
        outputs.enumerate().for_each(|(i, output)| {
            let (_, elements) = rows_of_task(i, per_task, rows, v);
            choose(input.of_task(i, per_task), &y[elements], output);
        });
    });
    mean(losses, count)
}

/// The losses and log-sum-exps of rows whose log-softmax is y; where the target is smoothed, `losses` holds the means of y.
fn choose(input: Input<'_>, y: &[f32], output: Output<'_>) {
    let Input { v, options, logits, targets, .. } = input;
    let smoothing = options.label_smoothing;
    // Of the first class that is about as probable as the mean, y is small, and x − y is L to the last digits.
    let probable = -(v as f32).ln() - 1.0;
    for (r, (loss, lse)) in output.losses.iter_mut().zip(output.lse).enumerate() {
        let (x, y) = (&logits[r * v..][..v], &y[r * v..][..v]);
        *lse = y.iter().position(|&y| y >= probable).map_or(f32::NAN, |j| x[j] - y[j]);
        let mean = if smoothing > 0.0 { *loss } else { 0.0 };
        *loss = match targets[r] {
            target if options.ignores(target) => 0.0,
            _ if lse.is_nan() => f32::NAN, // no distribution at all
            target => -(1.0 - smoothing) * y[target as usize] - smoothing * mean,
        };
    }
}

/// dlogits = d_loss / count · (softmax − target distribution). Panics as [`super::backward`].
pub fn backward(isa: Isa, input: BackwardInput<'_>, dlogits: &mut [f32]) {
    input.check(dlogits);
    let BackwardInput { rows, v, logits, lse, .. } = input;
    scratch::with(rows * v, |y: &mut [f32]| {
        let difference = BINARY_RUNGS[BINARY_RUNGS.len() - 1].run;
        difference(isa, Binary::Sub, &[rows, v], logits, &[v, 1], lse, &[1, 0], y);
        scratch::with(rows, |zeros: &mut [f32]| {
            zeros.fill(0.0); // the log-sum-exp of probabilities
            threads::backward(isa, BackwardInput { logits: y, lse: zeros, ..input }, dlogits);
        });
    });
}
