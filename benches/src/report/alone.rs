//! A workload in a process of its own: nothing else is in its memory, so that its peak is its own, and it starts as a
//! user's program would. The process is `gradus-benches alone ID`, of this build or of another one. For each line that it is
//! sent, the seconds of a turn, it answers with a measurement of the top rung. At the end of its input it checks what
//! it computed.

use super::{
    partner::{PATIENCE, Partner},
    plan::on_threads,
};
use crate::{
    Result, cases,
    timing::{Timing, seconds, spinning, turn},
    workload,
};
use gradus_gpt::memory;
use gradus_kernels::Isa;
use serde::{Deserialize, Serialize};
use std::{
    io::{self, BufRead},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// How long it runs before it is timed, in seconds; once at least.
pub const WARM_UP_SECONDS: f64 = 1.0;

/// The flags of `alone`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The name of the workload
    id: String,
    #[arg(long)]
    threads: usize,
}

/// What one process found; its line of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The time of one repetition.
    #[serde(flatten)]
    pub timing: Timing,
    /// The most memory that the process ever held, in MiB, where the system tells.
    pub peak_mib: Option<f64>,
}

impl Run {
    /// Of several runs one: [`Timing::of_runs`], and the highest peak.
    ///
    /// # Panics
    /// Where there are none.
    pub fn of_runs(runs: &[Run]) -> Run {
        let timings: Vec<Timing> = runs.iter().map(|run| run.timing).collect();
        let peak_mib = runs.iter().filter_map(|run| run.peak_mib).reduce(f64::max);
        Run { timing: Timing::of_runs(&timings), peak_mib }
    }
}

/// The process itself: measures, and answers each line with one.
///
/// # Errors
/// One line where there is no such workload, a line is no number, or the program computes something wrong.
pub fn command(arguments: &Arguments) -> Result<()> {
    let Arguments { id, threads } = arguments;
    let workload = workload::all().into_iter().find(|workload| workload.id() == *id);
    let problem = workload.ok_or_else(|| format!("{id}: there is no such workload"))?.problem;
    on_threads(*threads, || serve(&problem))?
}

fn serve(problem: &workload::Problem) -> Result<()> {
    let isa = Isa::active();
    let mut case = cases::case(problem);
    let top = case.rungs().iter().rposition(|entry| !entry.peer).unwrap_or(0);
    // A program keeps the other threads spinning by itself; a kernel runs within a program that does.
    let by_itself = problem.tokens().is_some();
    let (mut warm, mut once) = (0.0, 0.0);
    while warm < WARM_UP_SECONDS {
        once = spinning(by_itself, || seconds(|| case.run(top, isa)));
        warm += once;
    }
    for line in io::stdin().lock().lines() {
        let line = line.map_err(|error| error.to_string())?;
        let seconds = line.trim().parse().map_err(|_| format!("{line:?} is no number of seconds"))?;
        let timing = spinning(by_itself, || turn(seconds, once, || case.run(top, isa)));
        let run = Run { timing, peak_mib: memory::peak_mib() };
        let text = serde_json::to_string(&run).map_err(|error| error.to_string())?;
        println!("{text}");
    }
    case.check(top, isa)?; // after the peak was read, for it takes memory too
    Ok(())
}

/// The file of this program.
///
/// # Errors
/// One line where the system does not tell.
pub fn this_program() -> Result<PathBuf> {
    std::env::current_exe().map_err(|error| format!("this program is not found: {error}"))
}

/// The process, from outside.
#[derive(Debug)]
pub struct Alone(Partner);

impl Alone {
    /// Starts the process, which then warms up.
    ///
    /// # Errors
    /// One line where it cannot be started.
    pub fn start(id: &str, threads: usize) -> Result<Alone> {
        Alone::of(&this_program()?, id, threads)
    }

    /// The same of another build of this program.
    ///
    /// # Errors
    /// One line where it cannot be started.
    pub fn of(program: &Path, id: &str, threads: usize) -> Result<Alone> {
        let mut command = Command::new(program);
        command.args(["alone", id, "--threads", &threads.to_string()]).stderr(Stdio::piped());
        let partner = Partner::start(&mut command, PATIENCE).map_err(|error| format!("cannot be started: {error}"))?;
        Ok(Alone(partner))
    }

    /// A turn of about `seconds`.
    ///
    /// # Errors
    /// Its own line, or that it ended without one, or does not answer in time.
    pub fn turn(&mut self, seconds: f64) -> Result<Run> {
        self.0.send(&seconds.to_string());
        let Some(line) = self.0.answer()? else {
            self.finish()?;
            return Err("it ended before its turn".into());
        };
        serde_json::from_str(&line).map_err(|error| format!("its answer cannot be read: {error}"))
    }

    /// Has it check what it computed, and waits for its end.
    ///
    /// # Errors
    /// Its own line, or that it does not answer in time.
    pub fn finish(&mut self) -> Result<()> {
        let (status, stderr) = self.0.finish()?;
        if status.success() {
            return Ok(());
        }
        let line = stderr.lines().last().map_or_else(|| status.to_string(), Into::into);
        Err(line.trim_start_matches("error: ").into())
    }
}
