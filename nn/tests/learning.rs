//! What the lessons promise: a hidden layer learns exclusive or and the spirals, one layer does not.

use gradus_autograd::{Tape, Tensor, Var};
use gradus_nn::data::{Example, two_spirals, xor};
use gradus_nn::loss::binary_cross_entropy;
use gradus_nn::optim::{AdamW, AdamWConfig, Schedule, Sgd, SgdConfig, clip_factor, global_norm};
use gradus_nn::{Init, Layer, Mlp, Module};

fn tensors(examples: &[Example<2>]) -> (Var, Tensor) {
    let inputs: Vec<f32> = examples.iter().flat_map(|example| example.inputs).collect();
    let labels: Vec<f32> = examples.iter().map(|example| f32::from(example.label)).collect();
    let n = examples.len();
    (Var::constant(Tensor::from_slice(&inputs, &[n, 2])), Tensor::from_slice(&labels, &[n, 1]))
}

fn train(mlp: &Mlp, examples: &[Example<2>], steps: u64, mut update: impl FnMut(u64)) -> f64 {
    let (x, y) = tensors(examples);
    let mut last = f64::NAN;
    for step in 0..steps {
        let tape = Tape::new();
        let loss = binary_cross_entropy(&mlp.forward(&tape, &x), &y);
        tape.backward(&loss);
        update(step);
        last = loss.value().item();
    }
    last
}

fn right(mlp: &Mlp, examples: &[Example<2>]) -> usize {
    let logits = mlp.forward(&Tape::inference(), &tensors(examples).0).value().to_vec::<f32>();
    logits.iter().zip(examples).filter(|(z, example)| (**z > 0.0) == example.label).count()
}

fn learn_xor(seed: u64, sizes: &[usize]) -> (Mlp, f64) {
    let mlp = Mlp::new(&mut Init::new(seed), sizes);
    let mut sgd = Sgd::new(&mlp, SgdConfig::default());
    let loss = train(&mlp, &xor(), 1000, |_| sgd.step(1.0, 1.0));
    (mlp, loss)
}

#[test]
fn a_hidden_layer_learns_xor() {
    for seed in 1..=5 {
        let (mlp, loss) = learn_xor(seed, &[2, 4, 1]);
        assert_eq!(right(&mlp, &xor()), 4, "seed {seed}");
        assert!(loss < 0.01, "seed {seed}: {loss}");
    }
}

/// The best that one line can do is to say ½ to everything, with the loss ln 2; gradient descent finds it.
#[test]
fn a_single_layer_does_not_learn_xor() {
    for seed in 1..=5 {
        let (mlp, loss) = learn_xor(seed, &[2, 1]);
        assert!(right(&mlp, &xor()) < 4, "seed {seed}");
        assert!((loss - 2_f64.ln()).abs() < 1e-5, "seed {seed}: {loss}");
    }
}

fn learn_spirals() -> Mlp {
    let mlp = Mlp::new(&mut Init::new(1), &[2, 32, 32, 32, 1]);
    let mut adamw = AdamW::new(&mlp, AdamWConfig::default());
    let schedule = Schedule { learning_rate: 1e-2, min_learning_rate: 0.0, warmup: 50, steps: 1000 };
    train(&mlp, &two_spirals(1), schedule.steps, |step| {
        let clip = clip_factor(global_norm(&mlp), 1.0);
        adamw.step(schedule.at(step) as f32, clip as f32);
    });
    mlp
}

#[test]
fn the_spirals_are_learned_and_so_is_what_lies_between_the_points() {
    let mlp = learn_spirals();
    let (learned, between) = (right(&mlp, &two_spirals(1)), right(&mlp, &two_spirals(4)));
    assert!(learned * 100 >= 194 * 95, "{learned} of 194");
    assert!(between * 100 >= 770 * 90, "{between} of 770");
}

#[test]
fn the_same_seed_learns_the_same_bits() {
    let weights = || -> Vec<Vec<f32>> {
        learn_spirals().named_parameters().iter().map(|(_, parameter)| parameter.value().to_vec()).collect()
    };
    assert_eq!(weights(), weights());
}
