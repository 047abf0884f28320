//! Optimisers over modules: who is decayed, what is shared, what happens without a gradient.

use gradus_autograd::{Parameter, Tape, Tensor};
use gradus_nn::optim::{AdamW, AdamWConfig, Schedule, Sgd, SgdConfig, clip_factor, global_norm};
use gradus_nn::{Module, Visitor};

/// A matrix, a vector, and the matrix once more under another name.
struct Tied {
    matrix: Parameter,
    vector: Parameter,
}

impl Tied {
    fn new() -> Tied {
        let ones = |shape: &[usize]| Parameter::new(Tensor::full(1.0_f64, shape));
        Tied { matrix: ones(&[2, 2]), vector: ones(&[3]) }
    }

    /// Gives every parameter this gradient.
    fn set_grad(&self, grad: f64) {
        self.matrix.add_grad(Tensor::full(grad, &[2, 2]));
        self.vector.add_grad(Tensor::full(grad, &[3]));
    }
}

impl Module for Tied {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.parameter("matrix", &self.matrix);
        visitor.parameter("vector", &self.vector);
        visitor.parameter("again", &self.matrix);
    }
}

fn first(parameter: &Parameter) -> f64 {
    parameter.value().to_vec::<f64>()[0]
}

#[test]
fn matrices_decay_and_vectors_do_not() {
    let module = Tied::new();
    let mut optimizer = AdamW::new(&module, AdamWConfig { weight_decay: 0.5, ..AdamWConfig::default() });
    module.set_grad(0.0);
    optimizer.step(0.25, 1.0);
    assert_eq!((first(&module.matrix), first(&module.vector)), (1.0 - 0.25 * 0.5, 1.0));
}

/// The first step of Adam is as long as the learning rate, whatever the gradient's size: m̂/√v̂ is its sign.
#[test]
fn the_first_step_is_as_long_as_the_learning_rate() {
    for grad in [1e-3, -40.0] {
        let module = Tied::new();
        let mut optimizer = AdamW::new(&module, AdamWConfig { weight_decay: 0.0, ..AdamWConfig::default() });
        module.set_grad(grad);
        optimizer.step(0.25, 1.0);
        assert!((first(&module.vector) - (1.0 - 0.25 * f64::signum(grad))).abs() < 1e-4);
        assert_eq!(optimizer.steps(), 1);
    }
}

#[test]
fn a_shared_parameter_is_changed_once() {
    let module = Tied::new();
    let mut sgd = Sgd::new(&module, SgdConfig::default());
    module.set_grad(2.0);
    sgd.step(0.25, 1.0);
    assert_eq!((first(&module.matrix), first(&module.vector)), (0.5, 0.5));
    let optimizer = AdamW::new(&module, AdamWConfig::default());
    let names: Vec<String> = optimizer.state().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["m/matrix", "v/matrix", "m/vector", "v/vector"]);
}

#[test]
fn without_a_gradient_a_parameter_stays_as_it_is_and_gradients_are_gone_after_a_step() {
    let module = Tied::new();
    let mut optimizer = AdamW::new(&module, AdamWConfig::default());
    module.vector.add_grad(Tensor::full(1.0_f64, &[3]));
    optimizer.step(0.1, 1.0);
    assert_eq!(first(&module.matrix), 1.0, "not even decayed");
    assert!(first(&module.vector) < 1.0 && module.vector.grad().is_none());
    let before = first(&module.vector);
    optimizer.step(0.1, 1.0);
    assert_eq!(first(&module.vector), before);
}

#[test]
fn the_norm_counts_every_parameter_once() {
    let module = Tied::new();
    module.set_grad(2.0);
    assert!((global_norm(&module) - (7.0 * 4.0_f64).sqrt()).abs() < 1e-12);
    assert_eq!(global_norm(&Tied::new()), 0.0);
    assert_eq!((clip_factor(4.0, 0.0), clip_factor(0.5, 1.0)), (1.0, 1.0));
    assert!((clip_factor(4.0, 1.0) - 1.0 / 4.000_001).abs() < 1e-15);
}

