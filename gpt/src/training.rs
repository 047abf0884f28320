//! The loop around the trainer: progress, metrics, validation, checkpoints, Ctrl-C.

use crate::checkpoint;
use crate::clock::Clock;
use crate::config::RunConfig;
use crate::dataset::{Dataset, Part};
use crate::error::{Error, Result};
use crate::evaluation::Coverage;
use crate::files::FileSystem;
use crate::interrupt::Interrupt;
use crate::metrics::{self, Metric, MetricsLog};
use crate::output;
use crate::plot::loss_curve;
use crate::progress::{Counter, Progress, State};
use crate::run_folder::{RunFolder, ownership};
use crate::trainer::{Step, Trainer};
use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Instant;

/// All that a run needs to begin, read and checked; nothing has been written yet.
#[derive(Debug)]
pub struct Prepared {
    /// The folder of the run.
    pub dir: PathBuf,
    /// Its settings.
    pub run: RunConfig,
    /// Its text.
    pub data: Dataset,
    /// The folder, taken already, of a run that goes on; a new run takes it when it begins.
    pub folder: Option<RunFolder>,
    /// The step to end after: `--stop-at`, or the last one.
    pub stop_at: u64,
    /// How many threads to use; `None` for all cores.
    pub threads: Option<usize>,
    /// What it writes with.
    pub files: Box<dyn FileSystem>,
}

impl Prepared {
    /// Makes the folder ready: a new run moves an older one aside, a resumed one drops the metrics after `step`, where
    /// its checkpoint stands. All that can be wrong is found before the first change.
    ///
    /// # Errors
    /// Those of [`RunFolder::begin`], [`RunConfig::save`] and [`MetricsLog::resume`].
    pub fn open(&self, step: u64) -> Result<Opened> {
        let files = &*self.files;
        self.run.to_json(&self.dir)?;
        let folder = if self.folder.is_some() {
            metrics::up_to(&self.dir, step)?;
            ownership::files_of_the_run(&self.dir)?;
            None
        } else {
            let (folder, earlier) = RunFolder::begin(files, &self.dir)?;
            if let Some(earlier) = earlier {
                output::note(&format!("an earlier run was here; it is now in {}", earlier.display()));
            }
            Some(folder)
        };
        self.run.save(files, &self.dir)?;
        let (log, metrics) = MetricsLog::resume(files, &self.dir, step)?;
        Ok(Opened { _folder: folder, log, metrics })
    }

    /// Whether it goes on with what is in the folder.
    pub fn resumes(&self) -> bool {
        self.folder.is_some()
    }
}

/// A folder that is ready for a run, and taken by it.
#[derive(Debug)]
pub struct Opened {
    _folder: Option<RunFolder>,
    /// The file for more metrics.
    pub log: MetricsLog,
    /// The metrics so far.
    pub metrics: Vec<Metric>,
}

/// How a run ended.
pub struct Outcome<'a> {
    /// The trainer with the model.
    pub trainer: Trainer<'a>,
    /// Whether Ctrl-C ended it.
    pub interrupted: bool,
    /// The loss of the last batch; of one random batch where no step was made.
    pub train_loss: f32,
    /// The loss on the whole validation part; after Ctrl-C the last estimate, or that of one batch.
    pub val_loss: f32,
    /// Over the training time of this run.
    pub tokens_per_second: f64,
}

/// Trains from where the run stands to where it is to stop, and saves.
///
/// # Errors
/// Those of the trainer, and of writing the folder.
pub fn train(prepared: &Prepared) -> Result<Outcome<'_>> {
    let Prepared { run, data, dir, .. } = prepared;
    let trainer = match prepared.resumes() {
        true => Trainer::resume(run, data, dir)?,
        false => Trainer::new(run, data),
    };
    let Opened { _folder, log, metrics } = prepared.open(trainer.step_count())?;
    data.keep(&*prepared.files, dir, run);
    let mut training = Training {
        progress: Progress::new(trainer.step_count(), prepared.stop_at),
        state: State {
            step: trainer.step_count(),
            train_loss: metrics.last().map(|metric| metric.train_loss),
            val_loss: metrics.iter().rev().find_map(|metric| metric.val_loss),
            ..State::default()
        },
        clock: Clock::new(run, &metrics),
        trainer,
        prepared,
        log,
        metrics,
        unrecorded: None,
    };
    if !prepared.resumes() {
        training.trainer.save(&*prepared.files, dir)?; // so that there is something to go on with from the first moment
    }
    let interrupt = Interrupt::listen()?;
    while training.trainer.step_count() < prepared.stop_at && !interrupt.requested() {
        training.step()?;
    }
    training.end(interrupt.requested())
}

