//! On a tape that recomputes, outputs of norms and activations are not kept, and nothing else changes.

use gradus_autograd::gradcheck::values;
use gradus_autograd::{Precision, Tape, Tensor, Var};

const ROWS: usize = 6;

fn matrix(seed: u64, rows: usize, columns: usize) -> Tensor {
    let values: Vec<f32> = values(seed, rows * columns).into_iter().map(|x| x as f32).collect();
    Tensor::from_slice(&values, &[rows, columns])
}

/// The gradients of the input and of both weights of `second(middle(first(x)))`, and the bytes that the tape holds.
fn gradients(tape: Tape, middle: &dyn Fn(&Var) -> Var, width: usize) -> (Vec<Vec<u32>>, usize) {
    let leaves = [matrix(1, ROWS, 5), matrix(2, 8, 5), matrix(3, 3, width)].map(|value| tape.leaf(value));
    let [x, first, second] = &leaves;
    let y = middle(&x.linear(first, None)).linear(second, None).square().sum(&[0, 1], false);
    let held = tape.saved_bytes();
    let found = tape.backward(&y);
    let bits = |leaf: &Var| found.get(leaf).unwrap().to_vec::<f32>().into_iter().map(f32::to_bits).collect();
    (leaves.iter().map(bits).collect(), held)
}

/// Compares both kinds of tape; `spared` are the numbers that need not be kept, for each row.
#[track_caller]
fn same_bits_with_less(middle: impl Fn(&Var) -> Var, width: usize, spared: usize) {
    for precision in [Precision::F32, Precision::Bf16] {
        let on = |recomputes| {
            let tape = Tape::new().with_precision(precision).with_recomputation(recomputes);
            gradients(tape, &middle, width)
        };
        let ((kept, held), (again, held_less)) = (on(false), on(true));
        assert!(kept == again, "gradients differ");
        assert_eq!(held - held_less, spared * ROWS * 4);
    }
}

#[test]
fn norms_and_activations_are_computed_again() {
    same_bits_with_less(|x| x.layer_norm(None, None, 1e-5), 8, 8);
    same_bits_with_less(|x| x.rms_norm(None, 1e-5), 8, 8);
    same_bits_with_less(Var::gelu, 8, 8);
    same_bits_with_less(Var::gelu_tanh, 8, 8);
    same_bits_with_less(Var::silu, 8, 8);
}

#[test]
fn scales_of_norms_count() {
    let tape = Tape::new().with_recomputation(true);
    let [x, gamma, beta] = [matrix(1, ROWS, 4), matrix(2, 1, 4), matrix(3, 1, 4)].map(|value| tape.leaf(value));
    let normed = x.layer_norm(Some(&gamma.reshape(&[4])), Some(&beta.reshape(&[4])), 1e-5);
    let dw = |input: &Var, tape: &Tape| {
        let w = tape.leaf(matrix(4, 2, 4));
        let y = input.linear(&w, None).square().sum(&[0, 1], false);
        tape.backward(&y).get(&w).unwrap().to_vec::<f32>()
    };
    let plain = Tape::new();
    assert_eq!(dw(&normed, &tape), dw(&plain.leaf(normed.value().clone()), &plain));
}

#[test]
fn a_gate_and_its_product_are_computed_again() {
    // SwiGLU: silu(a) and silu(a)·b of 4 numbers each.
    let gate = |x: &Var| &x.slice(1, 0..4).silu() * &x.slice(1, 4..8);
    same_bits_with_less(gate, 4, 4 + 4);
}

#[test]
fn what_an_operation_keeps_anyway_is_not_computed_again() {
    // Their derivatives are made of the output, so it is in memory.
    same_bits_with_less(Var::tanh, 8, 0);
    same_bits_with_less(Var::sigmoid, 8, 0);
    // A recipe would hold the input, which is not needed otherwise.
    same_bits_with_less(|x| x * 3.0, 8, 0);
    same_bits_with_less(|x| x.gelu().dropout(None), 8, 8);
}

#[test]
#[should_panic(expected = "chosen before anything is recorded")]
fn it_is_chosen_on_an_empty_tape() {
    let tape = Tape::new();
    tape.leaf(matrix(1, 1, 1));
    tape.with_recomputation(true);
}
