//! Chunks of rows on all cores.
//!
//! dγ and dβ are sums over all rows. Each chunk sums its own into scratch, while x̂ is at hand, and the chunks' sums are
//! added in their order: no atomics, one read of x and dy, and the same bits for any number of threads, because the
//! chunks follow from the shape alone.

use super::{expect, simd};
use crate::{Isa, parallel::items_per_task, rows::add_rows, scratch};
use rayon::prelude::*;

/// y = (x − μ)·rstd·γ + β; `far`: whether it is written past the caches.
pub(super) fn forward_to(
    isa: Isa,
    far: bool,
    rows: usize,
    c: usize,
    eps: f32,
    x: &[f32],
    gamma: Option<&[f32]>,
    beta: Option<&[f32]>,
    y: &mut [f32],
    mean: &mut [f32],
    rstd: &mut [f32],
) {
    let per_task = items_per_task(rows, c);
    if per_task >= rows || c == 0 {
        return simd::forward_to(isa, far, rows, c, eps, x, gamma, beta, y, mean, rstd);
    }
    expect(rows, c, &[x.len(), y.len()], &[mean.len(), rstd.len()], &[]);
    let statistics = mean.par_chunks_mut(per_task).zip(rstd.par_chunks_mut(per_task));
    let matrices = y.par_chunks_mut(per_task * c).zip(x.par_chunks(per_task * c));
    matrices.zip(statistics).for_each(|((y, x), (mean, rstd))| {
        simd::forward_to(isa, far, mean.len(), c, eps, x, gamma, beta, y, mean, rstd);
    });
}

/// dx = rstd·(g − mean(g) − x̂·mean(g∘x̂)) with g = dy∘γ, or dx += that with `add`; dγ = Σ dy∘x̂; dβ = Σ dy
///
/// `far`: whether dx is written past the caches.
pub(super) fn backward_to(
    isa: Isa,
    far: bool,
    rows: usize,
    c: usize,
    x: &[f32],
    gamma: Option<&[f32]>,
    mean: &[f32],
    rstd: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    add: bool,
    dgamma: Option<&mut [f32]>,
    dbeta: Option<&mut [f32]>,
) {
    let per_task = items_per_task(rows, 2 * c);
    if per_task >= rows || c == 0 {
        return simd::backward_to(isa, far, rows, c, x, gamma, mean, rstd, dy, dx, add, dgamma, dbeta);
    }
    let parameters = [dgamma.as_ref().map(|d| d.len()), dbeta.as_ref().map(|d| d.len())];
    expect(rows, c, &[x.len(), dy.len(), dx.len()], &[mean.len(), rstd.len()], &parameters);
    let (want_gamma, want_beta) = (dgamma.is_some(), dbeta.is_some());
    scratch::with(rows.div_ceil(per_task) * 2 * c, |partial: &mut [f32]| {
        let statistics = mean.par_chunks(per_task).zip(rstd.par_chunks(per_task));
        let inputs = x.par_chunks(per_task * c).zip(dy.par_chunks(per_task * c)).zip(statistics);
        let outputs = dx.par_chunks_mut(per_task * c).zip(partial.par_chunks_mut(2 * c));
        outputs.zip(inputs).for_each(|((dx, partial), ((x, dy), (mean, rstd)))| {
            let (dgamma, dbeta) = partial.split_at_mut(c);
            let (dgamma, dbeta) = (want_gamma.then_some(dgamma), want_beta.then_some(dbeta));
            simd::backward_to(isa, far, mean.len(), c, x, gamma, mean, rstd, dy, dx, add, dgamma, dbeta);
        });
        for (first, out) in [(0, dgamma), (c, dbeta)] {
            if let Some(out) = out {
                add_rows(isa, partial, 2 * c, first, out);
            }
        }
    });
}

/// y = (x − μ)·rstd·γ + β
pub fn forward(
    isa: Isa,
    rows: usize,
    c: usize,
    eps: f32,
    x: &[f32],
    gamma: Option<&[f32]>,
    beta: Option<&[f32]>,
    y: &mut [f32],
    mean: &mut [f32],
    rstd: &mut [f32],
) {
    forward_to(isa, false, rows, c, eps, x, gamma, beta, y, mean, rstd);
}

/// dx = rstd·(g − mean(g) − x̂·mean(g∘x̂)) with g = dy∘γ, or dx += that with `add`; dγ = Σ dy∘x̂; dβ = Σ dy
pub fn backward(
    isa: Isa,
    rows: usize,
    c: usize,
    x: &[f32],
    gamma: Option<&[f32]>,
    mean: &[f32],
    rstd: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    add: bool,
    dgamma: Option<&mut [f32]>,
    dbeta: Option<&mut [f32]>,
) {
    backward_to(isa, false, rows, c, x, gamma, mean, rstd, dy, dx, add, dgamma, dbeta);
}
