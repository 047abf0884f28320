//! Losses against their formulas, central differences, and logits at which a careless formula overflows.

use gradus_autograd::gradcheck::{Case, gradcheck};
use gradus_autograd::{Tape, Tensor, Var};
use gradus_nn::loss::{binary_cross_entropy, mean_squared_error, multiclass_hinge};
use gradus_tensor::Element;

fn column<E: Element>(values: &[E]) -> Tensor {
    Tensor::from_slice(values, &[values.len(), 1])
}

#[test]
fn binary_cross_entropy_is_its_formula() {
    let (x, y) = ([-3.0_f64, -0.5, 0.0, 0.25, 2.0], [0.0, 1.0, 1.0, 0.3, 0.0]);
    let loss = binary_cross_entropy(&Var::constant(column(&x)), &column(&y)).value().item();
    let term = |(x, y): (&f64, &f64)| {
        let p = 1.0 / (1.0 + (-x).exp());
        -y * p.ln() - (1.0 - y) * (1.0 - p).ln()
    };
    let expected = x.iter().zip(&y).map(term).sum::<f64>() / 5.0;
    assert!((loss - expected).abs() < 1e-14, "{loss}, not {expected}");
}

/// Also at 0, where max(x, 0) and |x| have kinks that cancel: a network that begins with zeros is there.
#[test]
fn binary_cross_entropy_passes_gradcheck() {
    for logits in [[0.0_f64; 5], [-3.0, -0.5, 0.0, 0.25, 2.0], [30.0, -30.0, 8.0, -8.0, 1e-3]] {
        let target = column(&[0.0, 1.0, 1.0, 0.3, 0.0]);
        let mut case = Case::new("binary cross-entropy", &[&[5, 1]], move |x| binary_cross_entropy(&x[0], &target));
        case.inputs = vec![column(&logits)];
        gradcheck(&case).unwrap();
    }
}

/// dL/dx = (p − y) / N.
#[test]
fn the_gradient_of_binary_cross_entropy_is_the_error_of_the_probability() {
    let (x, y) = ([0.0_f32, 0.0, 3.0, -2.0], [0.0, 1.0, 0.0, 1.0]);
    let tape = Tape::new();
    let logits = tape.leaf(column(&x));
    let gradients = tape.backward(&binary_cross_entropy(&logits, &column(&y)));
    for ((x, y), g) in x.iter().zip(y).zip(gradients.get(&logits).unwrap().to_vec::<f32>()) {
        let expected = (1.0 / (1.0 + (-x).exp()) - y) / 4.0;
        assert!((g - expected).abs() < 1e-7, "x {x}, target {y}: {g}, not {expected}");
    }
}

#[test]
fn extreme_logits_give_finite_losses_and_gradients() {
    let (x, y) = ([1e4_f32, -1e4, 1e4, -1e4], [1.0_f32, 0.0, 0.0, 1.0]);
    let tape = Tape::new();
    let logits = tape.leaf(column(&x));
    let loss = binary_cross_entropy(&logits, &column(&y));
    assert_eq!(loss.value().item(), 5e3, "two are right and cost nothing, two cost 1e4 each");
    assert_eq!(tape.backward(&loss).get(&logits).unwrap().to_vec::<f32>(), [0.0, 0.0, 0.25, -0.25]);
}

#[test]
fn mean_squared_error_is_its_formula() {
    let x = Tensor::from_slice(&[1.0_f64, -2.0, 0.5, 3.0], &[2, 2]);
    let y = Tensor::from_slice(&[0.0_f64, 1.0, 0.5, 5.0], &[2, 2]);
    let tape = Tape::new();
    let leaf = tape.leaf(x);
    let loss = mean_squared_error(&leaf, &y);
    assert_eq!(loss.value().item(), (1.0 + 9.0 + 0.0 + 4.0) / 4.0);
    assert_eq!(tape.backward(&loss).get(&leaf).unwrap().to_vec::<f64>(), [0.5, -1.5, 0.0, -1.0]);
    gradcheck(&Case::new("mean squared error", &[&[2, 2]], move |x| mean_squared_error(&x[0], &y))).unwrap();
}

#[test]
#[should_panic(expected = "their own shape")]
fn a_target_is_not_broadcast() {
    mean_squared_error(&Var::constant(column(&[1.0_f32, 2.0])), &Tensor::from_slice(&[1.0_f32, 2.0], &[2]));
}

#[test]
#[should_panic(expected = "their own shape")]
fn a_label_is_not_broadcast() {
    binary_cross_entropy(&Var::constant(column(&[1.0_f32, 2.0])), &Tensor::from_slice(&[1.0_f32, 0.0], &[2]));
}

/// Row 0: the class 0 has 3, the best rival 1: nothing. Row 1: the class 2 has 0.5 and the rival 1 has 2: 2 + 1 − 0.5. Row 2: right,
/// but by 0.25 only: 0.75.
#[test]
fn multiclass_hinge_is_its_formula() {
    let logits = Tensor::from_slice(&[3.0_f64, 1.0, -2.0, 0.0, 2.0, 0.5, 1.0, 1.25, 0.0], &[3, 3]);
    let labels = Tensor::from_slice(&[0_u32, 2, 1], &[3]);
    let tape = Tape::new();
    let leaf = tape.leaf(logits.clone());
    let loss = multiclass_hinge(&leaf, &labels);
    assert_eq!(loss.value().item(), (0.0 + 2.5 + 0.75) / 3.0);
    let third = 1.0 / 3.0;
    let gradient = tape.backward(&loss).get(&leaf).unwrap().to_vec::<f64>();
    assert_eq!(gradient, [0.0, 0.0, 0.0, 0.0, third, -third, third, -third, 0.0]);
    let mut case = Case::new("multiclass hinge", &[&[3, 3]], move |x| multiclass_hinge(&x[0], &labels));
    case.inputs = vec![logits];
    gradcheck(&case).unwrap();
}

#[test]
#[should_panic(expected = "the label of row 1 is 3, and there are 3 classes")]
fn a_label_that_is_no_class_is_refused() {
    multiclass_hinge(&Var::constant(Tensor::zeros(&[2, 3])), &Tensor::from_slice(&[0_u32, 3], &[2]));
}

#[test]
#[should_panic(expected = "one label for each row")]
fn a_label_for_each_row_is_needed() {
    multiclass_hinge(&Var::constant(Tensor::zeros(&[2, 3])), &Tensor::from_slice(&[0_u32], &[1]));
}
