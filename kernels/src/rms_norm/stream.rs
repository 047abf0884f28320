//! Large results are written past the caches: see [`crate::softmax::stream`].

use super::threads;
use crate::{Isa, rows::is_far};

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
    threads::forward_to(isa, is_far(y.len()), rows, c, eps, x, gamma, y, rrms);
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
    let far = is_far(dx.len()) && !add; // what has been read is near
    threads::backward_to(isa, far, rows, c, x, gamma, rrms, dy, dx, add, dgamma);
}
