//! The loop around the trainer: progress, metrics, validation, checkpoints, signals.

use crate::best::{self, Best};
use crate::checkpoint::{self, WeightsFile};
use crate::clock::Clock;
use crate::config::RunConfig;
use crate::dataset::{Dataset, Part};
use crate::device_failure;
use crate::error::{Error, Result};
use crate::evaluation::{Coverage, Evaluation};
use crate::files::FileSystem;
use crate::interrupt::{Interrupt, Signal};
use crate::metrics::{self, Metric, MetricsLog};
use crate::output;
use crate::overfitting::Overfitting;
use crate::plot::loss_curve;
use crate::progress::{Counter, Progress, State};
use crate::run_folder::{RunFolder, ownership};
use crate::settings;
use crate::trainer::{Step, Trainer};
use gradus_autograd::Device;
use gradus_tensor::trim_pool;
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
    /// Where it computes.
    pub device: Device,
    /// What it writes with.
    pub files: Box<dyn FileSystem>,
}

impl Prepared {
    fn asked_stop(&self) -> Option<u64> {
        (self.stop_at < self.run.train.steps).then_some(self.stop_at)
    }

    /// Makes the folder ready: a new run moves an older one aside, a resumed one drops the metrics after `step`, where
    /// its checkpoint stands. All that can be wrong is found before the first change.
    ///
    /// # Errors
    /// Those of [`RunFolder::begin`], [`RunConfig::save`] and [`MetricsLog::resume`].
    pub fn open(&self, step: u64) -> Result<Opened> {
        let files = &*self.files;
        self.run.to_json(&self.dir)?;
        if self.run.train.best {
            best::check(&self.dir)?;
        }
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
    /// The signal that ended it before its time.
    pub stopped_by: Option<Signal>,
    /// The loss of the last batch; of one random batch where no step was made.
    pub train_loss: f32,
    /// The last validation: as much of the validation part as `--final-eval` says. After a signal, the last estimate of this
    /// process, or one on as many tokens as a batch has.
    pub validation: Evaluation,
    /// Over the training time of this run.
    pub tokens_per_second: f64,
}

/// Trains from where the run stands to where it is to stop, or until `interrupt` asks to, and saves.
///
/// # Errors
/// Those of the trainer, and of writing the folder; [`crate::error::Error::Setting`] where the run is beyond the step that
/// it is to stop at.
pub fn train<'a>(prepared: &'a Prepared, interrupt: &'a Interrupt) -> Result<Outcome<'a>> {
    device_failure::caught(|| train_to_the_end(prepared, interrupt)).map_err(|error| match error {
        Error::Unreadable { path, problem, .. } => Error::Unreadable { path, problem, saved: saved_step(prepared) },
        Error::Device { problem, .. } => Error::Device { problem, saved: saved_step(prepared) },
        other => other,
    })
}

/// The folder of a run and the step of the checkpoint in it, where there is one.
fn saved_step(prepared: &Prepared) -> Option<(PathBuf, u64)> {
    let model = WeightsFile::open(&prepared.dir.join(checkpoint::MODEL));
    model.ok().and_then(|model| model.step).map(|step| (prepared.dir.clone(), step))
}

fn train_to_the_end<'a>(prepared: &'a Prepared, interrupt: &'a Interrupt) -> Result<Outcome<'a>> {
    let Prepared { run, data, dir, device, .. } = prepared;
    let trainer = match prepared.resumes() {
        true => Trainer::resume_on(device, run, data, dir)?,
        false => Trainer::new_on(device, run, data),
    };
    settings::not_before(trainer.step_count(), prepared.asked_stop(), &run.train)?;
    let Opened { _folder, log, metrics } = prepared.open(trainer.step_count())?;
    data.keep(&*prepared.files, dir, &run.train.data, &run.tokenizer)?;
    let mut overfitting = Overfitting::default();
    for metric in &metrics {
        overfitting.push(metric); // told already, by the process that wrote it
    }
    let mut training = Training {
        best: if run.train.best { Some(Best::open(&*prepared.files, dir)?) } else { None },
        overfitting,
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
        interrupt,
        log,
        metrics,
        unrecorded: None,
        validation: None,
    };
    if !prepared.resumes() {
        training.trainer.save(&*prepared.files, dir)?; // so that there is something to go on with from the first moment
    }
    while training.trainer.step_count() < prepared.stop_at && interrupt.requested().is_none() {
        training.step()?;
    }
    training.end()
}

struct Training<'a> {
    trainer: Trainer<'a>,
    prepared: &'a Prepared,
    interrupt: &'a Interrupt,
    progress: Progress,
    state: State,
    clock: Clock,
    log: MetricsLog,
    metrics: Vec<Metric>,
    unrecorded: Option<Step>,
    best: Option<Best>,
    overfitting: Overfitting,
    /// The last one of this process.
    validation: Option<Evaluation>,
}

