//! Optimisers, clipping and the schedule, against numbers worked out by hand.

use gradus_autograd::{DType, Parameter, Tensor};
use gradus_nn::optim::{AdamW, AdamWConfig, Schedule, Sgd, SgdConfig, clip_factor, global_norm, validate_max_norm};
use gradus_nn::{Module, Visitor};

/// A matrix under two names, as the embedding and the head of a GPT share one, and a vector.
struct Tied {
    matrix: Parameter,
    vector: Parameter,
}

impl Tied {
    fn new() -> Tied {
        let matrix = Parameter::new(Tensor::from_slice(&[1.0_f64, -2.0, 3.0, 4.0], &[2, 2]));
        Tied { matrix, vector: Parameter::new(Tensor::from_slice(&[5.0_f64, -6.0], &[2])) }
    }

    fn add_grads(&self, matrix: [f64; 4], vector: [f64; 2]) {
        self.matrix.add_grad(Tensor::from_slice(&matrix, &[2, 2]));
        self.vector.add_grad(Tensor::from_slice(&vector, &[2]));
    }
}

impl Module for Tied {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.parameter("embedding", &self.matrix);
        visitor.parameter("norm", &self.vector);
        visitor.parameter("head", &self.matrix);
    }
}

#[track_caller]
fn close(got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    for (a, b) in got.iter().zip(expected) {
        assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{got:?}, not {expected:?}");
    }
}

fn numbers(parameter: &Parameter) -> Vec<f64> {
    parameter.value().to_vec()
}

/// nanoGPT's `get_lr(it)` with its settings for tinyshakespeare on a CPU, computed with Python's `math`.
#[test]
fn the_schedule_is_nano_gpts() {
    let schedule = Schedule { learning_rate: 1e-3, min_learning_rate: 1e-4, warmup: 100, steps: 2000 };
    let rates = [
        (0, 9.900990099009901e-06),
        (1, 1.9801980198019803e-05),
        (99, 0.0009900990099009901),
        (100, 0.001),
        (101, 0.0009999993848585915),
        (575, 0.0008681980515339464),
        (1050, 0.00055),
        (1525, 0.00023180194846605365),
        (1999, 0.00010000061514140841),
        (2000, 0.0001),
        (2001, 0.0001),
        (u64::MAX, 0.0001),
    ];
    for (step, rate) in rates {
        assert!((schedule.at(step) / rate - 1.0).abs() < 1e-12, "step {step}: {}, not {rate}", schedule.at(step));
    }
}

#[test]
fn the_longest_warm_up_is_no_division_by_zero() {
    let schedule = Schedule { learning_rate: 1.0, min_learning_rate: 0.1, warmup: u64::MAX, steps: u64::MAX };
    assert_eq!(schedule.at(0), 1.0 / 2f64.powi(64));
    assert_eq!(schedule.at(u64::MAX - 1), 1.0);
    assert_eq!(schedule.at(u64::MAX), 0.1);
}

/// A number that is in range in `f64` may be out of range in the `f32` of the kernels.
#[test]
fn settings_are_checked_in_the_type_that_computes() {
    let adamw = |change: fn(&mut AdamWConfig)| {
        let mut config = AdamWConfig::default();
        change(&mut config);
        config.validate().map_err(|wrong| wrong.name)
    };
    assert_eq!(adamw(|_| ()), Ok(()));
    assert_eq!(adamw(|c| c.beta2 = 1.0 - f32::EPSILON / 2.0), Ok(()));
    assert_eq!(adamw(|c| c.beta1 = 0.99999999999_f64 as f32), Err("beta1"));
    assert_eq!(adamw(|c| c.beta2 = f32::NAN), Err("beta2"));
    assert_eq!(adamw(|c| c.beta2 = -0.1), Err("beta2"));
    assert_eq!(adamw(|c| c.eps = 1e-60_f64 as f32), Err("eps"));
    assert_eq!(adamw(|c| c.eps = f32::INFINITY), Err("eps"));
    assert_eq!(adamw(|c| c.weight_decay = 1e39_f64 as f32), Err("weight_decay"));
    assert_eq!(adamw(|c| c.weight_decay = -1.0), Err("weight_decay"));

    let schedule = |learning_rate: f64, min_learning_rate: f64| {
        Schedule { learning_rate, min_learning_rate, warmup: u64::MAX, steps: 0 }.validate().map_err(|wrong| wrong.name)
    };
    assert_eq!([schedule(0.1, 0.01), schedule(0.0, 0.0), schedule(0.1, 0.1)], [const { Ok(()) }; 3]);
    assert_eq!([1e39, f64::NAN, -1.0, 1e-60].map(|rate| schedule(rate, 0.0)), [const { Err("learning_rate") }; 4]);
    assert_eq!([1e39, f64::NAN, -1.0, 0.2].map(|rate| schedule(0.1, rate)), [const { Err("min_learning_rate") }; 4]);

    assert_eq!([0.0, 1e-30, 1e30].map(validate_max_norm), [const { Ok(()) }; 3]);
    assert!([-1.0, 1e-60, 1e39, f64::NAN].iter().all(|&norm| validate_max_norm(norm).is_err()));
    assert!(SgdConfig { momentum: f32::NAN, ..SgdConfig::default() }.validate().is_err());
    assert!(SgdConfig { weight_decay: -1.0, ..SgdConfig::default() }.validate().is_err());
}

