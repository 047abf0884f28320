//! What each operation keeps for its backward pass, as the tape lists it, and how the values of a tape print.

use gradus_autograd::gradcheck::{Case, gradcheck, values};
use gradus_autograd::ops::registry;
use gradus_autograd::{Parameter, Tape, Tensor, Var};
use std::collections::HashMap;

/// The names of what an operation keeps; those that are not listed keep nothing.
const KEPT: &[(&str, &[&str])] = &[
    ("x", &["ln", "gelu_tanh", "gelu", "silu", "softplus", "abs", "square", "variance", "checkpoint"]),
    ("y", &["exp", "sqrt", "tanh", "sigmoid", "relu", "softmax", "log_softmax"]),
    ("x y", &["max_along", "min_along"]),
    ("a b", &["mul", "max", "min", "matmul"]),
    ("b y", &["div"]),
    ("a b y", &["pow"]),
    ("x w", &["linear"]),
    ("condition", &["where"]),
    ("ids", &["embedding"]),
    ("cos sin", &["rope"]),
    ("x mean rstd", &["layer_norm"]),
    ("x rrms", &["rms_norm"]),
    ("q k v output log_sum_exp", &["attention"]),
    ("qkv output log_sum_exp", &["self_attention"]),
    ("logits log_sum_exp targets", &["cross_entropy"]),
];

/// The names in the last column of the tape's table, for the last entry of this operation.
fn kept(tape: &Tape, op: &str) -> String {
    let table = tape.to_string();
    let start = table.lines().next().unwrap().find("saves").expect("the column");
    let row = table.lines().rfind(|line| line.split_whitespace().nth(1) == Some(op)).expect(op);
    let saves = row.chars().skip(start).collect::<String>();
    let names = saves.split(' ').filter(|word| word.starts_with(char::is_alphabetic) && *word != "nothing");
    names.collect::<Vec<_>>().join(" ")
}

#[test]
fn every_operation_lists_what_it_keeps() {
    let expected: HashMap<&str, &str> =
        KEPT.iter().flat_map(|(names, ops)| ops.iter().map(move |op| (*op, *names))).collect();
    for op in registry() {
        for case in (op.cases)() {
            let found = kept(&case.record().0, op.name);
            let weights = ["gamma", "beta"]; // kept where there are some
            let found: Vec<&str> = found.split(' ').filter(|name| !weights.contains(name)).collect();
            assert_eq!(
                found.join(" "),
                expected.get(op.name).copied().unwrap_or_default(),
                "{}: {}",
                op.name,
                case.name
            );
        }
    }
    let known: Vec<&str> = registry().map(|op| op.name).collect();
    assert!(expected.keys().all(|op| known.contains(op)), "the table names an operation that is not in the registry");
}

#[test]
fn norms_keep_their_scale() {
    let tape = Tape::new();
    let [x, gamma, beta] = [[2, 3].as_slice(), &[3], &[3]].map(|shape| tape.leaf(Tensor::full(1.0_f32, shape)));
    x.layer_norm(Some(&gamma), Some(&beta), 1e-5);
    assert_eq!(kept(&tape, "layer_norm"), "x mean rstd gamma");
    x.rms_norm(Some(&gamma), 1e-5);
    assert_eq!(kept(&tape, "rms_norm"), "x rrms gamma");
}

/// The derivative of a product with respect to one factor is the other, so of a constant's partner nothing is kept.
#[test]
fn a_product_with_a_constant_keeps_the_constant_only() {
    let constant = Var::constant(Tensor::full(2.0_f32, &[3]));
    let tape = Tape::new();
    let x = tape.leaf(Tensor::full(1.0_f32, &[3]));
    let _ = &x * &constant;
    assert_eq!(kept(&tape, "mul"), "b");
    let _ = &constant * &x;
    assert_eq!(kept(&tape, "mul"), "a");
    let _ = &x + &constant;
    assert_eq!(kept(&tape, "add"), "");
}

/// Equal largest elements share the gradient evenly.
#[test]
fn the_gradient_of_a_maximum_is_shared_by_equals() {
    for (op, data) in [("max", [1.0, 3.0, 3.0, 3.0, 2.0, 0.0]), ("min", [-1.0, -3.0, -3.0, -3.0, -2.0, 0.0])] {
        let tape = Tape::new();
        let x = tape.leaf(Tensor::from_slice(&data, &[2, 3]));
        let y = if op == "max" { x.max(&[1], false) } else { x.min(&[1], false) };
        let gradients = tape.backward(&(&y * 6.0).sum(&[0], false));
        assert_eq!(gradients.get(&x).unwrap().to_vec::<f64>(), [0.0, 3.0, 3.0, 6.0, 0.0, 0.0], "{op}");
    }
}

#[test]
fn the_inputs_of_a_case_are_scaled_and_moved() {
    let case = Case::scaled("", &[&[2, 3], &[5]], 3.0, 10.0, |x| x[0].exp());
    for (seed, input) in (1..).zip(&case.inputs) {
        let expected: Vec<f64> = values(seed, input.len()).into_iter().map(|x| 3.0 * x + 10.0).collect();
        assert_eq!(input.to_vec::<f64>(), expected);
    }
}

/// The tolerance is relative: a gradient of 0.001 that is wrong by a ten-thousandth of itself is as wrong as one of 1000.
#[test]
fn a_slightly_wrong_gradient_is_found_at_every_size() {
    for size in [1e-3, 1.0, 1e3] {
        let off = |error: f64| {
            let function = move |x: &[Var]| &(&x[0] * size) + &(&x[0].detach() * (size * error));
            gradcheck(&Case::new("x + a constant", &[&[4]], function))
        };
        assert!(off(1e-4).unwrap_err().contains("input 0, element 0"), "{size}");
        off(0.0).unwrap();
        off(1e-8).unwrap(); // as wrong as differences are
    }
}

#[test]
fn values_of_a_tape_print_their_numbers() {
    let tape = Tape::new();
    let value = Tensor::from_slice(&[3.0_f32], &[1]);
    let x = tape.leaf(value.clone());
    assert_eq!(format!("{x:?}"), "Tensor f32[1] [3.0] (tracked)");
    assert_eq!(format!("{:?}", x.detach()), "Tensor f32[1] [3.0]");
    assert_eq!(format!("{:?}", Parameter::new(value)), "Parameter(Tensor f32[1] [3.0])");
    let gradients = format!("{:?}", tape.backward(&x.square().sum(&[0], false)));
    assert!(gradients.starts_with("Gradients") && gradients.contains("Tensor f32[1] [6.0]"), "{gradients}");
}

/// Dropout with p = 0 is none, so it takes no random numbers from those that come after it.
#[test]
fn no_dropout_draws_nothing() {
    let masks = |skipped: usize| {
        let tape = Tape::training(1, 2);
        assert!((0..skipped).all(|_| tape.dropout(0.0).is_none()));
        tape.dropout(0.5)
    };
    assert!(masks(0).is_some());
    assert_eq!(format!("{:?}", masks(3)), format!("{:?}", masks(0)));
    assert!(Tape::inference().dropout(0.5).is_none() && Tape::new().dropout(0.5).is_none());
}
