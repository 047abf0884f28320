//! Chunks of rows on all cores. The losses go to their places and are added afterwards, in one order for any number of
//! threads.

use super::{Options, expect, mean, simd};
use crate::{
    Isa,
    parallel::items_per_task,
    rows::{expect_len, is_far},
};
use rayon::prelude::*;

/// The mean loss of the rows that count; fills `losses` and `lse`.
pub fn forward(
    isa: Isa,
    rows: usize,
    v: usize,
    options: Options,
    logits: &[f32],
    targets: &[u32],
    losses: &mut [f32],
    lse: &mut [f32],
) -> f32 {
    let per_task = items_per_task(rows, v);
    if per_task >= rows {
        return simd::forward(isa, rows, v, options, logits, targets, losses, lse);
    }
    let count = expect(rows, v, options, logits.len(), targets, &[losses.len(), lse.len()]);
    let inputs = logits.par_chunks(per_task * v).zip(targets.par_chunks(per_task));
    let outputs = losses.par_chunks_mut(per_task).zip(lse.par_chunks_mut(per_task));
    inputs.zip(outputs).for_each(|((logits, targets), (losses, lse))| {
        simd::forward_rows(isa, v, options, logits, targets, losses, lse);
    });
    mean(losses, count)
}

/// dlogits = d_loss / count · (softmax − target distribution)
pub fn backward(
    isa: Isa,
    rows: usize,
    v: usize,
    options: Options,
    logits: &[f32],
    targets: &[u32],
    lse: &[f32],
    d_loss: f32,
    dlogits: &mut [f32],
) {
    let per_task = items_per_task(rows, v);
    if per_task >= rows {
        return simd::backward(isa, rows, v, options, logits, targets, lse, d_loss, dlogits);
    }
    let count = expect(rows, v, options, logits.len(), targets, &[lse.len()]);
    expect_len("dlogits", rows, v, dlogits.len());
    let d_row = d_loss / count as f32;
    // The target's gradient is corrected in memory, which has to be rare where it is far.
    let far = is_far(dlogits.len()) && v >= 1024;
    let inputs = logits.par_chunks(per_task * v).zip(targets.par_chunks(per_task)).zip(lse.par_chunks(per_task));
    dlogits.par_chunks_mut(per_task * v).zip(inputs).for_each(|(dlogits, ((logits, targets), lse))| {
        simd::backward_rows(isa, far, v, options, logits, targets, lse, d_row, dlogits);
    });
}
