//! The trainer against a loop written out by hand, in `f64` and on plain lists of numbers.
//!
//! The model and its gradients are shared (central differences and PyTorch answer for them); what the trainer does with
//! them is not: the mean over the micro-batches, the norm, clipping, the schedule and AdamW are the formulas below. The
//! trainer computes in `f32`, which errs by some 1e-7 in a loss and, by PyTorch's own two runs (`make_trainer.py`), by
//! 7e-7 in the weights and 3e-6 in the moments after ten steps; larger models add up longer sums.

use gradus_autograd::{DType, Tape, Tensor};
use gradus_gpt::config::RunConfig;
use gradus_gpt::dataset::{Dataset, Part};
use gradus_gpt::error::Error;
use gradus_gpt::evaluation::Coverage;
use gradus_gpt::model::Gpt;
use gradus_gpt::trainer::Trainer;
use gradus_nn::{Init, Module, Parameter};
use gradus_tests::compare::assert_close;
use gradus_tests::models::{lively, small_run, without_noise};
use std::f64::consts::PI;

const STEPS: u64 = 10;

/// A parameter and its moments.
struct Slot {
    name: String,
    parameter: Parameter,
    m: Vec<f64>,
    v: Vec<f64>,
}

/// The loop by hand.
struct ByHand<'a> {
    model: Gpt,
    slots: Vec<Slot>,
    run: &'a RunConfig,
    data: &'a Dataset,
}

impl<'a> ByHand<'a> {
    /// From the weights of another model.
    fn from(model: &Gpt, run: &'a RunConfig, data: &'a Dataset) -> ByHand<'a> {
        let ours = Gpt::new(&run.model, &mut Init::with_dtype(0, DType::F64));
        let mut slots = Vec::new();
        for ((name, parameter), (_, theirs)) in ours.named_parameters().into_iter().zip(model.named_parameters()) {
            parameter.set_value(theirs.value().to_dtype(DType::F64));
            let zeros = vec![0.0; theirs.value().len()];
            slots.push(Slot { name, parameter, m: zeros.clone(), v: zeros });
        }
        ByHand { model: ours, slots, run, data }
    }

    fn batch(&self, index: u64) -> [Tensor; 2] {
        let (batch, context) = (self.run.train.batch, self.run.model.context);
        let (mut inputs, mut targets) = (Vec::new(), Vec::new());
        let seed = self.run.train.seed;
        self.data.batch(Part::Training, seed, index, batch, context, &mut inputs, &mut targets).unwrap();
        [inputs, targets].map(|ids| Tensor::from_slice(&ids, &[batch, context]))
    }

    fn learning_rate(&self, step: u64) -> f64 {
        let train = &self.run.train;
        let (step, warmup, end) = (step as f64, train.warmup as f64, train.steps as f64);
        if step < warmup {
            train.lr * (step + 1.0) / (warmup + 1.0)
        } else if step >= end {
            train.min_lr
        } else {
            let cosine = (PI * (step - warmup) / (end - warmup)).cos();
            train.min_lr + (train.lr - train.min_lr) * (1.0 + cosine) / 2.0
        }
    }

    /// Step `step`, from 0: its loss, its learning rate and the norm of its gradient.
    fn step(&mut self, step: u64) -> [f64; 3] {
        let (train, accumulation) = (&self.run.train, self.run.train.grad_accum as u64);
        let mut gradients: Vec<Vec<f64>> = self.slots.iter().map(|slot| vec![0.0; slot.m.len()]).collect();
        let mut loss = 0.0;
        for micro in 0..accumulation {
            let index = step * accumulation + micro;
            let [ids, targets] = self.batch(index);
            let tape = Tape::training(train.seed, index);
            let of_batch = self.model.loss(&tape, &ids, &targets);
            loss += of_batch.value().item();
            tape.backward(&of_batch);
            for (sum, slot) in gradients.iter_mut().zip(&self.slots) {
                let gradient = slot.parameter.take_grad().expect("every parameter has a gradient").to_f64_vec();
                sum.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
            }
        }
        loss /= accumulation as f64;
        gradients.iter_mut().flatten().for_each(|g| *g /= accumulation as f64);

        let norm = gradients.iter().flatten().map(|g| g * g).sum::<f64>().sqrt();
        if train.clip > 0.0 && norm > train.clip {
            gradients.iter_mut().flatten().for_each(|g| *g *= train.clip / norm);
        }
        let rate = self.learning_rate(step);
        let [unbiased1, unbiased2] = [train.beta1, train.beta2].map(|beta| 1.0 - beta.powi(step as i32 + 1));
        for (slot, gradient) in self.slots.iter_mut().zip(&gradients) {
            let shape = slot.parameter.shape();
            let decay = if shape.len() == 2 { train.weight_decay } else { 0.0 };
            let mut weights = slot.parameter.value().to_f64_vec();
            for (((p, g), m), v) in weights.iter_mut().zip(gradient).zip(&mut slot.m).zip(&mut slot.v) {
                *m = train.beta1 * *m + (1.0 - train.beta1) * g;
                *v = train.beta2 * *v + (1.0 - train.beta2) * g * g;
                *p -= rate * decay * *p;
                *p -= rate * (*m / unbiased1) / ((*v / unbiased2).sqrt() + train.eps);
            }
            slot.parameter.set_value(Tensor::from_slice(&weights, &shape));
        }
        [loss, rate, norm]
    }
}

