//! Products at bf16: what is rounded, in both directions, and what is not.

use gradus_autograd::ops::attention::Options;
use gradus_autograd::{DType, Parameter, Precision, Tape, Tensor, Var, checkpoint};

fn tensor(seed: usize, shape: &[usize]) -> Tensor {
    let values = (0..shape.iter().product()).map(|i: usize| (((i + seed) * (i + 7) + 1) as f32 * 0.618_034).sin());
    Tensor::from_slice(&values.collect::<Vec<f32>>(), shape)
}

fn bf16_tape() -> Tape {
    Tape::new().with_precision(Precision::Bf16)
}

/// The product of rounded operands.
fn product(a: &Tensor, b: &Tensor) -> Vec<f32> {
    let round = |x: &Tensor| x.to_dtype(DType::Bf16).to_dtype(DType::F64);
    round(a).matmul(&round(b)).to_dtype(DType::F32).to_vec()
}

#[track_caller]
fn assert_close(got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() <= 1e-5, "{got} is not {expected}");
    }
}

#[test]
fn all_three_products_of_a_matmul_round_their_operands() {
    let (a, b, dc) = (tensor(1, &[6, 9]), tensor(2, &[9, 5]), tensor(3, &[6, 5]));
    let tape = bf16_tape();
    let (x, y) = (tape.leaf(a.clone()), tape.leaf(b.clone()));
    let c = x.matmul(&y);
    assert_close(&c.value().to_vec::<f32>(), &product(&a, &b));
    let gradients = tape.backward_from(&c, dc.clone());
    assert_close(&gradients.get(&x).unwrap().to_vec::<f32>(), &product(&dc, &b.transpose(0, 1)));
    assert_close(&gradients.get(&y).unwrap().to_vec::<f32>(), &product(&a.transpose(0, 1), &dc));
}

#[test]
fn all_three_products_of_a_linear_layer_round_and_its_bias_does_not() {
    let (x, w, dy) = (tensor(1, &[2, 3, 9]), tensor(2, &[5, 9]), tensor(3, &[2, 3, 5]));
    let (weight, bias) = (Parameter::new(w.clone()), Parameter::new(Tensor::full(1e-3_f32, &[5])));
    let tape = bf16_tape();
    let input = tape.leaf(x.clone());
    let y = input.linear(&tape.parameter(&weight), Some(&tape.parameter(&bias)));
    let rows = x.reshape(&[6, 9]);
    let expected: Vec<f32> = product(&rows, &w.transpose(0, 1)).iter().map(|y| y + 1e-3).collect();
    assert_close(&y.value().to_vec::<f32>(), &expected);
    let gradients = tape.backward_from(&y, dy.clone());
    let dy = dy.reshape(&[6, 5]);
    assert_close(&gradients.get(&input).unwrap().to_vec::<f32>(), &product(&dy, &w));
    assert_close(&weight.grad().unwrap().to_vec::<f32>(), &product(&dy.transpose(0, 1), &rows));
    assert_eq!(weight.grad().unwrap().dtype(), DType::F32);
    let sums: Vec<f32> = dy.sum(&[0], false).to_vec();
    assert_eq!(bias.grad().unwrap().to_vec::<f32>(), sums, "a sum is not rounded");
    assert_eq!(weight.value().to_vec::<f32>(), w.to_vec::<f32>(), "the weight is as it was");
}

/// Output and gradients of causal attention of `parts`, packed or not, on a tape.
fn attention(tape: Tape, parts: &[Tensor; 3], dy: &Tensor, packed: bool) -> [Vec<f64>; 4] {
    let options = Options { causal: true, ..Options::default() };
    let numbers = |x: &Tensor| x.to_dtype(DType::F64).to_vec::<f64>();
    let vars = parts.each_ref().map(|part| tape.leaf(part.clone()));
    let [q, k, v] = &vars;
    let y = if packed {
        let rows = |x: &Var| x.permute(&[0, 2, 1, 3]).reshape(&[1, 9, 16]);
        let qkv = Var::concat(&[&rows(q), &rows(k), &rows(v)], 2);
        qkv.self_attention(2, &options).reshape(&[1, 9, 2, 8]).permute(&[0, 2, 1, 3])
    } else {
        q.attention(k, v, &options)
    };
    let gradients = tape.backward_from(&y, dy.clone());
    let [dq, dk, dv] = vars.each_ref().map(|var| numbers(gradients.get(var).unwrap()));
    [numbers(y.value()), dq, dk, dv]
}

