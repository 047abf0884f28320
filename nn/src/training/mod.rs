//! One training step for any model: a batch becomes a loss, the loss gradients, the gradients a step of the weights.
//!
//! Whatever a step needs (its batch, its dropout masks, its learning rate) is a function of the seed and the number of
//! the step. So the weights, the moments and that number are all there is to save, and a run that was stopped goes on
//! bit for bit as if it had not been. Files, progress and signals are the business of those who call [`Trainer::step`].
//! [`Trainer::fit`] makes the steps of whole epochs, scores other data after each, and stops early where that no longer helps.

mod fit;

pub use fit::{End, Epoch, Event, Examples, FitConfig, Fitted, Score, Scored, score};

use crate::module::Module;
use crate::optim::{AdamW, AdamWConfig, Schedule, clip_factor, global_norm};
use gradus_autograd::{Tape, Tensor, Var};
use gradus_kernels::parallel::with_spinning_pool;
use std::fmt;

/// A model that can be trained: named parameters, and the loss of a batch.
pub trait Trainable: Module {
    /// What the loss is computed from: ids and targets, rows and labels, …
    type Batch;

    /// The mean loss of a batch, one number, recorded on the tape.
    fn loss(&self, tape: &Tape, batch: &Self::Batch) -> Var;

    /// The tape of micro-batch `index` of a training with this seed. A model that has a precision or recomputes
    /// activations says so here.
    fn training_tape(&self, seed: u64, index: u64) -> Tape {
        Tape::training(seed, index)
    }
}

/// What is trained on: batches that are functions of (seed, index, row) and of no state, so that a resumed run sees those
/// that it would have seen.
pub trait Batches {
    /// What a model is given.
    type Batch;
    /// Why a batch could not be read; [`std::convert::Infallible`] for data in memory.
    type Error;

    /// Batch `index` of the random sequence `seed`, with `rows` rows.
    ///
    /// # Errors
    /// Those of reading it.
    fn batch(&self, seed: u64, index: u64, rows: usize) -> Result<Self::Batch, Self::Error>;
}

/// How a model is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainerConfig {
    /// Decides batches and dropout.
    pub seed: u64,
    /// Rows of a micro-batch.
    pub batch: usize,
    /// Micro-batches of a step, at least one, whose gradients are averaged.
    pub grad_accum: usize,
    /// The largest norm of the whole gradient; 0 for no limit.
    pub clip: f64,
    /// The learning rate over the steps.
    pub schedule: Schedule,
    /// The settings of the optimiser.
    pub adamw: AdamWConfig,
}

/// A model in training.
pub struct Trainer<M> {
    model: M,
    optimizer: AdamW,
    config: TrainerConfig,
}

/// What one step showed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The loss of its batch, before the update.
    pub loss: f32,
    /// Its learning rate.
    pub learning_rate: f64,
    /// The norm of the whole gradient before it was clipped.
    pub grad_norm: f32,
}

/// Why a step was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepError<E> {
    /// Its batch could not be read.
    Data(E),
    /// The loss or a gradient is not a finite number.
    NotFinite {
        /// Which of them.
        what: &'static str,
        /// The steps made before.
        step: u64,
    },
}

impl<M: Trainable> Trainer<M> {
    /// Begins with the model as it is.
    ///
    /// # Panics
    /// Where [`AdamWConfig::validate`] refuses the settings, or `grad_accum` is 0.
    pub fn new(model: M, config: TrainerConfig) -> Trainer<M> {
        assert!(config.grad_accum > 0, "a step needs at least one micro-batch");
        Trainer { optimizer: AdamW::new(&model, config.adamw), model, config }
    }

    /// The model as it is now.
    pub fn model(&self) -> &M {
        &self.model
    }

    /// How it is trained.
    pub fn config(&self) -> &TrainerConfig {
        &self.config
    }

    /// The optimiser, with its moments.
    pub fn optimizer(&self) -> &AdamW {
        &self.optimizer
    }

    /// Goes on after `steps` steps with saved moments; the weights of the model are those of that step.
    ///
    /// # Errors
    /// As [`AdamW::load_state`].
    pub fn load_moments(&mut self, steps: u64, find: impl FnMut(&str) -> Option<Tensor>) -> Result<(), String> {
        self.optimizer.load_state(steps, find)
    }

    /// The updates that have been made.
    pub fn step_count(&self) -> u64 {
        self.optimizer.steps()
    }

    /// One update: forward and backward over every micro-batch, clipping, AdamW.
    ///
    /// # Errors
    /// [`StepError`]; the weights are as they were before, and no gradient is left.
    pub fn step<D: Batches<Batch = M::Batch>>(&mut self, data: &D) -> Result<Step, StepError<D::Error>> {
        let step = with_spinning_pool(|| self.update(data));
        if step.is_err() {
            self.model.named_parameters().iter().for_each(|(_, parameter)| _ = parameter.take_grad());
        }
        step
    }

    fn update<D: Batches<Batch = M::Batch>>(&mut self, data: &D) -> Result<Step, StepError<D::Error>> {
        let (step, accum) = (self.step_count(), self.config.grad_accum as u64);
        let mut loss = 0.0;
        for index in step * accum..(step + 1) * accum {
            loss += self.micro_batch(data, index).map_err(StepError::Data)? / accum as f64;
        }
        let grad_norm = global_norm(&self.model);
        if !loss.is_finite() || !grad_norm.is_finite() {
            let what = if loss.is_finite() { "the gradient" } else { "the training loss" };
            return Err(StepError::NotFinite { what, step });
        }
        let learning_rate = self.config.schedule.at(step);
        let grad_scale = clip_factor(grad_norm, self.config.clip);
        self.optimizer.step(learning_rate as f32, grad_scale as f32);
        Ok(Step { loss: loss as f32, learning_rate, grad_norm: grad_norm as f32 })
    }

    /// Adds the gradients of one micro-batch to those of the parameters, and returns its loss.
    fn micro_batch<D: Batches<Batch = M::Batch>>(&self, data: &D, index: u64) -> Result<f64, D::Error> {
        let TrainerConfig { seed, batch, grad_accum, .. } = self.config;
        let batch = data.batch(seed, index, batch)?;
        let tape = self.model.training_tape(seed, index);
        let loss = self.model.loss(&tape, &batch);
        // The mean over all micro-batches: each contributes its share.
        let share = loss.value().new_full(1.0 / grad_accum as f64, &[]);
        tape.backward_from(&loss, share);
        Ok(loss.value().item())
    }
}

impl<E: fmt::Display> fmt::Display for StepError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StepError::Data(error) => error.fmt(f),
            StepError::NotFinite { what, step } => write!(f, "{what} is not a finite number after {step} steps"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for StepError<E> {}
