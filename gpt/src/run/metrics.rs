//! `metrics.jsonl`: one line of JSON for every logged step, for plots and for other programs.

use crate::{
    error::{Error, Result},
    files::{self, FileSystem, OutFile},
};
use serde::{Deserialize, Deserializer, Serialize};
use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

pub use crate::run_folder::names::METRICS as FILE;

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
    /// Over how many tokens that is.
    #[serde(default)]
    pub val_tokens: Option<usize>,
    /// Its standard error as an estimate of the loss on the whole part; none where it is over the whole part.
    #[serde(default)]
    pub val_standard_error: Option<f32>,
    /// The learning rate of the last update.
    #[serde(deserialize_with = "number_or_null")]
    pub lr: f64,
    /// The norm of the whole gradient before it was clipped.
    #[serde(deserialize_with = "number_or_null")]
    pub grad_norm: f32,
    /// Tokens trained on, per second, since the line before.
    #[serde(deserialize_with = "number_or_null")]
    pub tokens_per_second: f64,
    /// Seconds of training, those before a pause included.
    #[serde(deserialize_with = "number_or_null")]
    pub elapsed_s: f64,
}

/// JSON knows no NaN and no infinity; such a number is written as null, and is read back as NaN.
fn number_or_null<'de, D: Deserializer<'de>, T: Deserialize<'de> + From<f32>>(
    deserializer: D,
) -> std::result::Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f32::NAN.into()))
}

/// The file, open for more lines.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: Box<dyn OutFile>,
}

impl MetricsLog {
    /// Opens the file in `dir` to go on after `step`: lines beyond it, written by steps that were lost with a crash, and
    /// a line that was cut off, are dropped. Returns the lines that stay. With step 0 the file starts anew, but for a
    /// line of step 0 itself.
    ///
    /// # Errors
    /// Those of [`up_to`]; [`Error::Io`].
    pub fn resume(files: &dyn FileSystem, dir: &Path, step: u64) -> Result<(MetricsLog, Vec<Metric>)> {
        let path = dir.join(FILE);
        let lines = up_to(dir, step)?;
        let text: String = lines.iter().map(line).collect::<Result<_>>()?;
        files::write(files, &path, text.as_bytes())?;
        let file = files.append(&path).map_err(Error::io("write", &path))?;
        Ok((MetricsLog { path, file }, lines))
    }

    /// Appends one line, whole or not at all as far as the system allows: one write.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn push(&mut self, metric: &Metric) -> Result<()> {
        self.file.write_all(line(metric)?.as_bytes()).map_err(Error::io("write", &self.path))
    }

    /// Forces the lines to the disk, so that those of a checkpoint are there when it is.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sync(&mut self) -> Result<()> {
        self.file.sync().map_err(Error::io("write", &self.path))
    }
}

/// Writes a file of one line into `dir`.
///
/// # Errors
/// [`Error::Io`].
pub fn write_line(files: &dyn FileSystem, dir: &Path, metric: &Metric) -> Result<()> {
    files::write(files, &dir.join(FILE), line(metric)?.as_bytes())
}

/// The lines in `dir`; none where there is no file. A last line that was cut off is left out.
///
/// # Errors
/// [`Error::Io`]; [`Error::Damaged`] for a line that is none, other than the last.
pub fn read(dir: &Path) -> Result<Vec<Metric>> {
    lines(dir)?.into_iter().collect()
}

/// The lines in `dir` up to `step`. What comes after them does not count, whatever it is: the steps of a run that was
/// cut off, and anything that a power cut leaves of what had not reached the disk.
///
/// # Errors
/// As [`read`], for a line before the last one that counts, and for a file without any line that is one.
pub fn up_to(dir: &Path, step: u64) -> Result<Vec<Metric>> {
    let mut lines = lines(dir)?;
    if lines.iter().any(Result::is_ok) {
        let counts = |line: &Result<Metric>| line.as_ref().is_ok_and(|metric| metric.step <= step);
        lines.truncate(lines.iter().rposition(counts).map_or(0, |last| last + 1));
    }
    let mut metrics: Vec<Metric> = lines.into_iter().collect::<Result<_>>()?;
    metrics.retain(|metric| metric.step <= step);
    Ok(metrics)
}

/// Reads one line.
///
/// # Errors
/// What is wrong with it.
pub fn parse(line: &str) -> serde_json::Result<Metric> {
    serde_json::from_str(line)
}

fn lines(dir: &Path) -> Result<Vec<Result<Metric>>> {
    let path = dir.join(FILE);
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(Error::io("read", &path))?,
    };
    let text = String::from_utf8_lossy(&bytes);
    let whole = text.rfind('\n').map_or("", |end| &text[..end]); // what follows the last newline was cut off
    let damaged = |number: usize| {
        let path = &path;
        move |error| Error::damaged(path, format!("line {}: {error}", number + 1))
    };
    Ok(whole.lines().enumerate().map(|(number, line)| parse(line).map_err(damaged(number))).collect())
}