#[test]
fn attention_rounds_the_operands_of_its_products_in_both_directions() {
    let parts = [1, 2, 3].map(|seed| tensor(seed, &[1, 2, 9, 8]));
    let dy = tensor(4, &[1, 2, 9, 8]);
    let rounded = |x: &Tensor| x.to_dtype(DType::Bf16).to_dtype(DType::F64);
    let expected = attention(Tape::new(), &parts.each_ref().map(rounded), &rounded(&dy), false);
    let exact = attention(Tape::new(), &parts, &dy, false);
    for packed in [false, true] {
        let got = attention(bf16_tape(), &parts, &dy, packed);
        for ((got, expected), exact) in got.iter().zip(&expected).zip(&exact) {
            let far = got.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(far < 0.02, "{far}, packed {packed}"); // P and dS are rounded as well: 2⁻⁹ of up to nine terms
            assert!(got != exact, "packed {packed}: nothing was rounded");
        }
        let double = parts.each_ref().map(|part| part.to_dtype(DType::F64));
        let oracle = |tape| attention(tape, &double, &dy.to_dtype(DType::F64), packed);
        assert!(oracle(bf16_tape()) == oracle(Tape::new()), "the oracle takes no notice");
    }
}

#[test]
fn the_precision_goes_where_the_values_go() {
    let x = tensor(1, &[4, 4]);
    for tape in [bf16_tape(), Tape::inference().with_precision(Precision::Bf16)] {
        assert_eq!(tape.precision(), Precision::Bf16);
        let weight = tape.parameter(&Parameter::new(x.clone()));
        let constant = Var::constant(x.clone());
        assert_eq!((weight.precision(), constant.precision()), (Precision::Bf16, Precision::F32));
        assert_eq!(weight.tanh().detach().precision(), Precision::Bf16);
        for c in [weight.matmul(&constant), constant.matmul(&weight), constant.linear(&weight.transpose(0, 1), None)] {
            assert_eq!(c.precision(), Precision::Bf16);
            assert_close(&c.value().to_vec::<f32>(), &product(&x, &x));
        }
    }
    assert_eq!(Tape::new().leaf(x).precision(), Precision::F32);
}

#[test]
fn what_is_computed_again_is_computed_at_the_same_precision() {
    let (x, weight) = (tensor(1, &[7, 16]), Parameter::new(tensor(2, &[16, 16])));
    let gradient = |keep: bool| {
        let tape = bf16_tape();
        let (input, weight_again) = (tape.leaf(x.clone()), weight.clone());
        let block = move |tape: &Tape, x: &Var| x.linear(&tape.parameter(&weight_again), None).gelu();
        let y = if keep { block(&tape, &input) } else { checkpoint(&tape, &input, block) };
        let gradients = tape.backward_from(&y, Tensor::full(1.0_f32, &[7, 16]));
        let dx = gradients.get(&input).unwrap().to_vec::<f32>();
        (y.value().to_vec::<f32>(), dx, weight.take_grad().unwrap().to_vec::<f32>())
    };
    assert!(gradient(true) == gradient(false));
}

#[test]
fn the_oracle_takes_no_notice() {
    let (a, b) = (tensor(1, &[3, 4]).to_dtype(DType::F64), tensor(2, &[4, 2]).to_dtype(DType::F64));
    let values = [Tape::new(), bf16_tape()].map(|tape| tape.leaf(a.clone()).matmul(&tape.leaf(b.clone())));
    assert_eq!(values[0].value().to_vec::<f64>(), values[1].value().to_vec::<f64>());
}

#[test]
fn weights_stored_in_bf16_infer_and_are_not_trained() {
    let (x, w) = (tensor(1, &[1, 9]), tensor(2, &[5, 9]));
    let weight = Parameter::new(w.clone());
    weight.set_dtype(DType::Bf16);
    assert_eq!(weight.value().bytes(), w.bytes() / 2);
    let tape = Tape::inference();
    let y = Var::constant(x.clone()).linear(&tape.parameter(&weight), None);
    assert_close(&y.value().to_vec::<f32>(), &product(&x, &w.transpose(0, 1)));
    let refused = std::panic::catch_unwind(|| Tape::new().parameter(&Parameter::new(w.to_dtype(DType::Bf16))));
    let message = *refused.unwrap_err().downcast::<&str>().unwrap();
    assert!(message.contains("stored in bf16 cannot be trained"), "{message}");
}

#[test]
#[should_panic(expected = "chosen before anything is recorded")]
fn a_tape_has_one_precision() {
    let tape = Tape::new();
    let _ = tape.leaf(tensor(1, &[1]));
    let _ = tape.with_precision(Precision::Bf16);
}
