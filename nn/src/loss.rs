//! Losses that are made of other operations. Cross-entropy from logits is an operation of its own: `Var::cross_entropy`.

use gradus_autograd::{Tensor, Var};

fn mean_of_all(x: &Var) -> Var {
    let axes: Vec<usize> = (0..x.shape().len()).collect();
    x.mean(&axes, false)
}

/// The mean of (x − target)².
///
/// # Panics
/// Where the shapes do not broadcast.
pub fn mean_squared_error(x: &Var, target: &Tensor) -> Var {
    mean_of_all(&(x - &Var::constant(target.clone())).square())
}

/// The mean of ln(1 + e^(−t·x)) with t = ±1 for the targets 1 and 0: cross-entropy of one logit. It is written
/// max(x, 0) − x·target + ln(1 + e^(−|x|)), which overflows nowhere.
///
/// # Panics
/// Where the shapes do not broadcast.
pub fn binary_cross_entropy(logits: &Var, target: &Tensor) -> Var {
    let softplus = &logits.relu() + &(&(-&logits.abs()).exp() + 1.0).ln();
    mean_of_all(&(&softplus - &(logits * &Var::constant(target.clone()))))
}