#[test]
#[should_panic = "AdamW: beta2 is 1, and must be at least 0 and below 1"]
fn an_optimiser_is_not_made_with_settings_that_it_cannot_use() {
    AdamW::new(&Tied::new(), AdamWConfig { beta2: 1.0, ..AdamWConfig::default() });
}

#[test]
fn schedules_of_odd_lengths_stay_between_their_rates() {
    for (warmup, steps) in [(0, 0), (0, 1), (5, 5), (10, 3), (0, 7), (1, 2)] {
        let schedule = Schedule { learning_rate: 1.0, min_learning_rate: 0.1, warmup, steps };
        for step in 0..12 {
            let least = if step < warmup { 1.0 / (warmup + 1) as f64 } else { 0.1 };
            assert!((least..=1.0).contains(&schedule.at(step)), "{schedule:?} at {step}: {}", schedule.at(step));
        }
    }
}

/// `torch.nn.utils.clip_grad_norm_`: min(1, max_norm / (norm + 1e-6)).
#[test]
fn the_clip_factor_is_pytorchs() {
    assert_eq!(clip_factor(5.0, 1.0), 1.0 / 5.000001);
    assert_eq!(clip_factor(1.0, 1.0), 1.0 / 1.000001, "at the norm itself already a little less than 1");
    assert_eq!(clip_factor(0.5, 1.0), 1.0);
    assert_eq!(clip_factor(0.0, 1.0), 1.0);
    assert_eq!(clip_factor(1e30, 0.0), 1.0, "0 means that nothing is clipped");
}

#[test]
fn the_global_norm_counts_a_tied_parameter_once_and_a_missing_gradient_as_zero() {
    let module = Tied::new();
    assert_eq!(global_norm(&module), 0.0);
    module.matrix.add_grad(Tensor::from_slice(&[1.0_f64, 2.0, 2.0, 4.0], &[2, 2]));
    close(&[global_norm(&module)], &[5.0], 1e-12);
    module.vector.add_grad(Tensor::from_slice(&[0.0_f64, 12.0], &[2]));
    close(&[global_norm(&module)], &[13.0], 1e-12);
}

#[test]
fn a_tied_parameter_is_named_twice_counted_once_and_has_one_state() {
    let module = Tied::new();
    let names: Vec<String> = module.named_parameters().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["embedding", "norm", "head"]);
    assert_eq!(module.parameter_count(), 6);
    let state = AdamW::new(&module, AdamWConfig::default()).state();
    let names: Vec<&str> = state.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["m/embedding", "v/embedding", "m/norm", "v/norm"]);
}

#[test]
fn a_tied_parameter_is_moved_once() {
    let module = Tied::new();
    let mut sgd = Sgd::new(&module, SgdConfig { weight_decay: 0.5, ..SgdConfig::default() });
    module.add_grads([1.0; 4], [1.0; 2]);
    sgd.step(0.125, 2.0); // p − 0.125·(2·1 + 0.5·p)
    assert_eq!(numbers(&module.matrix), [1.0, -2.0, 3.0, 4.0].map(|p| p - 0.125 * (2.0 + 0.5 * p)));
    assert_eq!(numbers(&module.vector), [5.0, -6.0].map(|p| p - 0.125 * (2.0 + 0.5 * p)));
    assert!(module.matrix.grad().is_none(), "the gradient is gone after the step");
}

