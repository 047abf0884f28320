//! One training run: a batch of text becomes a loss, the loss gradients, the gradients a step of the weights.
//!
//! Whatever a step needs (its batch, its dropout masks, its learning rate) is a function of the seed and the number of
//! the step. So the weights, the moments and that number are all there is to save, and a run that was stopped goes on
//! bit for bit as if it had not been.

use crate::checkpoint::{self, Checkpoint, Expected, NamedArray};
use crate::config::RunConfig;
use crate::dataset::{Dataset, Part};
use crate::error::{Error, Result};
use crate::evaluation::{Coverage, Evaluation, evaluate};
use crate::files::FileSystem;
use crate::model::Gpt;
use crate::precision::Precision;
use gradus_autograd::{Device, Tensor};
use gradus_kernels::parallel::with_spinning_pool;
use gradus_nn::optim::{AdamW, Schedule, clip_factor, global_norm};
use gradus_nn::{Init, Module, Parameter};
use gradus_tensor::trim_pool;
use std::path::Path;

/// A model in training.
pub struct Trainer<'a> {
    model: Gpt,
    optimizer: AdamW,
    schedule: Schedule,
    run: &'a RunConfig,
    data: &'a Dataset,
    inputs: Vec<u32>,
    targets: Vec<u32>,
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

fn expected(parameters: &[(String, Parameter)]) -> Vec<Expected> {
    parameters.iter().map(|(name, parameter)| Expected { name: name.clone(), shape: parameter.shape() }).collect()
}

/// Reads the model in `dir` to infer with it, its matrices kept in `precision`. `run` is what the folder's configuration
/// said before.
///
/// # Errors
/// Those of [`load`]; [`Error::Replaced`] where a new run has taken the folder meanwhile.
pub fn load_at(dir: &Path, run: &RunConfig, precision: Precision) -> Result<Gpt> {
    let replaced = || RunConfig::load(dir).is_ok_and(|now| now != *run);
    let (model, _) = load(dir, run).map_err(|error| match error {
        Error::Io { .. } => error,
        _ if replaced() => Error::Replaced { dir: dir.to_path_buf() },
        _ => error,
    })?;
    if precision == Precision::Bf16 {
        model.store_in_bf16();
        trim_pool(); // of the f32 matrices
    }
    Ok(model)
}

/// Reads the model in `dir`, and the step that it was saved at.
///
/// # Errors
/// Those of [`checkpoint::load_model`].
pub fn load(dir: &Path, run: &RunConfig) -> Result<(Gpt, Option<u64>)> {
    let model = Gpt::new(&run.model, &mut Init::new(0));
    let parameters = model.named_parameters();
    let put = |i: usize, values: Vec<f32>| {
        let parameter: &Parameter = &parameters[i].1;
        parameter.set_value(Tensor::from_slice(&values, &parameter.shape()));
    };
    let step = checkpoint::load_model(dir, &run.meaning(), &expected(&parameters), put)?;
    Ok((model, step))
}

