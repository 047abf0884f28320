//! `best` in the folder of a run: the weights that had the lowest validation loss.
//!
//! It is a model like any other: `gradus sample --model RUN/best`. Its metrics.jsonl has one line, that of its step, which
//! holds the lowest loss for a run that is resumed. Losses are compared on the sample that `--eval-batches` takes.

use crate::{
    config::RunConfig,
    error::Result,
    files::{self, FileSystem},
    metrics::{self, Metric},
    run_folder::{self, names, ownership},
    trainer::Trainer,
};
use std::path::{Path, PathBuf};

/// The best weights so far.
#[derive(Debug)]
pub struct Best {
    dir: PathBuf,
    lowest: Option<f32>,
}

impl Best {
    /// What the run in the folder `run` has kept; nothing in a new run.
    ///
    /// # Errors
    /// Those of [`check`] and [`metrics::read`]; [`crate::Error::Io`].
    pub fn open(files: &dyn FileSystem, run: &Path) -> Result<Best> {
        check(run)?;
        let dir = run.join(names::BEST);
        let mut lowest = None;
        if dir.exists() {
            run_folder::sweep(files, &dir)?;
            lowest = metrics::read(&dir)?.last().and_then(|metric| metric.val_loss);
        }
        Ok(Best { dir, lowest })
    }

    /// Keeps the weights of the trainer, with the settings of the run, if the validation loss of `metric` is below that of the
    /// weights that are kept. The loss is written last: after a crash before that, the weights are at worst better than it
    /// says.
    ///
    /// # Errors
    /// Those of [`RunConfig::save`] and [`Trainer::save_model`]; [`crate::Error::Io`].
    pub fn offer(
        &mut self,
        files: &dyn FileSystem,
        run: &RunConfig,
        trainer: &Trainer<'_>,
        metric: &Metric,
    ) -> Result<()> {
        let Some(loss) =
            metric.val_loss.filter(|&loss| loss.is_finite() && self.lowest.is_none_or(|lowest| loss < lowest))
        else {
            return Ok(());
        };
        files::create_dirs(files, &self.dir)?;
        run.save(files, &self.dir)?;
        trainer.save_model(files, &self.dir)?;
        metrics::write_line(files, &self.dir, metric)?;
        self.lowest = Some(loss);
        Ok(())
    }
}

/// That no file of another program is where a run in the folder `run` keeps its best weights.
///
/// # Errors
/// [`crate::Error::Foreign`]; [`crate::Error::Io`].
pub fn check(run: &Path) -> Result<()> {
    ownership::check_best(&run.join(names::BEST))
}
