//! Large results are written past the caches: see [`crate::softmax::stream`].

use super::{BackwardInput, Gradients, Input, Output, threads};
use crate::{Isa, rows::is_far};

/// y = x·rrms·γ
pub fn forward(isa: Isa, input: Input<'_>, output: Output<'_>) {
    threads::forward_to(isa, is_far(output.y.len()), input, output);
}

/// dx = rrms·(g − x̂·mean(g∘x̂)) with g = dy∘γ, or dx += that with `add`; dγ = Σ dy∘x̂
pub fn backward(isa: Isa, input: BackwardInput<'_>, gradients: Gradients<'_>) {
    let far = is_far(gradients.dx.len()) && !gradients.add; // what has been read is near
    threads::backward_to(isa, far, input, gradients);
}