impl<'a> Training<'a> {
    fn step(&mut self) -> Result<()> {
        let train = &self.prepared.run.train;
        let begin = Instant::now();
        let step = device_failure::caught(|| self.trainer.step());
        if let Err(Error::Device { .. }) = &step {
            self.save_after_failure();
        }
        let step = step?;
        self.clock.step(begin.elapsed());

        let done = self.trainer.step_count();
        let last = done == self.prepared.stop_at;
        let evaluate = train.eval_every > 0 && done.is_multiple_of(train.eval_every) && !last;
        self.state = State { step: done, train_loss: Some(step.loss), ..self.state };
        let estimate = if evaluate { self.estimate()? } else { None };
        if last {
            self.unrecorded = Some(step); // until its validation loss is known
        } else if evaluate || done == 1 || done.is_multiple_of(train.log_every.max(1)) {
            self.record(step, estimate)?;
        }
        if evaluate {
            self.progress.show(&self.state);
            self.keep_best(step, estimate)?;
            self.save(estimate.map(|estimate| estimate.loss as f32))
        } else {
            self.progress.step(&self.state);
            Ok(())
        }
    }

    fn batch_tokens(&self) -> usize {
        self.prepared.run.train.batch * self.prepared.run.model.context
    }

    /// The validation loss on `--eval-batches` batches; `None` where a signal broke the validation off.
    fn estimate(&mut self) -> Result<Option<Evaluation>> {
        let train = &self.prepared.run.train;
        let tokens = train.eval_batches.saturating_mul(self.batch_tokens());
        let Training { trainer, progress, interrupt, .. } = self;
        let show = |done, total| progress.phase("validation", done, total);
        let estimate = validate(trainer, Coverage::Tokens(tokens), interrupt, show)?;
        Ok(self.validated(estimate))
    }

    /// The last validation, which says how large it is and how far it has come; `None` where a signal broke it off.
    fn validate_finally(&mut self) -> Result<Option<Evaluation>> {
        let Prepared { run, data, .. } = self.prepared;
        let coverage = run.train.final_eval.coverage(run.train.tokens(&run.model, self.trainer.step_count()));
        let all = data.len(Part::Validation) - 1; // the first token is an input only
        let (tokens, more) = match coverage {
            Coverage::Tokens(tokens) if tokens < all => (tokens, "; --final-eval all takes all of them"),
            _ => (all, ""),
        };
        let [part, whole] = [tokens, all].map(|count| output::thousands(count as u128));
        output::note(&format!("validation on {part} of {whole} tokens{more}"));
        let counter = Counter::new("validation", tokens);
        let validation = validate(&self.trainer, coverage, self.interrupt, |done, _| counter.at(done))?;
        Ok(self.validated(validation))
    }

    fn validated(&mut self, validation: Option<Evaluation>) -> Option<Evaluation> {
        self.validation = validation.or(self.validation);
        self.state.val_loss = self.validation.map(|validation| validation.loss as f32).or(self.state.val_loss);
        validation
    }

    fn metric(&self, step: Step, validation: Option<Evaluation>) -> Metric {
        Metric {
            step: self.state.step,
            train_loss: step.loss,
            val_loss: validation.map(|validation| validation.loss as f32),
            val_tokens: validation.map(|validation| validation.tokens),
            val_standard_error: validation.and_then(|validation| validation.standard_error.map(|error| error as f32)),
            lr: step.learning_rate,
            grad_norm: step.grad_norm,
            tokens_per_second: self.state.tokens_per_second,
            elapsed_s: self.clock.elapsed_s(),
        }
    }

    fn record(&mut self, step: Step, validation: Option<Evaluation>) -> Result<()> {
        self.state.tokens_per_second = self.clock.lap();
        let metric = self.metric(step, validation);
        self.log.push(&metric)?;
        if let Some(notice) = self.overfitting.push(&metric) {
            let Prepared { run, data, .. } = self.prepared;
            let tokens = data.len(Part::Training);
            let epochs = run.train.tokens(&run.model, metric.step) as f64 / tokens as f64;
            self.progress.note(&notice.text(epochs, &output::thousands(tokens as u128), self.best.is_some()));
        }
        self.metrics.push(metric);
        Ok(())
    }

