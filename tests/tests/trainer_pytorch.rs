//! Ten steps of the trainer, number by number as PyTorch makes them with the same batches and dropout masks: accumulation
//! over three micro-batches, dropout at all four places, clipping that some steps reach, decay of matrices only, and a
//! schedule that ends before the run does.
//!
//! PyTorch computed in `f64`. Its own run in `f32` is 3e-8 away from that in the losses, 1e-7 in the norms, 7e-7 in the
//! weights and 3e-6 in the moments (`make_trainer.py` prints it). The trainer computes in `f32` too, and gets some times
//! as much, because two correct programs may err in opposite directions; the losses and norms that it reports are rounded
//! to `f32` besides, by 6e-8.

use gradus_autograd::{DType, Tensor};
use gradus_gpt::config::RunConfig;
use gradus_gpt::dataset::{Dataset, Part};
use gradus_gpt::error::Error;
use gradus_gpt::evaluation::Coverage;
use gradus_gpt::trainer::{Step, Trainer};
use gradus_nn::Module;
use gradus_tests::compare::assert_close;
use gradus_tests::fixture::Fixture;
use gradus_tests::isa;
use gradus_tests::models::{run_on, without_noise};

const LOSSES: f64 = 5e-7;
const NORMS: f64 = 1e-6;
const WEIGHTS: f64 = 5e-6;
const MOMENTS: f64 = 2e-5;

/// The settings of the fixture, and its ids as letters.
fn settings(fixture: &Fixture) -> (RunConfig, Dataset) {
    let letter = |id: f64| char::from(b'a' + id as u8);
    let (mut run, data) = run_on(&fixture.numbers("text").into_iter().map(letter).collect::<String>());
    let (model, train) = (&mut run.model, &mut run.train);
    assert_eq!(model.vocab_size, fixture.constant::<usize>("vocabulary"), "letters are ids");
    (model.layers, model.heads) = (fixture.constant("layers"), fixture.constant("heads"));
    (model.width, model.context) = (fixture.constant("width"), fixture.constant("context"));
    (model.dropout, model.bias) = (fixture.constant("dropout"), true);
    (train.seed, train.steps) = (fixture.constant("run_seed"), fixture.constant("decay_steps"));
    (train.batch, train.grad_accum) = (fixture.constant("batch"), fixture.constant("accumulation"));
    (train.lr, train.min_lr) = (fixture.constant("learning_rate"), fixture.constant("min_learning_rate"));
    train.warmup = fixture.constant("warmup_steps");
    (train.beta1, train.beta2) = (fixture.constant("beta1"), fixture.constant("beta2"));
    (train.eps, train.weight_decay) = (fixture.constant("epsilon"), fixture.constant("weight_decay"));
    train.clip = fixture.constant("clip");
    run.train.validate(&run.model).expect("settings that the program takes");
    (run, data)
}

fn start<'a>(fixture: &Fixture, run: &'a RunConfig, data: &'a Dataset) -> Trainer<'a> {
    let trainer = Trainer::new(run, data);
    let parameters = trainer.model().named_parameters();
    assert_eq!(parameters.len(), fixture.names("init/").len(), "the parameters are PyTorch's, no more and no fewer");
    for (name, parameter) in parameters {
        parameter.set_value(fixture.of_type(&format!("init/{name}"), DType::F32));
    }
    trainer
}

#[track_caller]
fn expect(fixture: &Fixture, what: &str, tensor: &Tensor, tolerance: f64) {
    let expected = without_noise(what, fixture.numbers(what));
    assert_close(what, &without_noise(what, tensor.to_f64_vec()), &expected, tolerance);
}

/// That a number of a step is PyTorch's, relative to it.
#[track_caller]
fn expect_number(fixture: &Fixture, what: &str, at: usize, got: f64, tolerance: f64) {
    let expected = fixture.numbers(what)[at];
    let apart = (got - expected).abs() / expected;
    assert!(apart <= tolerance, "{what}, {at}: {got}, PyTorch {expected}, {apart:.1e} apart");
}

#[test]
fn ten_steps_are_pytorchs() {
    let fixture = Fixture::open("trainer.safetensors");
    let (run, data) = settings(&fixture);
    let mut trainer = start(&fixture, &run, &data);
    let steps: usize = fixture.constant("steps");
    for step in 0..steps {
        let Step { loss, learning_rate, grad_norm } = trainer.step().expect("finite numbers");
        expect_number(&fixture, "losses", step, loss.into(), LOSSES);
        expect_number(&fixture, "grad_norms", step, grad_norm.into(), NORMS);
        expect_number(&fixture, "learning_rates", step, learning_rate, 1e-14);
        for (name, parameter) in trainer.model().named_parameters() {
            expect(&fixture, &format!("weights/{step}/{name}"), &parameter.value(), WEIGHTS);
        }
        if step == 0 || step + 1 == steps {
            for (name, moment) in trainer.optimizer().state() {
                let name = name.replacen('/', &format!("/{step}/"), 1);
                expect(&fixture, &name, &moment, MOMENTS);
            }
        }
    }
}

/// Before the first step and after the last one; where dropout was left on, no digit would be right.
#[test]
fn validation_is_pytorchs_without_dropout() {
    let fixture = Fixture::open("trainer.safetensors");
    let (run, data) = settings(&fixture);
    let trainer = start(&fixture, &run, &data);
    for at in [0, 1] {
        let got = trainer.evaluate(Part::Validation, Coverage::Whole, |_, _| Ok::<(), Error>(())).unwrap();
        expect_number(&fixture, "validation", at, got.loss, LOSSES);
        let last = fixture.constant::<usize>("steps") - 1;
        for (name, parameter) in trainer.model().named_parameters() {
            parameter.set_value(fixture.of_type(&format!("weights/{last}/{name}"), DType::F32));
        }
    }
}

/// What the comparison can see: steps that are clipped and others, a rate past the end of the schedule, an eps that is not
/// small beside the gradients, and weights that every step moves by more than the tolerance.
#[test]
fn the_fixture_tries_every_part_of_a_step() {
    let fixture = Fixture::open("trainer.safetensors");
    let clip: f64 = fixture.constant("clip");
    let clipped = fixture.numbers("grad_norms").iter().filter(|norm| **norm > clip).count();
    let steps: usize = fixture.constant("steps");
    assert!((2..steps - 1).contains(&clipped), "{clipped} of {steps} steps are clipped");
    let rates = fixture.numbers("learning_rates");
    let (warmup, end): (usize, usize) = (fixture.constant("warmup_steps"), fixture.constant("decay_steps"));
    assert!(rates[0] < rates[warmup] && rates[warmup] > rates[end] && end < steps, "{rates:?}");
    let second = fixture.numbers("v/0/norm.weight").into_iter().fold(0.0, f64::max);
    assert!(fixture.constant::<f64>("epsilon") > 0.01 * second.sqrt());
    for name in fixture.names("weights/0/") {
        for step in 1..steps {
            let [before, now] = [step - 1, step].map(|step| fixture.numbers(&format!("weights/{step}/{name}")));
            let moved = before.iter().zip(&now).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(moved > 1e-4, "{name} moves by {moved:e} in step {step}");
        }
    }
}

#[test]
fn at_every_instruction_set() {
    isa::at_every_other(&["ten_steps_are_pytorchs", "validation_is_pytorchs_without_dropout"]);
}
