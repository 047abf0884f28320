//! Losses that are made of other operations. Cross-entropy from logits is an operation of its own: `Var::cross_entropy`.

use gradus_autograd::{Tensor, Var};

/// Broadcasting a target [N] against an output [N, 1] would quietly compare all N² pairs.
#[track_caller]
fn same_shape(x: &Var, target: &Tensor) {
    assert_eq!(x.shape(), target.shape(), "a loss compares values with targets of their own shape");
}

fn mean_of_all(x: &Var) -> Var {
    let axes: Vec<usize> = (0..x.shape().len()).collect();
    x.mean(&axes, false)
}

/// The mean of (x − target)².
///
/// # Panics
/// Where the shapes differ.
#[track_caller]
pub fn mean_squared_error(x: &Var, target: &Tensor) -> Var {
    same_shape(x, target);
    mean_of_all(&(x - &Var::constant(target.clone())).square())
}

/// The mean of −target·ln p − (1 − target)·ln(1 − p) with p = 1 / (1 + e^(−x)): cross-entropy of one logit x, for targets
/// between 0 and 1. It is written max(x, 0) − x·target + ln(1 + e^(−|x|)), which overflows nowhere.
///
/// Its derivative is (p − target) / N, also at x = 0: there [`Var::maximum`] gives ½, as p is, where relu would give 0.
///
/// # Panics
/// Where the shapes differ.
#[track_caller]
pub fn binary_cross_entropy(logits: &Var, target: &Tensor) -> Var {
    same_shape(logits, target);
    let zero = Var::constant(target.new_zeros(&[]));
    let softplus = &logits.maximum(&zero) + &(&(-&logits.abs()).exp() + 1.0).ln(); // ln(1 + eˣ)
    mean_of_all(&(&softplus - &(logits * &Var::constant(target.clone()))))
}
