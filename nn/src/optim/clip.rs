//! Clipping by the global norm: one bad batch cannot throw the weights away (Pascanu, Mikolov and Bengio 2013).

use crate::module::Module;

/// The norm of all gathered gradients together, √(Σ g²); parameters without a gradient count as 0.
pub fn global_norm(module: &dyn Module) -> f64 {
    let parameters = module.distinct_parameters();
    let squares = parameters.iter().filter_map(|(_, parameter)| parameter.grad()).map(|grad| grad.sum_of_squares());
    squares.sum::<f64>().sqrt()
}

/// What gradients of this norm are to be multiplied with so that it is at most `max_norm`: as PyTorch, with 1e-6 added
/// to the norm; 1 where that makes it small enough, or where `max_norm` is 0, which means no limit.
pub fn clip_factor(norm: f64, max_norm: f64) -> f64 {
    if max_norm > 0.0 { (max_norm / (norm + 1e-6)).min(1.0) } else { 1.0 }
}
