//! Batch norm: its formula by hand, its gradients against central differences, and its two kinds of statistics.

use gradus_autograd::gradcheck::{Case, gradcheck, values};
use gradus_autograd::{DType, Tape, Tensor, Var};
use gradus_nn::layers::BatchNorm;
use gradus_nn::optim::{Sgd, SgdConfig};
use gradus_nn::{Init, Layer, Module};

fn norm(width: usize) -> BatchNorm {
    BatchNorm::new(&mut Init::with_dtype(1, DType::F64), width)
}

fn tensor(values: &[f64], shape: &[usize]) -> Tensor {
    Tensor::from_slice(values, shape)
}

fn near(got: &Tensor, expected: &[f64]) {
    let got = got.to_vec::<f64>();
    assert_eq!(got.len(), expected.len());
    assert!(got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{got:?}, not {expected:?}");
}

#[test]
fn channels_are_measured_over_the_batch() {
    // The first channel has mean 2 and variance 1, the second mean 10 and variance 16.
    let norm = BatchNorm { eps: 0.0, ..norm(2) };
    norm.weight.set_value(tensor(&[1.0, 3.0], &[2]));
    norm.bias.set_value(tensor(&[0.0, 0.5], &[2]));
    let x = Var::constant(tensor(&[1.0, 6.0, 3.0, 14.0], &[2, 2]));
    near(norm.forward(&Tape::new(), &x).value(), &[-1.0, -2.5, 1.0, 3.5]);
    // More axes are more rows.
    let x = Var::constant(x.value().reshape(&[1, 2, 1, 2]));
    near(norm.by_batch(&Tape::new(), &x).value(), &[-1.0, -2.5, 1.0, 3.5]);
}

#[test]
fn running_statistics_follow_and_answer_for_one_row() {
    let norm = norm(1);
    let x = Var::constant(tensor(&[1.0, 2.0, 3.0, 6.0], &[4, 1])); // mean 3, Σ(x − 3)² = 14
    norm.forward(&Tape::new(), &x);
    near(&norm.running_mean.value(), &[0.3]);
    near(&norm.running_variance.value(), &[0.9 + 0.1 * 14.0 / 3.0]);
    let one = Var::constant(tensor(&[2.0], &[1, 1]));
    let expected = (2.0 - 0.3) / (0.9 + 0.1 * 14.0 / 3.0 + 1e-5_f64).sqrt();
    near(norm.forward(&Tape::inference(), &one).value(), &[expected]);
    near(&norm.running_mean.value(), &[0.3]); // nothing is learned of a question
    for _ in 0..500 {
        norm.forward(&Tape::new(), &x);
    }
    let (mean, variance) = (norm.running_mean.value().item(), norm.running_variance.value().item());
    assert!((mean - 3.0).abs() < 1e-9 && (variance - 14.0 / 3.0).abs() < 1e-9, "{mean} {variance}");
}

#[test]
fn gradients_are_those_of_central_differences() {
    let by_batch = |x: &[Var]| {
        let norm = norm(3);
        norm.weight.set_value(x[1].value().clone());
        norm.bias.set_value(x[2].value().clone());
        norm.by_batch(&Tape::inference(), &x[0])
    };
    // Of the input, with weights that are not 1; the parameters themselves are checked below.
    let case = Case::new("batch norm", &[&[2, 4, 3]], move |x| {
        by_batch(&[
            x[0].clone(),
            Var::constant(tensor(&[0.5, -2.0, 1.5], &[3])),
            Var::constant(tensor(&[0.1; 3], &[3])),
        ])
    });
    gradcheck(&case).unwrap();

    let norm = norm(3);
    let x = Var::constant(tensor(&values(5, 12), &[4, 3]));
    let w = tensor(&values(6, 12), &[4, 3]);
    let objective = || (&norm.by_batch(&Tape::inference(), &x).value().clone() * &w).sum(&[0, 1], false).item();
    let tape = Tape::new();
    let y = norm.by_batch(&tape, &x);
    tape.backward_from(&y, w.clone());
    for parameter in [&norm.weight, &norm.bias] {
        let (grad, old) = (parameter.take_grad().unwrap().to_vec::<f64>(), parameter.value());
        for (i, analytic) in grad.into_iter().enumerate() {
            let at = |h: f64| {
                let mut moved = old.clone();
                moved.make_host_mut::<f64>()[i] += h;
                parameter.set_value(moved);
                objective()
            };
            let numeric = (at(1e-6) - at(-1e-6)) / 2e-6;
            parameter.set_value(old.clone());
            assert!((analytic - numeric).abs() < 1e-8, "{analytic}, numerically {numeric}");
        }
    }
}

#[test]
fn statistics_are_saved_by_name_and_left_alone_by_optimisers() {
    let norm = norm(2);
    let names: Vec<String> = norm.named_parameters().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["weight", "bias", "running_mean", "running_variance"]);
    let mut sgd = Sgd::new(&norm, SgdConfig::default());
    let tape = Tape::new();
    let y = norm.forward(&tape, &Var::constant(tensor(&[1.0, 2.0, 3.0, 5.0], &[2, 2])));
    let before = norm.running_mean.value().to_vec::<f64>();
    tape.backward(&y.sum(&[0, 1], false));
    sgd.step(1.0, 1.0);
    assert_eq!(norm.running_mean.value().to_vec::<f64>(), before);
    assert_eq!(norm.bias.value().to_vec::<f64>(), [-2.0, -2.0]);
}

#[test]
#[should_panic(expected = "no batch")]
fn a_row_without_a_batch_is_refused() {
    norm(3).forward(&Tape::new(), &Var::constant(tensor(&[1.0; 3], &[3])));
}