/// A gradient that is scaled down and one that came scaled down make the same step.
#[test]
fn scaling_in_the_step_is_scaling_the_gradient() {
    let run = |grads: [f64; 2], scale: f32| {
        let module = Tied::new();
        let mut adamw = AdamW::new(&module, AdamWConfig::default());
        let mut sgd = Sgd::new(&module, SgdConfig { momentum: 0.9, weight_decay: 0.1, nesterov: true });
        for grad in grads {
            module.set_grad(grad);
            adamw.step(0.1, scale);
            module.set_grad(grad);
            sgd.step(0.1, scale);
        }
        (first(&module.matrix), first(&module.vector))
    };
    assert_eq!(run([4.0, -2.0], 0.25), run([1.0, -0.5], 1.0));
}

#[test]
fn a_saved_state_goes_on_where_it_was() {
    let step = |module: &Tied, optimizer: &mut AdamW, grad: f64| {
        module.set_grad(grad);
        optimizer.step(0.1, 1.0);
    };
    let (whole, parts) = (Tied::new(), Tied::new());
    let mut optimizer = AdamW::new(&whole, AdamWConfig::default());
    for grad in [1.0, -3.0, 0.5] {
        step(&whole, &mut optimizer, grad);
    }

    let mut before = AdamW::new(&parts, AdamWConfig::default());
    for grad in [1.0, -3.0] {
        step(&parts, &mut before, grad);
    }
    let state = before.state();
    let mut after = AdamW::new(&parts, AdamWConfig::default());
    let find = |name: &str| state.iter().find(|(own, _)| own == name).map(|(_, moment)| moment.clone());
    after.load_state(before.steps(), find).unwrap();
    step(&parts, &mut after, 0.5);
    assert_eq!((first(&parts.matrix), first(&parts.vector)), (first(&whole.matrix), first(&whole.vector)));
    assert_eq!(after.steps(), 3);

    let missing = after.load_state(3, |name| find(name).filter(|_| name != "v/vector")).unwrap_err();
    assert_eq!(missing, "the optimiser state lacks v/vector");
    let wrong = after.load_state(3, |_| Some(Tensor::full(0.0_f64, &[2, 2]))).unwrap_err();
    assert_eq!(wrong, "m/vector has the shape [2, 2], not [3]");
}

#[test]
fn momentum_rolls_on() {
    let module = Tied::new();
    let mut sgd = Sgd::new(&module, SgdConfig { momentum: 0.5, ..SgdConfig::default() });
    for _ in 0..3 {
        let tape = Tape::new();
        tape.backward(&tape.parameter(&module.vector).sum(&[0], false)); // a slope of 1 everywhere
        sgd.step(0.25, 1.0);
    }
    // Velocities 1, 1.5, 1.75.
    assert_eq!(first(&module.vector), 1.0 - 0.25 * 4.25);
    assert_eq!(first(&module.matrix), 1.0);
}

#[test]
fn the_schedule_rises_falls_and_stays() {
    let schedule = Schedule { learning_rate: 1e-3, min_learning_rate: 1e-4, warmup: 100, steps: 2000 };
    let rates: Vec<f64> = (0..2100).map(|step| schedule.at(step)).collect();
    assert!(rates[0] > 0.0 && rates[..=100].is_sorted() && rates[100] == 1e-3);
    assert!(rates[100..].is_sorted_by(|a, b| a >= b) && rates[2000..].iter().all(|&rate| rate == 1e-4));
    let jumps = rates.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f64::max);
    assert!(jumps < 1.01e-5, "no jump is larger than a step of the warm-up: {jumps:e}");
    // A run shorter than its warm-up never sees the cosine; a run of no steps asks for nothing.
    assert!(Schedule { steps: 50, ..schedule }.at(49) < 1e-3);
    assert!(Schedule { steps: 0, warmup: 0, ..schedule }.at(0).is_finite());
}
