//! A whole GPT, dropout and all, against central differences: every element of every parameter.
//!
//! It holds what no operation's own check can: that the operations are put together so that no path of a gradient is
//! lost or counted twice (the tied embedding gets one contribution as the input and one as the output layer).

use gradus_autograd::{DType, Tensor};
use gradus_gpt::config::ModelConfig;
use gradus_gpt::recompute::Recompute;
use gradus_nn::Module;
use gradus_nn::training::Trainable;
use gradus_tests::models::{ids, lively};

fn check(bias: bool, dropout: f32, recompute: Recompute) {
    const H: f64 = 1e-5;
    let config = ModelConfig { layers: 1, heads: 2, width: 4, context: 3, vocab_size: 5, dropout, bias };
    let mut model = lively(&config, DType::F64, 0.7);
    model.recompute = recompute;
    let (x, y) = (Tensor::from_slice(&ids(1, 6, 5), &[2, 3]), Tensor::from_slice(&ids(2, 6, 5), &[2, 3]));
    let loss = || {
        let tape = model.training_tape(7, 3); // the same seed and step: the same elements are dropped every time
        let loss = model.loss(&tape, &x, &y);
        (tape, loss)
    };
    let (tape, value) = loss();
    tape.backward(&value);
    let mut moved_the_loss = 0;
    for (name, parameter) in model.named_parameters() {
        let grad = parameter.grad().unwrap_or_else(|| panic!("{name} got no gradient")).to_vec::<f64>();
        let original = parameter.value();
        for (element, &analytic) in grad.iter().enumerate() {
            let at = |h: f64| {
                let mut value = original.clone();
                value.make_host_mut::<f64>()[element] += h;
                parameter.set_value(value);
                loss().1.value().item()
            };
            let numeric = (at(H) - at(-H)) / (2.0 * H);
            let allowed = 1e-9 + 1e-6 * analytic.abs().max(numeric.abs());
            assert!((analytic - numeric).abs() <= allowed, "{name}[{element}]: {analytic:e}, numerically {numeric:e}");
            moved_the_loss += usize::from(numeric.abs() > 1e-4);
        }
        parameter.set_value(original);
    }
    let count = model.parameter_count();
    assert!(moved_the_loss * 3 > count * 2, "only {moved_the_loss} of {count} gradients say anything");
}

#[test]
fn without_dropout() {
    check(true, 0.0, Recompute::None);
    check(false, 0.0, Recompute::None);
}

#[test]
fn with_dropout() {
    check(true, 0.3, Recompute::None);
}

#[test]
fn with_dropout_and_blocks_computed_again() {
    check(true, 0.3, Recompute::Blocks);
}