    /// Keeps the weights beside the last ones if none before had so low an estimate of the validation loss.
    fn keep_best(&mut self, step: Step, estimate: Option<Evaluation>) -> Result<()> {
        let metric = self.metric(step, estimate);
        match &mut self.best {
            Some(best) => best.offer(&*self.prepared.files, &self.prepared.run, &self.trainer, &metric),
            None => Ok(()),
        }
    }

    /// Saves, where the state is worth it: `loss` is one of the weights as they are now, where it has been measured.
    fn save(&mut self, loss: Option<f32>) -> Result<()> {
        // Weights can be finite and yet so large that nothing can be computed from them any more. The loss of the last
        // batch does not show it: that is of the weights before its update.
        let loss = loss.map_or_else(|| self.trainer.estimate(Part::Validation, 1, |_, _| ()), Ok)?;
        if !loss.is_finite() {
            let hint = "it is not saved, and what was saved before stays; start again with a smaller --lr or a longer --warmup";
            return Err(Error::NotFinite { what: "the validation loss", at: Some(self.trainer.step_count()), hint });
        }
        self.log.sync()?;
        self.trainer.save(&*self.prepared.files, &self.prepared.dir)?;
        self.draw()
    }

    /// Saves the weights of the last step where the device still answers, as one does that had too little memory for another.
    fn save_after_failure(&mut self) {
        self.trainer.clear_gradients();
        // Where it does not answer, the last checkpoint stands, which the error names.
        let _ = device_failure::caught(|| {
            self.log.sync()?;
            self.trainer.save(&*self.prepared.files, &self.prepared.dir)
        });
    }

    fn draw(&self) -> Result<()> {
        let Prepared { dir, run, .. } = self.prepared;
        let curve = loss_curve(&self.metrics, run.model.vocab_size)?;
        ownership::write_picture(&*self.prepared.files, &dir.join(checkpoint::LOSS_PLOT), &curve)
    }

    fn end(mut self) -> Result<Outcome<'a>> {
        let mut estimate = None;
        if let Some(step) = self.unrecorded.filter(|_| self.best.is_some()) {
            estimate = self.estimate()?; // the last validation may be on another sample, which cannot be compared
            self.keep_best(step, estimate)?;
        }
        self.save(estimate.map(|estimate| estimate.loss as f32))?;
        self.progress.finish();
        trim_pool(); // no step follows, and the last batch of a validation has tensors of other sizes
        let validation = if self.interrupt.requested().is_none() { self.validate_finally()? } else { None };
        if let Some(step) = self.unrecorded.take() {
            self.record(step, validation)?;
            self.draw()?;
        }
        let stopped_by = self.interrupt.release();
        let Prepared { run, dir, .. } = self.prepared;
        if stopped_by.is_some() || self.trainer.step_count() < run.train.steps {
            let how = format!("gradus train --resume --out {}", dir.display());
            output::note(&format!("stopped after step {} and saved; go on with `{how}`", self.state.step));
        }
        let estimate =
            |part| self.trainer.evaluate(part, Coverage::Tokens(self.batch_tokens()), |_, _| Ok::<(), Error>(()));
        Ok(Outcome {
            stopped_by,
            train_loss: match self.state.train_loss {
                Some(loss) => loss,
                None => estimate(Part::Training)?.loss as f32,
            },
            validation: self.validation.map_or_else(|| estimate(Part::Validation), Ok)?,
            tokens_per_second: self.clock.tokens_per_second(),
            trainer: self.trainer,
        })
    }
}

/// What ends a validation early.
enum Stop {
    Signal,
    Failure(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failure(error)
    }
}

/// Evaluates the validation part; `None` where a signal broke that off.
fn validate(
    trainer: &Trainer<'_>,
    coverage: Coverage,
    interrupt: &Interrupt,
    mut show: impl FnMut(usize, usize),
) -> Result<Option<Evaluation>> {
    let progress = |done, total| {
        show(done, total);
        interrupt.requested().map_or(Ok(()), |_| Err(Stop::Signal))
    };
    match trainer.evaluate(Part::Validation, coverage, progress) {
        Ok(evaluation) => Ok(Some(evaluation)),
        Err(Stop::Signal) => Ok(None),
        Err(Stop::Failure(error)) => Err(error),
    }
}