/// Settings in which every part of a step counts.
fn settings() -> (RunConfig, Dataset) {
    let (mut run, data) = small_run();
    let (model, train) = (&mut run.model, &mut run.train);
    (model.layers, model.heads, model.width, model.context) = (2, 2, 10, 9);
    (model.dropout, model.bias) = (0.25, true);
    (train.seed, train.batch, train.grad_accum) = (0xffff_ffff_ffff_fff0, 2, 3);
    (train.lr, train.min_lr, train.warmup, train.steps) = (0.01, 0.002, 3, 8);
    (train.beta1, train.beta2, train.eps, train.weight_decay) = (0.7, 0.9, 1e-3, 0.5);
    train.clip = 1.0;
    (run, data)
}

/// A trainer whose weights are all of size 1 and below: after GPT-2's initialisation most of a model hardly counts.
fn lively_trainer<'a>(run: &'a RunConfig, data: &'a Dataset) -> Trainer<'a> {
    let trainer = Trainer::new(run, data);
    let start = lively(&run.model, DType::F32, 0.3);
    for ((_, ours), (_, value)) in trainer.model().named_parameters().into_iter().zip(start.named_parameters()) {
        ours.set_value(value.value());
    }
    trainer
}

fn compare(run: &RunConfig, data: &Dataset, clipped: std::ops::RangeInclusive<usize>) {
    run.train.validate(&run.model).expect("settings that the program takes");
    let mut trainer = lively_trainer(run, data);
    let mut by_hand = ByHand::from(trainer.model(), run, data);
    let mut above = 0;
    for step in 0..STEPS {
        let [loss, rate, norm] = by_hand.step(step);
        let got = trainer.step().expect("finite numbers");
        let numbers = [got.loss.into(), got.learning_rate, got.grad_norm.into()];
        for ((what, got), expected) in ["loss", "rate", "norm"].into_iter().zip(numbers).zip([loss, rate, norm]) {
            assert_close(&format!("{what} of step {step}"), &[got], &[expected], 1e-6);
        }
        above += usize::from(norm > run.train.clip);
        let moments = trainer.optimizer().state();
        for (slot, (name, parameter)) in by_hand.slots.iter().zip(trainer.model().named_parameters()) {
            let find = |kind: char| &moments.iter().find(|(moment, _)| *moment == format!("{kind}/{name}")).unwrap().1;
            let weights = slot.parameter.value().to_f64_vec();
            let triples = [
                ("weights", &parameter.value(), &weights, 1e-5),
                ("m", find('m'), &slot.m, 3e-5),
                ("v", find('v'), &slot.v, 3e-5),
            ];
            for (what, got, expected, tolerance) in triples {
                let pick = |values: Vec<f64>| without_noise(&slot.name, values);
                let what = format!("{what} of {name} after step {step}");
                assert_close(&what, &pick(got.to_f64_vec()), &pick(expected.clone()), tolerance);
            }
        }
    }
    assert!(clipped.contains(&above), "{above} of {STEPS} steps are clipped");
}

#[test]
fn all_at_once() {
    let (run, data) = settings();
    compare(&run, &data, 1..=9);
}

#[test]
fn one_micro_batch_without_limit_decay_or_dropout() {
    let (mut run, data) = settings();
    (run.model.dropout, run.model.bias) = (0.0, false);
    (run.train.grad_accum, run.train.weight_decay, run.train.clip, run.train.warmup) = (1, 0.0, 0.0, 0);
    compare(&run, &data, 10..=10); // no norm is below the limit of 0, and none is clipped
}

/// Rows of probabilities that are longer than a group of 64 dropout bits, and a width that no vector divides.
#[test]
fn a_longer_context() {
    let (mut run, data) = settings();
    (run.model.layers, run.model.heads, run.model.width, run.model.context) = (1, 3, 39, 70);
    (run.train.grad_accum, run.train.clip) = (2, 0.2);
    compare(&run, &data, 10..=10);
}

/// Estimates and whole parts against the loss without dropout, and that dropout would show.
#[test]
fn validation_draws_no_dropout() {
    let (run, data) = settings();
    let trainer = lively_trainer(&run, &data);
    let by_hand = ByHand::from(trainer.model(), &run, &data);
    let loss = |tape: Tape, [ids, targets]: [&Tensor; 2]| by_hand.model.loss(&tape, ids, targets).value().item();
    for part in [Part::Training, Part::Validation] {
        for (coverage, windows) in [(Coverage::Tokens(5 * run.model.context), 5), (Coverage::Whole, usize::MAX)] {
            let (mut sum, mut dropped, mut count) = (0.0, 0.0, 0);
            let (mut inputs, mut targets) = (Vec::new(), Vec::new());
            let mut windows = data.sample(part, windows, 1, run.model.context);
            while let Some((rows, time)) = windows.next_batch(&mut inputs, &mut targets).unwrap() {
                let [ids, targets] = [&inputs, &targets].map(|ids| Tensor::from_slice(ids, &[rows, time]));
                sum += loss(Tape::inference(), [&ids, &targets]) * time as f64;
                dropped += loss(Tape::training(run.train.seed, count as u64), [&ids, &targets]) * time as f64;
                count += time;
            }
            let got = trainer.evaluate(part, coverage, |_, _| Ok::<(), Error>(())).unwrap();
            assert_eq!(got.tokens, count, "{part:?} {coverage:?}");
            assert_close(&format!("{part:?} {coverage:?}"), &[got.loss], &[sum / count as f64], 1e-6);
            assert!((dropped / sum - 1.0).abs() > 1e-4, "dropout shows: {dropped} for {sum}");
        }
    }
    let whole_sample = trainer.estimate(Part::Validation, 1, |_, _| {}).unwrap();
    let tokens = Coverage::Tokens(run.train.batch * run.model.context);
    let same = trainer.evaluate(Part::Validation, tokens, |_, _| Ok::<(), Error>(())).unwrap();
    assert_eq!(whole_sample, same.loss as f32, "an estimate has as many targets as its batches");
}
