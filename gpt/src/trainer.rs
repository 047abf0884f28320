//! The training of a GPT on a text: the general [`Trainer`](gradus_nn::training::Trainer) with the settings of a run, its
//! text and its folder.

use crate::checkpoint;
use crate::config::RunConfig;
use crate::dataset::{Dataset, Part};
use crate::error::{Error, Result};
use crate::evaluation::{Coverage, Evaluation, evaluate};
use crate::files::FileSystem;
use crate::model::Gpt;
use crate::precision::Precision;
use crate::windows::Windows;
use gradus_nn::Init;
use gradus_nn::optim::AdamW;
pub use gradus_nn::training::Step;
use gradus_nn::training::{self, StepError, TrainerConfig};
use gradus_tensor::trim_pool;
use std::path::Path;

/// A GPT in training.
pub struct Trainer<'a> {
    trainer: training::Trainer<Gpt>,
    run: &'a RunConfig,
    windows: Windows<'a>,
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
/// Those of [`checkpoint::load_weights`].
pub fn load(dir: &Path, run: &RunConfig) -> Result<(Gpt, Option<u64>)> {
    let model = Gpt::new(&run.model, &mut Init::new(0));
    let step = checkpoint::load_weights(&model, &run.meaning(), dir)?;
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
        let config = TrainerConfig {
            seed: train.seed,
            batch: train.batch,
            grad_accum: train.grad_accum,
            clip: train.clip,
            schedule: train.schedule(),
            adamw: train.adamw(),
        };
        let trainer = training::Trainer::new(model, config);
        Trainer { trainer, run, windows: Windows::new(data, run.model.context) }
    }

    /// Goes on with the checkpoint in `dir`.
    ///
    /// # Errors
    /// Those of [`checkpoint::resume`].
    pub fn resume(run: &'a RunConfig, data: &'a Dataset, dir: &Path) -> Result<Trainer<'a>> {
        let mut trainer = Trainer::with_model(Gpt::new(&run.model, &mut Init::new(0)), run, data);
        checkpoint::resume(&mut trainer.trainer, &run.meaning(), dir)?;
        Ok(trainer)
    }

    /// The model as it is now.
    pub fn model(&self) -> &Gpt {
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
    /// [`Error::NotFinite`] where the loss or a gradient ran away; those of reading the text. The weights are as they were
    /// before.
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
        evaluate(self.model(), self.windows.data(), part, self.run.train.batch, coverage, progress)
    }

    /// Saves the weights alone into `dir`, with their configuration: a model to infer with.
    ///
    /// # Errors
    /// Those of [`checkpoint::save_weights`] and [`RunConfig::save`].
    pub fn save_model(&self, files: &dyn FileSystem, dir: &Path) -> Result<()> {
        self.run.save(files, dir)?;
        checkpoint::save_weights(self.model(), self.step_count(), &self.run.meaning(), files, dir)
    }

    /// Saves weights and moments into `dir`.
    ///
    /// # Errors
    /// Those of [`checkpoint::save`].
    pub fn save(&self, files: &dyn FileSystem, dir: &Path) -> Result<()> {
        checkpoint::save(&self.trainer, &self.run.meaning(), files, dir)
    }
}
