//! The training of a language model on a text: the general [`Trainer`](gradus_nn::training::Trainer) with the windows of the
//! text, validation and checkpoints; and the GPT of a run, made or loaded.

use crate::checkpoint;
use crate::config::RunConfig;
use crate::coverage::Coverage;
use crate::dataset::{Dataset, Part};
use crate::error::{Error, Result};
use crate::evaluation::{Evaluation, evaluate};
use crate::files::FileSystem;
use crate::model::Gpt;
use crate::precision::Precision;
use crate::windows::Windows;
use gradus_autograd::Device;
use gradus_nn::data::TextBatch;
use gradus_nn::optim::AdamW;
pub use gradus_nn::training::Step;
use gradus_nn::training::{self, StepError, Trainable, TrainerConfig};
use gradus_nn::{Init, LanguageModel, Module};
use gradus_tensor::trim_pool;
use std::path::Path;

/// A language model in training on a text.
pub struct Trainer<'a, M = Gpt> {
    trainer: training::Trainer<M>,
    windows: Windows<'a>,
    /// What the weights compute, in words: it stands in their files.
    meaning: String,
}

/// Reads the model in `dir` to infer with it, its matrices stored in `precision`. `run` is what the folder's configuration
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
/// Those of [`checkpoint::load_weights`].
pub fn load(dir: &Path, run: &RunConfig) -> Result<(Gpt, Option<u64>)> {
    let model = Gpt::new(&run.model, &mut Init::new(0));
    let step = checkpoint::load_weights(&model, &run.meaning(), dir)?;
    Ok((model, step))
}

impl<'a> Trainer<'a> {
    /// The GPT of a run, its first weights drawn from the seed of the run, on the CPU.
    pub fn new(run: &'a RunConfig, data: &'a Dataset) -> Trainer<'a> {
        Trainer::new_on(&Device::Cpu, run, data)
    }

    /// The same on another device. The first weights are the same on all devices.
    ///
    /// # Panics
    /// Where the device has too little memory.
    pub fn new_on(device: &Device, run: &'a RunConfig, data: &'a Dataset) -> Trainer<'a> {
        Trainer::of_run(device, run, data, run.train.seed)
    }

    /// The GPT of a run, as the checkpoint in `dir` has it, on the CPU.
    ///
    /// # Errors
    /// Those of [`checkpoint::resume`].
    pub fn resume(run: &'a RunConfig, data: &'a Dataset, dir: &Path) -> Result<Trainer<'a>> {
        Trainer::resume_on(&Device::Cpu, run, data, dir)
    }

    /// The same on another device than it may have been saved from.
    ///
    /// # Errors
    /// Those of [`checkpoint::resume`].
    ///
    /// # Panics
    /// Where the device has too little memory.
    pub fn resume_on(device: &Device, run: &'a RunConfig, data: &'a Dataset, dir: &Path) -> Result<Trainer<'a>> {
        let mut trainer = Trainer::of_run(device, run, data, 0);
        trainer.go_on(dir)?;
        Ok(trainer)
    }

    fn of_run(device: &Device, run: &'a RunConfig, data: &'a Dataset, seed: u64) -> Trainer<'a> {
        let mut model = Gpt::new(&run.model, &mut Init::new(seed));
        model.precision = run.train.precision.of_products();
        model.recompute = run.train.recompute;
        model.to_device(device);
        Trainer::with_model(model, run.train.trainer(), Windows::new(data, run.model.context), run.meaning())
    }
}

impl<'a, M: LanguageModel + Trainable<Batch = TextBatch>> Trainer<'a, M> {
    /// Begins with the model as it is. `meaning` says in words what its weights compute: a checkpoint that says something
    /// else is refused.
    ///
    /// # Panics
    /// As [`training::Trainer::new`].
    pub fn with_model(model: M, config: TrainerConfig, windows: Windows<'a>, meaning: String) -> Trainer<'a, M> {
        Trainer { trainer: training::Trainer::new(model, config), windows, meaning }
    }

    /// Goes on with the checkpoint in `dir`, in place of the model as it is.
    ///
    /// # Errors
    /// Those of [`checkpoint::resume`].
    pub fn go_on(&mut self, dir: &Path) -> Result<()> {
        checkpoint::resume(&mut self.trainer, &self.meaning, dir)
    }

    /// Drops the gradients that a step which failed has left.
    pub fn clear_gradients(&self) {
        self.model().named_parameters().iter().for_each(|(_, parameter)| _ = parameter.take_grad());
    }

    /// The model as it is now.
    pub fn model(&self) -> &M {
        self.trainer.model()
    }

    /// The optimiser, with its moments.
    pub fn optimizer(&self) -> &AdamW {
        self.trainer.optimizer()
    }

    /// The updates that have been made.
    pub fn step_count(&self) -> u64 {
        self.trainer.step_count()
    }

    /// One update: forward and backward over every micro-batch, clipping, AdamW.
    ///
    /// # Errors
    /// [`Error::NotFinite`] where the loss or a gradient is not a finite number; those of reading the text. The weights are as
    /// they were before.
    pub fn step(&mut self) -> Result<Step> {
        self.trainer.step(&self.windows).map_err(|error| match error {
            StepError::Data(error) => error,
            StepError::NotFinite { what, step } => {
                Error::NotFinite { what, at: Some(step), hint: "try a smaller --lr or a longer --warmup" }
            }
        })
    }

    /// The loss of a part, estimated on as many targets as `batches` training batches have, always the same ones.
    /// `progress` is told how many targets are done, and of how many.
    ///
    /// # Errors
    /// Those of reading the text.
    pub fn estimate(&self, part: Part, batches: usize, mut progress: impl FnMut(usize, usize)) -> Result<f32> {
        let tokens = self.batch_shape().into_iter().fold(batches, usize::saturating_mul);
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
        evaluate(self.model(), self.windows.data(), part, self.batch_shape(), coverage, progress)
    }

    /// [B, T] of a micro-batch.
    fn batch_shape(&self) -> [usize; 2] {
        [self.trainer.config().batch, self.windows.context()]
    }

    /// Saves the weights alone into `dir`: a model to infer with.
    ///
    /// # Errors
    /// Those of [`checkpoint::save_weights`].
    pub fn save_model(&self, files: &dyn FileSystem, dir: &Path) -> Result<()> {
        checkpoint::save_weights(self.model(), self.step_count(), &self.meaning, files, dir)
    }

    /// Saves weights and moments into `dir`.
    ///
    /// # Errors
    /// Those of [`checkpoint::save`].
    pub fn save(&self, files: &dyn FileSystem, dir: &Path) -> Result<()> {
        checkpoint::save(&self.trainer, &self.meaning, files, dir)
    }
}