#[test]
fn momentum_keeps_a_share_of_the_speed() {
    // The velocity is 1, then 0.5·1 + 1; Nesterov's step looks ahead: 1 + 0.5·velocity.
    for (nesterov, steps) in [(false, [1.0, 1.5]), (true, [1.5, 1.75])] {
        let (module, mut expected) = (Tied::new(), 1.0);
        let mut sgd = Sgd::new(&module, SgdConfig { momentum: 0.5, nesterov, ..SgdConfig::default() });
        for step in steps {
            module.add_grads([1.0; 4], [0.0; 2]);
            sgd.step(0.125, 1.0);
            expected -= 0.125 * step;
            assert_eq!(numbers(&module.matrix)[0], expected, "nesterov {nesterov}");
        }
        assert_eq!(numbers(&module.vector), [5.0, -6.0]);
    }
}

#[test]
fn adamw_decays_matrices_only() {
    let module = Tied::new();
    let mut adamw = AdamW::new(&module, AdamWConfig { weight_decay: 0.5, ..AdamWConfig::default() });
    for _ in 0..2 {
        module.add_grads([0.0; 4], [0.0; 2]);
        adamw.step(0.25, 1.0); // 1 − 0.25·0.5 = 0.875, an exact number
    }
    assert_eq!(numbers(&module.matrix), [1.0, -2.0, 3.0, 4.0].map(|p| p * 0.875 * 0.875));
    assert_eq!(numbers(&module.vector), [5.0, -6.0]);
}

/// Algorithm 2 of the paper, line by line; the settings are f32, hence the tolerance.
#[test]
fn adamw_makes_the_steps_of_the_paper() {
    let config = AdamWConfig { beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1 };
    let (module, lr, scale) = (Tied::new(), 0.01, 0.5);
    let mut adamw = AdamW::new(&module, config);
    let (mut p, mut m, mut v) = (-2.0_f64, 0.0_f64, 0.0_f64);
    for (t, grad) in [(1, 0.3), (2, -4.0), (3, 0.02), (4, 1.0)] {
        module.add_grads([0.0, grad, 0.0, 0.0], [0.0; 2]);
        adamw.step(lr as f32, scale as f32);
        let g = grad * scale;
        (m, v) = (0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g);
        let (m_hat, v_hat) = (m / (1.0 - 0.9_f64.powi(t)), v / (1.0 - 0.99_f64.powi(t)));
        p -= lr * (m_hat / (v_hat.sqrt() + 1e-8) + 0.1 * p);
        close(&numbers(&module.matrix)[1..2], &[p], 1e-7);
    }
    assert_eq!(adamw.steps(), 4);
}

#[test]
fn a_parameter_that_no_gradient_reached_stays() {
    let module = Tied::new();
    let mut adamw = AdamW::new(&module, AdamWConfig::default());
    module.vector.add_grad(Tensor::from_slice(&[1.0_f64, 1.0], &[2]));
    adamw.step(0.1, 1.0);
    assert_eq!(numbers(&module.matrix), [1.0, -2.0, 3.0, 4.0], "not even decayed");
    assert_ne!(numbers(&module.vector), [5.0, -6.0]);
}

#[test]
fn adamw_goes_on_from_its_saved_state_bit_for_bit() {
    let steps = |module: &Tied, adamw: &mut AdamW, range: std::ops::Range<u32>| {
        for t in range {
            let g = f64::from(t).sin();
            module.add_grads([g, -g, 2.0 * g, 0.1], [g * g, 0.3]);
            adamw.step(0.01, 1.0);
        }
    };
    let (through, config) = (Tied::new(), AdamWConfig::default());
    steps(&through, &mut AdamW::new(&through, config), 0..10);

    let stopped = Tied::new();
    let mut first = AdamW::new(&stopped, config);
    steps(&stopped, &mut first, 0..5);
    let saved = first.state();
    let find = |name: &str| saved.iter().find(|(known, _)| known == name).map(|(_, tensor)| tensor.clone());
    let mut second = AdamW::new(&stopped, config);
    second.load_state(first.steps(), find).unwrap();
    steps(&stopped, &mut second, 5..10);
    assert_eq!(numbers(&through.matrix), numbers(&stopped.matrix));
    assert_eq!(numbers(&through.vector), numbers(&stopped.vector));

    let missing = second.load_state(5, |name| find(name).filter(|_| name != "v/norm")).unwrap_err();
    assert_eq!(missing, "the optimiser state lacks v/norm");
    let wrong = second.load_state(5, |_| Some(Tensor::zeros_of(DType::F64, &[2]))).unwrap_err();
    assert_eq!(wrong, "m/embedding is f64 [2], not f64 [2, 2]");
}