fn line(metric: &Metric) -> Result<String> {
    let mut line = serde_json::to_string(metric).map_err(|error| Error::damaged(Path::new(FILE), error))?;
    line.push('\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Disk;

    fn metric(step: u64) -> Metric {
        let val_loss = step.is_multiple_of(2).then_some(2.0 + step as f32 / 3.0);
        Metric {
            step,
            train_loss: 1.0 / (step + 3) as f32,
            val_loss,
            val_tokens: val_loss.map(|_| 640),
            val_standard_error: val_loss.map(|_| 1.0 / 7.0),
            lr: 1e-3 / 3.0,
            grad_norm: 0.7,
            tokens_per_second: 1e4 / 7.0,
            elapsed_s: 0.1 * step as f64,
        }
    }

    #[test]
    fn lines_come_back_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, before) = MetricsLog::resume(&Disk, folder.path(), 0).unwrap();
        assert!(before.is_empty());
        (1..4).for_each(|step| log.push(&metric(step)).unwrap());
        assert_eq!(read(folder.path()).unwrap(), [metric(1), metric(2), metric(3)]);
        let text = fs::read_to_string(folder.path().join(FILE)).unwrap();
        let first = r#"{"step":1,"train_loss":0.25,"val_loss":null,"val_tokens":null,"val_standard_error":null,"lr":"#;
        assert!(text.starts_with(first), "{text}");
    }

    #[test]
    fn a_line_of_an_earlier_version_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let line = r#"{"step":2,"train_loss":0.2,"val_loss":2.5,"lr":0.001,"grad_norm":0.7,"tokens_per_second":9.0,"elapsed_s":0.2}"#;
        fs::write(folder.path().join(FILE), format!("{line}\n")).unwrap();
        let metric = &read(folder.path()).unwrap()[0];
        assert_eq!((metric.val_loss, metric.val_tokens, metric.val_standard_error), (Some(2.5), None, None));
    }

    #[test]
    fn resuming_drops_what_came_after_the_checkpoint_and_a_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, _) = MetricsLog::resume(&Disk, folder.path(), 0).unwrap();
        (1..6).for_each(|step| log.push(&metric(step)).unwrap());
        let path = folder.path().join(FILE);
        let whole = fs::read(&path).unwrap();
        for cut in 1..40 {
            fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            assert_eq!(read(folder.path()).unwrap().len(), 4, "{cut} bytes short");
        }
        let (mut log, kept) = MetricsLog::resume(&Disk, folder.path(), 3).unwrap();
        assert_eq!(kept, [metric(1), metric(2), metric(3)]);
        log.push(&metric(4)).unwrap();
        assert_eq!(read(folder.path()).unwrap().len(), 4);
    }

    #[test]
    fn a_loss_that_ran_away_is_null_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, _) = MetricsLog::resume(&Disk, folder.path(), 0).unwrap();
        for (value, wide) in [(f32::NAN, f64::NAN), (f32::INFINITY, f64::INFINITY)] {
            let val_loss = Some(value);
            let metric = Metric {
                step: 1,
                train_loss: value,
                val_loss,
                val_tokens: None,
                val_standard_error: val_loss,
                lr: wide,
                grad_norm: value,
                tokens_per_second: wide,
                elapsed_s: wide,
            };
            log.push(&metric).unwrap();
        }
        assert!(fs::read_to_string(folder.path().join(FILE)).unwrap().contains(r#""train_loss":null"#));
        let lines = read(folder.path()).unwrap();
        assert_eq!(lines.len(), 2);
        for line in lines {
            assert!(line.train_loss.is_nan() && line.grad_norm.is_nan() && line.val_loss.is_none());
            assert!(line.lr.is_nan() && line.tokens_per_second.is_nan() && line.elapsed_s.is_nan());
        }
    }

    #[test]
    fn what_a_power_cut_left_after_the_checkpoint_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let (mut log, _) = MetricsLog::resume(&Disk, folder.path(), 0).unwrap();
        (1..4).for_each(|step| log.push(&metric(step)).unwrap());
        let whole = fs::read(&path).unwrap();
        let holes = "\0".repeat(40) + "\n" + &"\0".repeat(9) + "\n" + &line(&metric(5)).unwrap();
        fs::write(&path, [&whole, holes.as_bytes()].concat()).unwrap();
        assert!(read(folder.path()).unwrap_err().to_string().contains("line 4: "));
        assert_eq!(up_to(folder.path(), 3).unwrap(), [metric(1), metric(2), metric(3)]);
        assert_eq!(up_to(folder.path(), 2).unwrap(), [metric(1), metric(2)]);
        assert_eq!(up_to(folder.path(), 0).unwrap(), []);
        assert!(
            up_to(folder.path(), 5).unwrap_err().to_string().contains("line 4: "),
            "a hole before a line that counts"
        );
    }

    #[test]
    fn a_wrong_line_in_the_middle_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "hello\n").unwrap();
        assert!(read(folder.path()).unwrap_err().to_string().contains("line 1: "));
        assert!(read(&folder.path().join("nowhere")).unwrap().is_empty());
    }
}
