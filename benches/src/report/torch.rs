//! PyTorch beside us: a Python process that is handed one problem after the other, and answers with its time.
//!
//! It runs while we wait, in turns with the rungs of a case, so that both see the same machine. It gets the best settings of its allocator:
//! by default it gives every large tensor back to the system and pays for its pages again and again.

use super::{
    alone::Run,
    partner::{PATIENCE, Partner},
};
use crate::{Result, workload::Problem};
use serde::Deserialize;
use std::{
    process::{Command, Stdio},
    thread,
    time::Duration,
};

/// Its threads look for more work for some milliseconds before they sleep; whoever is next should have the machine alone.
const COOL_DOWN: Duration = Duration::from_millis(10);

const SERVER: &str = include_str!("torch_server.py");

const MALLOC: &str = "glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=17179869184:\
                      glibc.malloc.top_pad=268435456";

/// A Python with PyTorch in it.
#[derive(Debug)]
pub struct Torch {
    partner: Partner,
    version: String,
    python: String,
    threads: usize,
    device: String,
}

/// A line of the server.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Answer {
    Run(Run),
    Error { error: String },
    Version { version: String },
    Nothing { unsupported: bool },
}

impl Torch {
    /// Starts `python`, to compute on `device`: `cpu` or `cuda:N`.
    ///
    /// # Errors
    /// One line where it cannot be started, or has no torch.
    pub fn start(python: &str, threads: usize, device: &str) -> Result<Torch> {
        let mut command = Command::new(python);
        command.args(["-c", SERVER, &threads.to_string(), device]);
        command.env("OMP_NUM_THREADS", threads.to_string()).env("GLIBC_TUNABLES", MALLOC).stderr(Stdio::null());
        let partner = Partner::start(&mut command, PATIENCE).map_err(|error| format!("--torch {python}: {error}"))?;
        let (version, python) = (String::new(), python.to_string());
        let mut torch = Torch { partner, version, python: python.clone(), threads, device: device.into() };
        match torch.answer() {
            Ok(Answer::Version { version }) => torch.version = version,
            Ok(Answer::Error { error }) => return Err(format!("--torch {python}: {error}")),
            _ => return Err(format!("--torch {python}: this is no Python that runs PyTorch")),
        }
        Ok(torch)
    }

    /// Another process of the same Python, whose memory is empty.
    ///
    /// # Errors
    /// Those of [`Torch::start`].
    pub fn again(&self) -> Result<Torch> {
        Torch::start(&self.python, self.threads, &self.device)
    }

    /// Its version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// A turn of about `seconds` on a problem; nothing where it has no such operation. The first turn on a problem has
    /// `warm_up` seconds of calls before it, one call at least.
    ///
    /// # Errors
    /// One line where it fails.
    pub fn turn(&mut self, problem: &Problem, seconds: f64, warm_up: f64) -> Result<Option<Run>> {
        let request = serde_json::json!({ "problem": problem, "seconds": seconds, "warm_up": warm_up });
        self.partner.send(&request.to_string());
        match self.answer()? {
            Answer::Run(run) => {
                thread::sleep(COOL_DOWN);
                Ok(Some(run))
            }
            Answer::Nothing { unsupported: true } => Ok(None),
            Answer::Error { error } => Err(error),
            _ => Err("an answer to another question".into()),
        }
    }

    fn answer(&mut self) -> Result<Answer> {
        let line = self.partner.answer()?.ok_or("it ended")?;
        serde_json::from_str(&line).map_err(|_| format!("it said {:?}", line.trim()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_python_is_one_line() {
        let error = Torch::start("/no/such/python", 1, "cpu").unwrap_err();
        assert!(error.starts_with("--torch /no/such/python: ") && error.lines().count() == 1, "{error}");
    }

    #[test]
    fn a_program_that_is_no_python_is_one_line() {
        let error = Torch::start("true", 1, "cpu").unwrap_err();
        assert_eq!(error, "--torch true: this is no Python that runs PyTorch");
    }

    #[test]
    fn the_lines_of_the_server_are_told_apart() {
        let parse = |text| serde_json::from_str::<Answer>(text).unwrap();
        assert!(matches!(parse(r#"{"version": "2.9"}"#), Answer::Version { .. }));
        assert!(matches!(parse(r#"{"error": "no"}"#), Answer::Error { .. }));
        assert!(matches!(parse(r#"{"unsupported": true}"#), Answer::Nothing { unsupported: true }));
        let time = parse(r#"{"median_s": 0.1, "minimum_s": 0.09, "repetitions": 7, "peak_mib": 700.5}"#);
        let Answer::Run(run) = time else { panic!("{time:?}") };
        assert_eq!((run.timing.repetitions, run.peak_mib), (7, Some(700.5)));
    }
}
