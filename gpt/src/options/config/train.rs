//! How a model is trained.

use super::ModelConfig;
use super::rules::{any, fits, within};
use super::table::{default_of, flag, settings};
use crate::coverage::FinalEval;
use crate::dataset::Source;
use crate::error::{Error, Result};
use crate::parse::{real, size, whole};
use crate::precision::Precision;
use crate::preset::Preset;
use crate::recompute::Recompute;
use gradus_nn::optim::{AdamWConfig, InvalidSetting, Schedule, validate_max_norm};
use gradus_nn::training::TrainerConfig;

settings! {
    /// How a model is trained.
    TrainConfig, flags TrainFlags, under "Training";
    stored {
        /// Where the defaults came from
        preset: Preset = [Preset::Demo, Preset::Small, Preset::Large];
        /// The text
        data: Source = (Source::default());
        /// What AdamW adds to the root of the second moment
        eps: f64 = 1e-8;
    }
    /// Number of training steps (updates of the weights); 0 saves the model as initialised
    #[arg(value_name = "N", value_parser = whole)]
    steps: u64 = [2000, 2000, 5000], any, free;
    /// Seed of the initial weights, the batches and the dropout masks
    #[arg(value_name = "N", value_parser = whole)]
    seed: u64 = 1337, any, fixed; // nanoGPT's
    /// Batch size: sequences of --context tokens per micro-batch
    #[arg(value_name = "N", value_parser = size)]
    batch: usize = [16, 12, 64], within(1, 1 << 24), fixed; // 16: two thirds of the two minutes that demo may take
    /// Gradient accumulation: micro-batches per step, whose gradients are averaged
    #[arg(value_name = "N", value_parser = size)]
    grad_accum: usize = 1, within(1, 1 << 24), fixed;
    /// Peak learning rate, at the end of the warm-up
    #[arg(value_name = "X", value_parser = real)]
    lr: f64 = 1e-3, any, fixed;
    /// Learning rate at the last step, after cosine decay; where only --lr is given, a tenth of that
    #[arg(value_name = "X", value_parser = real)]
    min_lr: f64 = 1e-4, any, fixed;
    /// Warm-up: steps over which the learning rate rises linearly to --lr
    #[arg(value_name = "N", value_parser = whole)]
    warmup: u64 = 100, any, fixed;
    /// Weight decay of AdamW, applied to matrices and embeddings, not to biases and norms
    #[arg(value_name = "X", value_parser = real)]
    weight_decay: f64 = 0.1, any, fixed;
    /// Decay rate of AdamW's first moment, the running mean of the gradient
    #[arg(value_name = "X", value_parser = real)]
    beta1: f64 = 0.9, any, fixed;
    /// Decay rate of AdamW's second moment, the running mean of the squared gradient
    #[arg(value_name = "X", value_parser = real)]
    beta2: f64 = 0.99, any, fixed; // and not 0.999 or 0.95: a batch has few tokens, so the mean must be a long one
    /// Gradient clipping: the largest norm of the gradient over all parameters; 0 turns clipping off
    #[arg(value_name = "X", value_parser = real)]
    clip: f64 = 1.0, any, fixed;
    /// Type that matrix products and attention round their operands to. Sums, weights, gradients and optimizer state
    /// stay f32, so bf16 is faster on processors with bf16 instructions, and memory is unchanged
    #[serde(default)]
    precision: Precision = (Precision::F32), any, fixed;
    /// What the backward pass computes again instead of keeping it in memory; the result has the same bits
    #[serde(default, skip_serializing_if = "is_default")]
    recompute: Recompute = [Recompute::None, Recompute::None, Recompute::Cheap], any, free;
    /// Steps between validations; each also saves a checkpoint and draws loss.svg
    #[arg(value_name = "N", value_parser = whole)]
    eval_every: u64 = 250, within(1, u64::MAX), free;
    /// Batches per validation: the loss is estimated on so many
    #[arg(value_name = "N", value_parser = size)]
    eval_batches: usize = [10, 20, 200], within(1, 1 << 24), free;
    /// Steps between lines of metrics.jsonl
    #[arg(value_name = "N", value_parser = whole)]
    log_every: u64 = 10, within(1, u64::MAX), free;
    /// Validation tokens that the last validation covers, or all of them [default: a tenth of the tokens trained on]
    #[serde(default, skip_serializing_if = "is_default")]
    #[arg(value_name = "all|N")]
    final_eval: FinalEval = (FinalEval::Default), FinalEval::check, free;
    /// Also keep the weights with the lowest validation loss, in the folder best of --out
    #[serde(default, skip_serializing_if = "is_default")]
    #[arg(value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", hide_possible_values = true)]
    best: bool = false, any, free;
}

/// Leaves a setting out of `config.json`: earlier versions of the program do not know it.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl TrainConfig {
    /// That a `model` can be trained so. The optimiser's own types check its numbers, in the `f32` that it computes in.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first value that is wrong.
    pub fn validate(&self, model: &ModelConfig) -> Result<()> {
        model.validate()?;
        self.check_each()?;
        self.schedule().validate().map_err(|wrong| self.refuse(&wrong))?;
        self.adamw().validate().map_err(|wrong| self.refuse(&wrong))?;
        validate_max_norm(self.clip).map_err(|wrong| self.refuse(&wrong))?;
        fits(self.memory(model).total(), model.parameters())
    }

    /// The settings of the trainer.
    pub fn trainer(&self) -> TrainerConfig {
        let TrainConfig { seed, batch, grad_accum, clip, .. } = *self;
        TrainerConfig { seed, batch, grad_accum, clip, schedule: self.schedule(), adamw: self.adamw() }
    }

    /// The settings of the optimiser, in the `f32` that it computes in.
    pub fn adamw(&self) -> AdamWConfig {
        AdamWConfig {
            beta1: self.beta1 as f32,
            beta2: self.beta2 as f32,
            eps: self.eps as f32,
            weight_decay: self.weight_decay as f32,
        }
    }

    /// The learning rate over the steps.
    pub fn schedule(&self) -> Schedule {
        Schedule { learning_rate: self.lr, min_learning_rate: self.min_lr, warmup: self.warmup, steps: self.steps }
    }

    /// A setting that the optimiser refuses, by the name and the value that the user gave it.
    fn refuse(&self, wrong: &InvalidSetting) -> Error {
        let name = match wrong.name {
            "learning_rate" => "lr",
            "min_learning_rate" => "min_lr",
            "max_norm" => "clip",
            name => name,
        };
        let (given, used) = (self.text_of(name).unwrap_or_else(|| self.eps.to_string()), wrong.value as f32);
        let rounded = given.parse().is_ok_and(f64::is_finite) && used.to_string() != given;
        let note = if rounded { format!("; it is {used} in f32, which is computed in") } else { String::new() };
        Error::setting(&flag(name), given, format!("{}{note}", wrong.rule))
    }

    /// The tokens of `steps` updates: B·T for each of their micro-batches.
    pub fn tokens(&self, model: &ModelConfig, steps: u64) -> u128 {
        let step = [self.batch, self.grad_accum, model.context].map(|size| size as u128).iter().product::<u128>();
        step.saturating_mul(u128::from(steps))
    }
}
