//! `metrics.jsonl`: one line of JSON for every logged step, for plots and for other programs.

use crate::{
    error::{Error, Result},
    files,
};
use serde::{Deserialize, Deserializer, Serialize};
use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

/// The name of the file.
pub const FILE: &str = "metrics.jsonl";

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Updates that the weights have had.
    pub step: u64,
    /// The loss of the last batch, before its update.
    #[serde(deserialize_with = "number_or_null")]
    pub train_loss: f32,
    /// The loss on the validation part, where it was measured.
    pub val_loss: Option<f32>,
    /// The learning rate of the last update.
    pub lr: f64,
    /// The norm of the whole gradient before it was clipped.
    #[serde(deserialize_with = "number_or_null")]
    pub grad_norm: f32,
    /// Tokens trained on, per second, since the line before.
    pub tokens_per_second: f64,
    /// Seconds of training, those before a pause included.
    pub elapsed_s: f64,
}

/// JSON knows no NaN; a loss that ran away is written as null, and is read back as what it was.
fn number_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<f32, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f32::NAN))
}

/// The file, open for more lines.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: File,
}

impl MetricsLog {
    /// Opens the file in `dir` to go on after `step`: lines beyond it, written by steps that were lost with a crash, and
    /// a line that was cut off, are dropped. Returns the lines that stay. With step 0 the file starts anew, but for a
    /// line of step 0 itself.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Damaged`] for a line that is none, other than the last.
    pub fn resume(dir: &Path, step: u64) -> Result<(MetricsLog, Vec<Metric>)> {
        let path = dir.join(FILE);
        let mut lines = read(dir)?;
        lines.retain(|metric| metric.step <= step);
        let text: String = lines.iter().map(line).collect::<Result<_>>()?;
        files::write(&path, text.as_bytes())?;
        let file = OpenOptions::new().append(true).open(&path).map_err(Error::io("write", &path))?;
        Ok((MetricsLog { path, file }, lines))
    }

    /// Appends one line, whole or not at all as far as the system allows: one write.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn push(&mut self, metric: &Metric) -> Result<()> {
        self.file.write_all(line(metric)?.as_bytes()).map_err(Error::io("write", &self.path))
    }
}

/// The lines in `dir`; none where there is no file. A last line that was cut off is left out.
///
/// # Errors
/// [`Error::Io`]; [`Error::Damaged`] for a line that is none, other than the last.
pub fn read(dir: &Path) -> Result<Vec<Metric>> {
    let path = dir.join(FILE);
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(Error::io("read", &path))?,
    };
    let text = String::from_utf8_lossy(&bytes);
    let mut metrics = Vec::new();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]); // what follows the last newline was cut off
    for (number, line) in whole.lines().enumerate() {
        let damaged = |error| Error::damaged(&path, format!("line {}: {error}", number + 1));
        metrics.push(serde_json::from_str(line).map_err(damaged)?);
    }
    Ok(metrics)
}

fn line(metric: &Metric) -> Result<String> {
    let mut line = serde_json::to_string(metric).map_err(|error| Error::damaged(Path::new(FILE), error))?;
    line.push('\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(step: u64) -> Metric {
        let val_loss = step.is_multiple_of(2).then_some(2.0 + step as f32 / 3.0);
        Metric {
            step,
            train_loss: 1.0 / (step + 3) as f32,
            val_loss,
            lr: 1e-3 / 3.0,
            grad_norm: 0.7,
            tokens_per_second: 1e4 / 7.0,
            elapsed_s: 0.1 * step as f64,
        }
    }

    #[test]
    fn lines_come_back_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, before) = MetricsLog::resume(folder.path(), 0).unwrap();
        assert!(before.is_empty());
        (1..4).for_each(|step| log.push(&metric(step)).unwrap());
        assert_eq!(read(folder.path()).unwrap(), [metric(1), metric(2), metric(3)]);
        let text = fs::read_to_string(folder.path().join(FILE)).unwrap();
        assert!(text.starts_with(r#"{"step":1,"train_loss":0.25,"val_loss":null,"lr":"#), "{text}");
    }

    #[test]
    fn resuming_drops_what_came_after_the_checkpoint_and_a_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, _) = MetricsLog::resume(folder.path(), 0).unwrap();
        (1..6).for_each(|step| log.push(&metric(step)).unwrap());
        let path = folder.path().join(FILE);
        let whole = fs::read(&path).unwrap();
        for cut in 1..40 {
            fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            assert_eq!(read(folder.path()).unwrap().len(), 4, "{cut} bytes short");
        }
        let (mut log, kept) = MetricsLog::resume(folder.path(), 3).unwrap();
        assert_eq!(kept, [metric(1), metric(2), metric(3)]);
        log.push(&metric(4)).unwrap();
        assert_eq!(read(folder.path()).unwrap().len(), 4);
    }

    #[test]
    fn a_loss_that_ran_away_is_null_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, _) = MetricsLog::resume(folder.path(), 0).unwrap();
        log.push(&Metric { train_loss: f32::NAN, ..metric(1) }).unwrap();
        assert!(fs::read_to_string(folder.path().join(FILE)).unwrap().contains(r#""train_loss":null"#));
        assert!(read(folder.path()).unwrap()[0].train_loss.is_nan());
    }

    #[test]
    fn a_wrong_line_in_the_middle_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "hello\n").unwrap();
        assert!(read(folder.path()).unwrap_err().to_string().contains("line 1: "));
        assert!(read(&folder.path().join("nowhere")).unwrap().is_empty());
    }
}
