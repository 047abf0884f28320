//! Sizes of zero: every case of the registry with each of its sizes, and each pair of them, set to 0. The operation works, and
//! its gradients are right; or the forward pass refuses it with an error of its own.

use gradus_autograd::gradcheck::{Case, gradcheck};
use gradus_autograd::ops::registry;
use gradus_autograd::{Tape, Tensor, Var};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Elements of a tensor of another shape, the first of the old ones.
fn resized(x: &Tensor, shape: &[usize]) -> Tensor {
    let values = x.to_vec::<f64>();
    let len = shape.iter().product();
    Tensor::from_slice(&values.iter().copied().cycle().take(len).collect::<Vec<f64>>(), shape)
}

/// Other shapes for the inputs: a single axis of a single input set to 0, and all axes of one size, or of one of two sizes, in
/// all inputs at once.
fn shapes_with_zeros(shapes: &[Vec<usize>]) -> BTreeSet<Vec<Vec<usize>>> {
    let mut all = BTreeSet::new();
    for (input, shape) in shapes.iter().enumerate() {
        for axis in 0..shape.len() {
            let mut changed = shapes.to_vec();
            changed[input][axis] = 0;
            all.insert(changed);
        }
    }
    let sizes: BTreeSet<usize> = shapes.concat().into_iter().collect();
    for (&a, &b) in sizes.iter().flat_map(|a| sizes.iter().map(move |b| (a, b))) {
        let zeroed = |shape: &Vec<usize>| shape.iter().map(|&n| if n == a || n == b { 0 } else { n }).collect();
        all.insert(shapes.iter().map(zeroed).collect());
    }
    all.insert(shapes.to_vec());
    all.retain(|shapes| shapes.concat().contains(&0));
    all
}

/// What the forward pass panics with, if it does.
fn refusal(case: &Case) -> Option<String> {
    let run = || {
        let inputs: Vec<Var> = case.inputs.iter().cloned().map(Var::constant).collect();
        _ = (case.function)(&Tape::inference(), &inputs);
    };
    let panic = catch_unwind(AssertUnwindSafe(run)).err()?;
    Some(panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "no text".into()))
}

/// An error of an operation: "matmul: inner sizes differ: [2, 3] × [4, 5] (3 ≠ 4)".
fn is_clear(text: &str) -> bool {
    let Some((op, problem)) = text.split_once(": ") else { return false };
    op.chars().all(|c| c.is_ascii_lowercase() || c == '_') && problem.contains('[')
}

#[test]
fn every_operation_takes_no_elements_or_refuses_them() {
    let (mut failures, mut worked) = (Vec::new(), 0);
    for op in registry() {
        let mut works = false;
        for i in 0..(op.cases)().len() {
            let shapes: Vec<Vec<usize>> = (op.cases)()[i].inputs.iter().map(|x| x.shape().to_vec()).collect();
            for changed in shapes_with_zeros(&shapes) {
                let mut case = (op.cases)().swap_remove(i);
                case.inputs = case.inputs.iter().zip(&changed).map(|(x, shape)| resized(x, shape)).collect();
                let what = format!("{}, {}, {changed:?}", op.name, case.name);
                if let Some(text) = refusal(&case) {
                    if !is_clear(&text) {
                        failures.push(format!("{what}: {text}"));
                    }
                    continue;
                }
                match catch_unwind(AssertUnwindSafe(|| gradcheck(&case))) {
                    Ok(Ok(())) => works = true,
                    Ok(Err(problem)) => failures.push(format!("{what}: {problem}")),
                    Err(_) => failures.push(format!("{what}: the backward pass panics")),
                }
                worked += 1;
            }
        }
        if !works {
            failures.push(format!("{} has no case that works without elements", op.name));
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    assert!(worked > 200, "only {worked} cases got as far as the gradients");
}

#[test]
fn the_gradient_of_a_product_over_nothing_is_nothing() {
    let tape = Tape::new();
    let [a, b] = [&[2, 3, 0][..], &[0, 4]].map(|shape| tape.leaf(Tensor::zeros(shape)));
    let gradients = tape.backward(&a.matmul(&b).sum(&[0, 1, 2], false));
    assert_eq!((gradients.get(&a).unwrap().shape(), gradients.get(&b).unwrap().shape()), (&[2, 3, 0][..], &[0, 4][..]));
}

/// With K = 0 the output is the bias alone, whose gradient counts the rows; with N = 0 there is no output.
#[test]
fn linear_layers_of_no_inputs_and_of_no_outputs() {
    for (k, n) in [(0, 4), (4, 0), (0, 0)] {
        let tape = Tape::new();
        let [x, w, b] = [&[2, 3, k][..], &[n, k], &[n]].map(|shape| tape.leaf(Tensor::full(1.0_f32, shape)));
        let y = x.linear(&w, Some(&b));
        assert_eq!(y.value().to_vec::<f32>(), vec![1.0; 6 * n]);
        let gradients = tape.backward(&y.sum(&[0, 1, 2], false));
        assert_eq!(gradients.get(&x).unwrap().shape(), [2, 3, k]);
        assert_eq!(gradients.get(&w).unwrap().shape(), [n, k]);
        assert_eq!(gradients.get(&b).unwrap().to_vec::<f32>(), vec![6.0; n]);
    }
}
