//! Vectors: the passes of the naive rung on 16 or 8 lanes. While a row is written, the next one is prefetched.
//! γ and its gradient are cut to c elements for the reason in [`crate::layer_norm::simd`].
//!
//! Backward, a row has four sums in turn, as in layer norm: 10% less at 768 × 128, 3 to 12% at 16384 × 384. Forward, where
//! there is a single sum and memory is the limit, they took 8% more at 16384 × 384. What helps forward in the caches is two
//! rows at a time, whose chains wait together: in turn with one by one, on one thread, 400 × 384 16.1 and 23.7 µs, 768 × 128
//! 12.5 and 16.6; past the caches they take 1 to 7% more, so rows go one by one there.

use super::{BackwardInput, Gradients, Input, Output};
use crate::{
    Isa,
    moments::{self, in_range},
    rows::{Access, SUMS, for_vectors, for_vectors_in_turn, parameter, prefetch, total},
    simd::Simd,
    simd_fn,
};

/// y = x·rrms·γ
pub fn forward(isa: Isa, input: Input<'_>, output: Output<'_>) {
    forward_to(isa, false, input, output);
}

/// dx = rrms·(g − x̂·mean(g∘x̂)) with g = dy∘γ, or dx += that with `add`; dγ = Σ dy∘x̂
pub fn backward(isa: Isa, input: BackwardInput<'_>, gradients: Gradients<'_>) {
    backward_to(isa, false, input, gradients);
}

/// Rows that are taken together forward, where memory is not the limit.
const PAIR: usize = 2;

/// [`forward_to`] for the first `R` rows; `x` holds those after them too.
#[inline(always)]
fn forward_rows<S: Simd, const R: usize>(
    s: S,
    far: bool,
    c: usize,
    eps: f32,
    x: &[f32],
    gamma: Option<&[f32]>,
    y: &mut [f32],
    rrms: &mut [f32],
) {
    let row: [&[f32]; R] = std::array::from_fn(|r| &x[r * c..][..c]);
    let (mut squares, mut scale) = ([s.zero(); R], [s.zero(); R]);
    for_vectors!(S, c, |i, at| {
        for r in 0..R {
            let x = at.load(s, &row[r][i..]);
            squares[r] = s.mul_add(x, x, squares[r]);
        }
    });
    for r in 0..R {
        let square = s.reduce_sum(squares[r]) / c as f32 + eps;
        rrms[r] = if in_range(square) { 1.0 / square.sqrt() } else { moments::rrms(row[r], eps) };
        scale[r] = s.splat(rrms[r]);
    }
    for_vectors!(S, c, |i, at| {
        let gamma = parameter(s, at, gamma, i, 1.0);
        for r in 0..R {
            prefetch(x, (R + r) * c + i);
            let x_hat = s.mul(at.load(s, &row[r][i..]), scale[r]);
            at.write(s, far, &mut y[r * c..][..c][i..], s.mul(x_hat, gamma));
        }
    });
}

simd_fn! {
    /// [`forward`]; where `far` is set, y is written past the caches.
    pub(super) fn forward_to<S>(s: S, far: bool, input: Input<'_>, output: Output<'_>) {
        input.check(&output);
        let Input { rows, c, eps, x, gamma } = input;
        let Output { y, rrms } = output;
        let gamma = gamma.map(|g| &g[..c]);
        let pairs = if far { 0 } else { rows / PAIR * PAIR };
        for r in (0..pairs).step_by(PAIR) {
            forward_rows::<S, PAIR>(s, far, c, eps, &x[r * c..], gamma, &mut y[r * c..], &mut rrms[r..]);
        }
        for r in pairs..rows {
            forward_rows::<S, 1>(s, far, c, eps, &x[r * c..], gamma, &mut y[r * c..], &mut rrms[r..]);
        }
        s.fence();
    }
}

simd_fn! {
    /// [`backward`]; where `far` is set, dx is written past the caches.
    pub(super) fn backward_to<S>(s: S, far: bool, input: BackwardInput<'_>, gradients: Gradients<'_>) {
        input.check(&gradients);
        let BackwardInput { rows, c, x, gamma, rrms, dy } = input;
        let Gradients { dx, add, dgamma } = gradients;
        let (gamma, mut dgamma) = (gamma.map(|g| &g[..c]), dgamma.map(|d| &mut d[..c]));
        if let Some(dgamma) = &mut dgamma {
            dgamma.fill(0.0);
        }
        for r in 0..rows {
            let (all_x, all_dy) = (x, dy);
            let (x, dy, dx) = (&x[r * c..][..c], &dy[r * c..][..c], &mut dx[r * c..][..c]);
            let scale = s.splat(rrms[r]);
            let mut sum_gx = [s.zero(); SUMS];
            for_vectors_in_turn!(S, SUMS, c, |a, i, at| {
                let g = s.mul(at.load(s, &dy[i..]), parameter(s, at, gamma, i, 1.0));
                sum_gx[a] = s.mul_add(g, s.mul(at.load(s, &x[i..]), scale), sum_gx[a]);
            });
            let mean_gx = s.splat(total(s, sum_gx) / c as f32);
            for_vectors!(S, c, |i, at| {
                let x_hat = s.mul(at.load(s, &x[i..]), scale);
                prefetch(all_x, (r + 1) * c + i);
                prefetch(all_dy, (r + 1) * c + i);
                let d = at.load(s, &dy[i..]);
                let g = s.mul(d, parameter(s, at, gamma, i, 1.0));
                let here = s.mul(scale, s.neg_mul_add(x_hat, mean_gx, g));
                let here = if add { s.add(at.load(s, &dx[i..]), here) } else { here };
                at.write(s, far, &mut dx[i..], here);
                if let Some(dgamma) = &mut dgamma {
                    let sum = at.load(s, &dgamma[i..]);
                    at.store(s, &mut dgamma[i..], s.mul_add(d, x_hat, sum));
                }
            });
        }
        s.fence();
    }
}