struct Training<'a> {
    trainer: Trainer<'a>,
    prepared: &'a Prepared,
    progress: Progress,
    state: State,
    clock: Clock,
    log: MetricsLog,
    metrics: Vec<Metric>,
    unrecorded: Option<Step>,
}

impl<'a> Training<'a> {
    fn step(&mut self) -> Result<()> {
        let train = &self.prepared.run.train;
        let begin = Instant::now();
        let step = self.trainer.step()?;
        self.clock.step(begin.elapsed());

        let done = self.trainer.step_count();
        let last = done == self.prepared.stop_at;
        let evaluate = train.eval_every > 0 && done.is_multiple_of(train.eval_every) && !last;
        self.state = State { step: done, train_loss: Some(step.loss), ..self.state };
        if evaluate {
            let Training { trainer, progress, .. } = self;
            let show = |done, total| progress.phase("validation", done, total);
            self.state.val_loss = Some(trainer.estimate(Part::Validation, train.eval_batches, show));
        }
        if last {
            self.unrecorded = Some(step); // until its validation loss is known
        } else if evaluate || done == 1 || done.is_multiple_of(train.log_every.max(1)) {
            self.record(step, evaluate)?;
        }
        if evaluate {
            self.progress.show(&self.state);
            self.save(self.state.val_loss)
        } else {
            self.progress.step(&self.state);
            Ok(())
        }
    }

    fn record(&mut self, step: Step, evaluated: bool) -> Result<()> {
        self.state.tokens_per_second = self.clock.lap();
        let metric = Metric {
            step: self.state.step,
            train_loss: step.loss,
            val_loss: self.state.val_loss.filter(|_| evaluated),
            lr: step.learning_rate,
            grad_norm: step.grad_norm,
            tokens_per_second: self.state.tokens_per_second,
            elapsed_s: self.clock.elapsed_s(),
        };
        self.log.push(&metric)?;
        self.metrics.push(metric);
        Ok(())
    }

    /// Saves, where the state is worth it: `loss` is one of the weights as they are now, where it has been measured.
    fn save(&mut self, loss: Option<f32>) -> Result<()> {
        // Weights can be finite and yet so large that nothing can be computed from them any more. The loss of the last
        // batch does not show it: that is of the weights before its update.
        let loss = loss.unwrap_or_else(|| self.trainer.estimate(Part::Validation, 1, |_, _| ()));
        if !loss.is_finite() {
            let hint = "it is not saved, and what was saved before stays; start again with a smaller --lr or a longer --warmup";
            return Err(Error::NotFinite { what: "the validation loss", at: Some(self.trainer.step_count()), hint });
        }
        self.log.sync()?;
        self.trainer.save(&*self.prepared.files, &self.prepared.dir)?;
        self.draw()
    }

    fn draw(&self) -> Result<()> {
        let Prepared { dir, run, .. } = self.prepared;
        let curve = loss_curve(&self.metrics, run.model.vocab_size)?;
        ownership::write_picture(&*self.prepared.files, &dir.join(checkpoint::LOSS_PLOT), &curve)
    }

    fn end(mut self, interrupted: bool) -> Result<Outcome<'a>> {
        self.save(None)?;
        self.progress.finish();
        let Prepared { run, dir, .. } = self.prepared;
        if interrupted || self.trainer.step_count() < run.train.steps {
            let how = format!("gradus train --resume --out {}", dir.display());
            output::note(&format!("stopped after step {} and saved; go on with `{how}`", self.state.step));
        }
        let val_loss = if interrupted {
            self.state.val_loss.unwrap_or_else(|| self.trainer.estimate(Part::Validation, 1, |_, _| ()))
        } else {
            let counter = Counter::new("validation", self.prepared.data.len(Part::Validation));
            let Ok(evaluation) = self.trainer.evaluate(Part::Validation, Coverage::Whole, |done, _| {
                counter.at(done);
                Ok::<(), Infallible>(())
            });
            evaluation.loss as f32
        };
        if let Some(step) = self.unrecorded.take() {
            self.state.val_loss = Some(val_loss);
            self.record(step, true)?;
            self.draw()?;
        }
        Ok(Outcome {
            interrupted,
            train_loss: self.state.train_loss.unwrap_or_else(|| self.trainer.estimate(Part::Training, 1, |_, _| ())),
            val_loss,
            tokens_per_second: self.clock.tokens_per_second(),
            trainer: self.trainer,
        })
    }
}
