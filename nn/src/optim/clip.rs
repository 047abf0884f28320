//! Clipping by the global norm: it bounds the step that one unusual batch can cause (Pascanu, Mikolov and Bengio 2013).

use super::setting::{InvalidSetting, check, not_negative};
use crate::module::Module;
use gradus_autograd::Tensor;
use gradus_tensor::ops::shape::concat;

/// The global norm √(Σ g²) over the gradients of all parameters; parameters without a gradient count as 0.
pub fn global_norm(module: &dyn Module) -> f64 {
    let gradients = module.distinct_parameters().into_iter().filter_map(|(_, parameter)| parameter.grad());
    let squares: Vec<Tensor> = gradients.map(|gradient| gradient.sum_of_squares().reshape(&[1])).collect();
    if squares.iter().all(|square| square.device().is_host()) {
        return squares.iter().map(Tensor::item).sum::<f64>().sqrt();
    }
    // On a device they are put side by side, so that the host waits once.
    let together = concat(&squares.iter().collect::<Vec<_>>(), 0).unwrap_or_else(|error| panic!("{error}"));
    together.to_vec::<f64>().iter().sum::<f64>().sqrt()
}

/// That gradients can be clipped to `max_norm`: a finite number of at least 0 in `f32`, which the factor is applied in. A
/// norm above 0 that rounds to 0 there is refused, for it would clip every gradient to nothing.
///
/// # Errors
/// With the name `max_norm`.
pub fn validate_max_norm(max_norm: f64) -> Result<(), InvalidSetting> {
    let in_f32 = max_norm as f32;
    not_negative("max_norm", in_f32)?;
    check("max_norm", in_f32, "must be 0, for no limit, or at least 1e-45", in_f32 > 0.0 || max_norm == 0.0)
}

/// The factor min(1, max_norm / (norm + 1e-6)) that clips gradients of this norm, as in PyTorch; 1 where `max_norm` is 0,
/// which means no limit.
pub fn clip_factor(norm: f64, max_norm: f64) -> f64 {
    if max_norm > 0.0 { (max_norm / (norm + 1e-6)).min(1.0) } else { 1.0 }
}