impl<'a> Trainer<'a> {
    /// First values from the seed of the run.
    pub fn new(run: &'a RunConfig, data: &'a Dataset) -> Trainer<'a> {
        Trainer::with_model(Gpt::new(&run.model, &mut Init::new(run.train.seed)), run, data)
    }

    fn with_model(mut model: Gpt, run: &'a RunConfig, data: &'a Dataset) -> Trainer<'a> {
        let train = &run.train;
        model.precision = train.precision.of_products();
        model.recompute = train.recompute;
        let optimizer = AdamW::new(&model, train.adamw());
        Trainer { model, optimizer, schedule: train.schedule(), run, data, inputs: Vec::new(), targets: Vec::new() }
    }

    /// Goes on with the checkpoint in `dir`.
    ///
    /// # Errors
    /// Those of [`checkpoint::load_model`] and [`checkpoint::load_optimizer`].
    pub fn resume(run: &'a RunConfig, data: &'a Dataset, dir: &Path) -> Result<Trainer<'a>> {
        let (model, step) = load(dir, run)?;
        let step = step.ok_or_else(|| {
            Error::damaged(
                &dir.join(checkpoint::MODEL),
                "it does not say at which step it was saved, so it cannot be resumed",
            )
        })?;
        let mut trainer = Trainer::with_model(model, run, data);
        let moments = trainer.optimizer.state();
        let expected: Vec<Expected> = moments
            .iter()
            .map(|(name, moment)| Expected { name: name.clone(), shape: moment.shape().to_vec() })
            .collect();
        let mut arrays = Vec::with_capacity(expected.len());
        let put = |i: usize, values: Vec<f32>| arrays.push(Tensor::from_slice(&values, &expected[i].shape));
        checkpoint::load_optimizer(dir, step, &run.meaning(), &expected, put)?;
        let mut arrays = arrays.into_iter();
        let next = |_: &str| arrays.next();
        let loaded = trainer.optimizer.load_state(step, next);
        loaded.map_err(|problem| Error::damaged(&checkpoint::optimizer_path(dir, step), problem))?;
        Ok(trainer)
    }

    /// The model as it is now.
    pub fn model(&self) -> &Gpt {
        &self.model
    }

    /// The optimiser, with its moments.
    pub fn optimizer(&self) -> &AdamW {
        &self.optimizer
    }

    /// The updates that have been made.
    pub fn step_count(&self) -> u64 {
        self.optimizer.steps()
    }

    /// One update: forward and backward over every micro-batch, clipping, AdamW.
    ///
    /// # Errors
    /// [`Error::NotFinite`] where the loss or a gradient ran away; those of reading the text. The weights are as they were
    /// before.
    pub fn step(&mut self) -> Result<Step> {
        with_spinning_pool(|| self.update())
    }

    fn update(&mut self) -> Result<Step> {
        let (step, accum) = (self.step_count(), self.run.train.grad_accum as u64);
        let mut loss = 0.0;
        for index in step * accum..(step + 1) * accum {
            loss += self.micro_batch(index)? / accum as f64;
        }
        let grad_norm = global_norm(&self.model);
        if !loss.is_finite() || !grad_norm.is_finite() {
            let what = if loss.is_finite() { "the gradient" } else { "the training loss" };
            return Err(Error::NotFinite { what, at: Some(step), hint: "try a smaller --lr or a longer --warmup" });
        }
        let learning_rate = self.schedule.at(step);
        let grad_scale = clip_factor(grad_norm, self.run.train.clip);
        self.optimizer.step(learning_rate as f32, grad_scale as f32);
        Ok(Step { loss: loss as f32, learning_rate, grad_norm: grad_norm as f32 })
    }

    /// Adds the gradients of one micro-batch to those of the parameters, and returns its loss.
    fn micro_batch(&mut self, index: u64) -> Result<f64> {
        let RunConfig { model, train, .. } = self.run;
        self.fill(Part::Training, index)?;
        let shape = [train.batch, model.context];
        let (ids, targets) = (Tensor::from_slice(&self.inputs, &shape), Tensor::from_slice(&self.targets, &shape));
        let tape = self.model.training_tape(train.seed, index);
        let loss = self.model.loss(&tape, &ids, &targets);
        // The mean over all micro-batches: each contributes its share.
        let share = loss.value().new_full(1.0 / train.grad_accum as f64, &[]);
        tape.backward_from(&loss, share);
        Ok(loss.value().item())
    }

    fn fill(&mut self, part: Part, index: u64) -> Result<()> {
        let RunConfig { model, train, .. } = self.run;
        let (inputs, targets) = (&mut self.inputs, &mut self.targets);
        self.data.batch(part, train.seed, index, train.batch, model.context, inputs, targets)
    }

    /// The loss of a part, estimated on as many targets as `batches` training batches have, always the same ones.
    /// `progress` is told how many targets are done, and of how many.
    ///
    /// # Errors
    /// Those of reading the text.
    pub fn estimate(&self, part: Part, batches: usize, mut progress: impl FnMut(usize, usize)) -> Result<f32> {
        let tokens = batches.saturating_mul(self.run.train.batch).saturating_mul(self.run.model.context);
        let evaluation = self.evaluate(part, Coverage::Tokens(tokens), |done, total| {
            progress(done, total);
            Ok::<(), Error>(())
        })?;
        Ok(evaluation.loss as f32)
    }

    /// The loss over a part, or over an evenly spread sample of it; see [`evaluate`].
    ///
    /// # Errors
    /// Those of reading the text; that of `progress`, which breaks the evaluation off.
    pub fn evaluate<E: From<Error>>(
        &self,
        part: Part,
        coverage: Coverage,
        progress: impl FnMut(usize, usize) -> std::result::Result<(), E>,
    ) -> std::result::Result<Evaluation, E> {
        evaluate(&self.model, self.data, part, self.run.train.batch, coverage, progress)
    }

    /// Saves the weights alone into `dir`, with their configuration: a model to infer with.
    ///
    /// # Errors
    /// Those of [`Checkpoint::save_model`] and [`RunConfig::save`].
    pub fn save_model(&self, files: &dyn FileSystem, dir: &Path) -> Result<()> {
        self.run.save(files, dir)?;
        let model: Vec<(String, Tensor)> =
            self.model.named_parameters().into_iter().map(|(name, parameter)| (name, parameter.value())).collect();
        let meaning = self.run.meaning();
        Checkpoint { step: self.step_count(), meaning: &meaning, model: &arrays(&model), optimizer: &[] }
            .save_model(files, dir)
    }

    /// Saves weights and moments into `dir`.
    ///
    /// # Errors
    /// Those of [`Checkpoint::save`].
    pub fn save(&self, files: &dyn FileSystem, dir: &Path) -> Result<()> {
        let model: Vec<(String, Tensor)> = self
            .model
            .named_parameters()
            .into_iter()
            .map(|(name, parameter)| (name, on_host(parameter.value())))
            .collect();
        let state: Vec<_> = self.optimizer.state().into_iter().map(|(name, moment)| (name, on_host(moment))).collect();
        Checkpoint {
            step: self.step_count(),
            meaning: &self.run.meaning(),
            model: &arrays(&model),
            optimizer: &arrays(&state),
        }
        .save(files, dir)
    }
}

fn on_host(tensor: Tensor) -> Tensor {
    tensor.to_device(&Device::Cpu)
}

fn arrays(tensors: &[(String, Tensor)]) -> Vec<NamedArray<'_>> {
    tensors.iter().map(|(name, t)| NamedArray { name, shape: t.shape(), data: t.as_host_slice() }).collect()
}
