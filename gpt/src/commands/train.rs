//! `gradus train`: from a text to a folder with a model.

use crate::{
    args::TrainArgs,
    checkpoint,
    config::{FORMAT, RunConfig},
    dataset::{Dataset, Part},
    error::Result,
    memory,
    metrics::{Metric, MetricsLog},
    output, settings,
};
use std::path::PathBuf;

/// All that a run needs to begin, read and checked; nothing has been written yet.
#[derive(Debug)]
pub struct Prepared {
    /// The folder of the run.
    pub dir: PathBuf,
    /// Its settings.
    pub run: RunConfig,
    /// Its text.
    pub data: Dataset,
    /// Whether it goes on with what is in the folder.
    pub resume: bool,
    /// The step to end after: `--stop-at`, or the last one.
    pub stop_at: u64,
    /// How many threads to use; `None` for all cores.
    pub threads: Option<usize>,
}

/// Trains.
///
/// # Errors
/// Those of [`prepare`], and of writing the folder.
pub fn run(args: &TrainArgs) -> Result<()> {
    let prepared = prepare(args)?;
    output::note(&describe(&prepared));
    if !prepared.resume {
        prepared.open(0)?;
    }
    Ok(())
}

/// Finds the settings (from the preset or the saved run, and the flags), reads the text, and checks both.
///
/// # Errors
/// The first thing that is wrong with the flags, the saved settings or the text.
pub fn prepare(args: &TrainArgs) -> Result<Prepared> {
    let threads = settings::threads(args.threads)?;
    let dir = settings::folder(args);
    let (run, data) = if args.resume { resumed(args)? } else { fresh(args)? };
    let stop_at = args.stop_at.unwrap_or(run.train.steps);
    Ok(Prepared { dir, run, data, resume: args.resume, stop_at, threads })
}

fn fresh(args: &TrainArgs) -> Result<(RunConfig, Dataset)> {
    let (mut model, mut train, kind) = settings::fresh(args)?;
    let (data, tokenizer) = Dataset::load(&mut train.data, kind, model.context)?;
    model.vocab_size = tokenizer.vocab_size();
    train.validate(&model)?; // once more: now the vocabulary is known
    Ok((RunConfig { format: FORMAT, model, train, tokenizer }, data))
}

fn resumed(args: &TrainArgs) -> Result<(RunConfig, Dataset)> {
    let mut run = settings::resumed(args, &RunConfig::load(&settings::folder(args))?)?;
    let text = run.train.data.read()?;
    let data = Dataset::new(&text, &run.tokenizer)?;
    data.check(&run.train.data.name(), &[Part::Training, Part::Validation], run.model.context)?;
    Ok((run, data))
}

impl Prepared {
    /// Makes the folder ready: a new run moves an older one aside, a resumed one drops the metrics after `step`, where
    /// its checkpoint stands. Returns the metrics so far, and the file for more.
    ///
    /// # Errors
    /// Those of [`checkpoint::begin`], [`RunConfig::save`] and [`MetricsLog::resume`].
    pub fn open(&self, step: u64) -> Result<(MetricsLog, Vec<Metric>)> {
        if !self.resume && checkpoint::begin(&self.dir)? {
            let previous = self.dir.join(checkpoint::PREVIOUS);
            output::note(&format!("an earlier run was here; it is now in {}", previous.display()));
        }
        self.run.save(&self.dir)?;
        MetricsLog::resume(&self.dir, step)
    }
}

/// What is about to be trained on what, in two lines.
pub fn describe(prepared: &Prepared) -> String {
    let Prepared { run, data, .. } = prepared;
    let (model, train) = (&run.model, &run.train);
    let count = |number: usize| output::thousands(number as u128);
    format!(
        "text   {}: {} tokens train, {} validate, vocabulary {}\n\
         model  {} parameters: {} layers, {} heads, width {}, context {}",
        train.data.name(),
        count(data.len(Part::Training)),
        count(data.len(Part::Validation)),
        count(model.vocab_size),
        output::thousands(model.parameters()),
        model.layers,
        model.heads,
        model.width,
        model.context,
    )
}

/// The last line of a run.
pub fn summary(step: u64, train_loss: f32, val_loss: f32, tokens_per_second: f64) -> String {
    let peak = memory::peak_text();
    format!(
        "done: step {step}, train loss {train_loss:.4}, val loss {val_loss:.4}, {tokens_per_second:.0} tokens/s, \
         peak memory {peak}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{checkpoint::NamedArray, error::Error, metrics};
    use std::fs;

    fn args(folder: &std::path::Path) -> TrainArgs {
        let data = folder.join("text.txt");
        fs::write(&data, "to be or not to be, that is the question\n".repeat(50)).unwrap();
        TrainArgs { data: Some(data), out: Some(folder.join("run")), ..TrainArgs::default() }
    }

    #[test]
    fn a_run_can_be_prepared_opened_and_resumed() {
        let folder = tempfile::tempdir().unwrap();
        let args = args(folder.path());
        let first = prepare(&args).unwrap();
        assert_eq!((first.run.model.vocab_size, first.stop_at), (15, first.run.train.steps));
        assert!(!first.dir.exists(), "preparing writes nothing");
        let (_, before) = first.open(0).unwrap();
        assert!(before.is_empty());

        let resume = TrainArgs { resume: true, stop_at: Some(7), ..args.clone() };
        let second = prepare(&resume).unwrap();
        assert_eq!((&second.run, second.stop_at), (&first.run, 7));
        assert!(matches!(
            prepare(&TrainArgs { out: Some("nowhere".into()), ..resume }),
            Err(Error::NoCheckpoint { .. })
        ));
    }

    #[test]
    fn a_new_run_starts_with_empty_metrics() {
        let folder = tempfile::tempdir().unwrap();
        let prepared = prepare(&args(folder.path())).unwrap();
        let (mut log, _) = prepared.open(0).unwrap();
        let metric = Metric {
            step: 0,
            train_loss: 1.0,
            val_loss: None,
            lr: 0.0,
            grad_norm: 0.0,
            tokens_per_second: 0.0,
            elapsed_s: 0.0,
        };
        log.push(&metric).unwrap();
        let weight = NamedArray { name: "w", shape: &[1], data: &[0.5] };
        checkpoint::save(&prepared.dir, 0, &[weight], &[]).unwrap();
        assert!(prepared.open(0).unwrap().1.is_empty());
        assert_eq!(metrics::read(&prepared.dir.join(checkpoint::PREVIOUS)).unwrap(), [metric]);
    }

    #[test]
    fn the_last_line_has_the_form_that_scripts_read() {
        let line = summary(2000, 1.234_56, 1.5, 45_678.9);
        assert!(line.starts_with("done: step 2000, train loss 1.2346, val loss 1.5000, 45679 tokens/s, peak memory "));
    }
}
