//! Chunks of rows on all cores; each sums its part of dγ into scratch, and the parts are added in their order, as in
//! [`crate::layer_norm::threads`].

use super::{expect, simd};
use crate::{Isa, parallel::items_per_task, rows::add_rows, scratch};
use rayon::prelude::*;

/// y = x·rrms·γ; `far`: whether it is written past the caches.
pub(super) fn forward_to(
    isa: Isa,
    far: bool,
    rows: usize,
    c: usize,
    eps: f32,
    x: &[f32],
    gamma: Option<&[f32]>,
    y: &mut [f32],
    rrms: &mut [f32],
) {
    let per_task = items_per_task(rows, c);
    if per_task >= rows || c == 0 {
        return simd::forward_to(isa, far, rows, c, eps, x, gamma, y, rrms);
    }
    expect(rows, c, &[x.len(), y.len()], rrms.len(), &[]);
    let matrices = y.par_chunks_mut(per_task * c).zip(x.par_chunks(per_task * c));
    matrices.zip(rrms.par_chunks_mut(per_task)).for_each(|((y, x), rrms)| {
        simd::forward_to(isa, far, rrms.len(), c, eps, x, gamma, y, rrms);
    });
}

/// dx = rrms·(g − x̂·mean(g∘x̂)) with g = dy∘γ, or dx += that with `add`; dγ = Σ dy∘x̂
///
/// `far`: whether dx is written past the caches.
pub(super) fn backward_to(
    isa: Isa,
    far: bool,
    rows: usize,
    c: usize,
    x: &[f32],
    gamma: Option<&[f32]>,
    rrms: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    add: bool,
    dgamma: Option<&mut [f32]>,
) {
    let per_task = items_per_task(rows, 2 * c);
    if per_task >= rows || c == 0 {
        return simd::backward_to(isa, far, rows, c, x, gamma, rrms, dy, dx, add, dgamma);
    }
    expect(rows, c, &[x.len(), dy.len(), dx.len()], rrms.len(), &[dgamma.as_ref().map(|d| d.len())]);
    let wanted = dgamma.is_some();
    scratch::with(rows.div_ceil(per_task) * c, |partial: &mut [f32]| {
        let inputs = x.par_chunks(per_task * c).zip(dy.par_chunks(per_task * c)).zip(rrms.par_chunks(per_task));
        let outputs = dx.par_chunks_mut(per_task * c).zip(partial.par_chunks_mut(c));
        outputs.zip(inputs).for_each(|((dx, partial), ((x, dy), rrms))| {
            simd::backward_to(isa, far, rrms.len(), c, x, gamma, rrms, dy, dx, add, wanted.then_some(partial));
        });
        if let Some(dgamma) = dgamma {
            add_rows(isa, partial, c, 0, dgamma);
        }
    });
}

/// y = x·rrms·γ
pub fn forward(
    isa: Isa,
    rows: usize,
    c: usize,
    eps: f32,
    x: &[f32],
    gamma: Option<&[f32]>,
    y: &mut [f32],
    rrms: &mut [f32],
) {
    forward_to(isa, false, rows, c, eps, x, gamma, y, rrms);
}

/// dx = rrms·(g − x̂·mean(g∘x̂)) with g = dy∘γ, or dx += that with `add`; dγ = Σ dy∘x̂
pub fn backward(
    isa: Isa,
    rows: usize,
    c: usize,
    x: &[f32],
    gamma: Option<&[f32]>,
    rrms: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    add: bool,
    dgamma: Option<&mut [f32]>,
) {
    backward_to(isa, false, rows, c, x, gamma, rrms, dy, dx, add, dgamma);
}
