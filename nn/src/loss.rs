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

/// The mean over rows of maxⱼ (xⱼ + \[j ≠ y\]) − x_y, with the class y of the row: the hinge loss of several classes (Crammer
/// and Singer 2001). A row costs nothing once its class is at least 1 above every other. Logits [N, C], labels \[N\] of
/// type `u32`. A linear layer that makes it small, with weight decay, is a linear support vector machine.
///
/// # Panics
/// Where the shapes do not fit, or a label is no class.
#[track_caller]
pub fn multiclass_hinge(logits: &Var, labels: &Tensor) -> Var {
    let &[rows, classes] = logits.shape() else { panic!("logits are [N, C], and these are {:?}", logits.shape()) };
    assert_eq!(labels.shape(), [rows], "there is one label for each row of logits");
    let mut is_class = vec![0.0_f64; rows * classes];
    for (row, label) in labels.to_vec::<u32>().into_iter().enumerate() {
        assert!((label as usize) < classes, "the label of row {row} is {label}, and there are {classes} classes");
        is_class[row * classes + label as usize] = 1.0;
    }
    let like = logits.value();
    let is_class = Tensor::from_slice(&is_class, &[rows, classes]).to_dtype(like.dtype()).to_device(like.device());
    let is_class = Var::constant(is_class);
    let rivals = &(logits - &is_class) + 1.0; // xⱼ + [j ≠ y]
    mean_of_all(&(&rivals.max(&[1], false) - &(logits * &is_class).sum(&[1], false)))
}
