//! Twenty training steps of a small GPT, number by number as PyTorch makes them.
//!
//! Two runs of ours stand against two of PyTorch's, in `f32` and in `f64`. The tolerances follow from PyTorch's own
//! distance between its two runs (`fixtures/README.md`): 1.5e-7 for losses, 4.4e-7 for gradients. Ours in `f32` gets a few
//! times that, because two correct `f32` programs may err in opposite directions. In `f64` what is left is that our
//! settings (the attention's scale, eps, the learning rate) are numbers of type `f32`, and that the fixture rounds
//! gradients and weights to `f32`.

use gradus_autograd::{DType, Device, Tape, Tensor};
use gradus_gpt::config::ModelConfig;
use gradus_gpt::model::Gpt;
use gradus_nn::optim::{AdamW, AdamWConfig, Schedule, clip_factor, global_norm};
use gradus_nn::{Init, Module};
use gradus_tests::compare::{assert_close, distance};
use gradus_tests::device::cuda;
use gradus_tests::fixture::Fixture;
use gradus_tests::isa;
use gradus_tests::models::without_noise;

struct Tolerances {
    losses: f64,
    norms: f64,
    gradients: f64,
    weights: f64,
}

const F32: Tolerances = Tolerances { losses: 1e-6, norms: 1e-6, gradients: 5e-6, weights: 5e-6 };
const F64: Tolerances = Tolerances { losses: 1e-7, norms: 1e-7, gradients: 1e-7, weights: 1e-7 };

fn model(fixture: &Fixture, dtype: DType) -> Gpt {
    let config = ModelConfig {
        layers: fixture.constant("layers"),
        heads: fixture.constant("heads"),
        width: fixture.constant("width"),
        context: fixture.constant("context"),
        vocab_size: fixture.constant("vocabulary"),
        dropout: 0.0,
        bias: fixture.constant("bias"),
    };
    let model = Gpt::new(&config, &mut Init::with_dtype(0, dtype));
    let mut names: Vec<String> = Vec::new();
    for (name, parameter) in model.named_parameters() {
        parameter.set_value(fixture.of_type(&format!("init/{name}"), dtype));
        names.push(name);
    }
    names.sort_unstable();
    assert_eq!(names, fixture.names("init/"), "the parameters are PyTorch's, no more and no fewer");
    model
}

fn compare_gradients(fixture: &Fixture, suffix: &str, model: &Gpt, tolerance: f64) {
    for (name, parameter) in model.named_parameters() {
        let grad = parameter.grad().unwrap_or_else(|| panic!("{name} got no gradient")).to_f64_vec();
        let expected = fixture.numbers(&format!("grad{suffix}/{name}"));
        if name.ends_with("qkv.bias") {
            let width = grad.len() / 3;
            let keys = grad[width..2 * width].iter().fold(0.0, |m: f64, x| m.max(x.abs()));
            let all = grad.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
            assert!(keys < 1e-6 * all, "the gradient of the keys' bias is {keys:e}, not nearly 0");
        }
        let what = format!("gradient of {name} in step 0");
        assert_close(&what, &without_noise(&name, grad), &without_noise(&name, expected), tolerance);
    }
}

fn train(file: &str, device: &Device, dtype: DType, suffix: &str, tolerances: &Tolerances) {
    let fixture = Fixture::open(file);
    let model = model(&fixture, dtype);
    model.to_device(device);
    let config = AdamWConfig {
        beta1: fixture.constant("beta1"),
        beta2: fixture.constant("beta2"),
        eps: fixture.constant("epsilon"),
        weight_decay: fixture.constant("weight_decay"),
    };
    let mut optimizer = AdamW::new(&model, config);
    let schedule = Schedule {
        learning_rate: fixture.constant("learning_rate"),
        min_learning_rate: fixture.constant("min_learning_rate"),
        warmup: fixture.constant("warmup_steps"),
        steps: fixture.constant("decay_steps"),
    };
    let (steps, clip): (usize, f64) = (fixture.constant("steps"), fixture.constant("clip"));
    let shape: [usize; 2] = [fixture.constant("batch"), fixture.constant("context")];
    let batch = |name: &str, step: usize| -> Tensor { fixture.tensor(name).slice(0, step..step + 1).reshape(&shape) };

    let (mut losses, mut norms) = (Vec::new(), Vec::new());
    for step in 0..steps {
        let tape = Tape::new();
        let loss = model.loss(&tape, &batch("x", step), &batch("y", step));
        tape.backward(&loss);
        if step == 0 {
            compare_gradients(&fixture, suffix, &model, tolerances.gradients);
        }
        let norm = global_norm(&model);
        let rate = schedule.at(step as u64);
        let expected = fixture.numbers("learning_rates")[step];
        assert!((rate - expected).abs() <= 1e-15, "the learning rate of step {step} is {rate}, not {expected}");
        optimizer.step(rate as f32, clip_factor(norm, clip) as f32);
        losses.push(loss.value().item());
        norms.push(norm);
    }

    for (step, (got, expected)) in losses.iter().zip(fixture.numbers(&format!("losses{suffix}"))).enumerate() {
        let apart = (got - expected).abs() / expected;
        assert!(apart <= tolerances.losses, "loss of step {step}: {got}, PyTorch {expected}, {apart:.1e} apart");
    }
    assert!(losses[steps - 1] < 0.95 * losses[0], "twenty steps lower the loss: {losses:?}");
    assert_close("gradient norms", &norms, &fixture.numbers(&format!("grad_norms{suffix}")), tolerances.norms);
    assert!(norms.iter().any(|&norm| norm > clip), "some steps are clipped");
    for (name, parameter) in model.named_parameters() {
        let got = without_noise(&name, parameter.value().to_f64_vec());
        let expected = without_noise(&name, fixture.numbers(&format!("final{suffix}/{name}")));
        assert_close(&format!("final {name}"), &got, &expected, tolerances.weights);
    }
}

#[test]
fn without_biases() {
    train("gpt.safetensors", &Device::Cpu, DType::F32, "", &F32);
}

#[test]
fn with_biases() {
    train("gpt_bias.safetensors", &Device::Cpu, DType::F32, "", &F32);
}

#[test]
fn without_biases_in_f64() {
    train("gpt.safetensors", &Device::Cpu, DType::F64, "_f64", &F64);
}

#[test]
fn with_biases_in_f64() {
    train("gpt_bias.safetensors", &Device::Cpu, DType::F64, "_f64", &F64);
}

#[test]
fn on_cuda() {
    let Some(device) = cuda() else { return };
    for file in ["gpt.safetensors", "gpt_bias.safetensors"] {
        train(file, &device, DType::F32, "", &F32);
    }
}

/// The weights moved, and by far more than the tolerance: otherwise the comparison of final weights could not fail.
#[test]
fn training_moves_the_weights_by_more_than_the_tolerance() {
    for file in ["gpt.safetensors", "gpt_bias.safetensors"] {
        let fixture = Fixture::open(file);
        for name in fixture.names("init/") {
            let (first, last) = (fixture.numbers(&format!("init/{name}")), fixture.numbers(&format!("final/{name}")));
            let mut moved: Vec<f64> = last.iter().zip(&first).map(|(a, b)| (a - b).abs()).collect();
            moved.sort_by(f64::total_cmp);
            assert!(moved[moved.len() / 2] > 1e-4, "{file}: {name}: {:e}", moved[moved.len() / 2]);
            assert!(distance(&name, &first, &last).relative > 1e-3);
        }
    }
}

#[test]
fn at_every_instruction_set() {
    isa::at_every_other(&["without_biases", "with_biases"]);
}
