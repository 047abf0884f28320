//! A whole program, such as a training step, in a process of its own: nothing else is in its memory, so that its peak is
//! its own, and it starts as a user's would. The process is this program again, called `gradus-benches alone ID`.

use super::run::on_threads;
use crate::{
    Result, cases,
    timing::{Effort, Timing, measure_after, seconds},
    workload,
};
use gradus_gpt::memory;
use gradus_kernels::Isa;
use serde::{Deserialize, Serialize};
use std::process::{Command, Stdio};

/// How long it runs before it is timed, in seconds; once at least.
pub const WARM_UP_SECONDS: f64 = 1.0;

/// The flags of `alone`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The name of the workload
    id: String,
    #[arg(long)]
    threads: usize,
    #[arg(long)]
    seconds: f64,
    #[arg(long)]
    least: usize,
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

/// The process itself: measures, and prints a line.
///
/// # Errors
/// One line where there is no such workload, or it computes something wrong.
pub fn command(arguments: &Arguments) -> Result<()> {
    let Arguments { id, threads, seconds, least } = arguments;
    let workload = workload::all().into_iter().find(|workload| workload.id() == *id);
    let problem = workload.ok_or_else(|| format!("{id}: there is no such workload"))?.problem;
    let effort = Effort { seconds: *seconds, least: *least };
    let run = on_threads(*threads, || measured(&problem, effort))??;
    println!("{}", serde_json::to_string(&run).map_err(|error| error.to_string())?);
    Ok(())
}

fn measured(problem: &workload::Problem, effort: Effort) -> Result<Run> {
    let isa = Isa::active();
    let mut case = cases::case(problem);
    let mut warm = 0.0;
    while warm < WARM_UP_SECONDS {
        warm += seconds(|| case.run(0, isa));
    }
    let timing = measure_after(effort, || (), || case.run(0, isa));
    let peak_mib = memory::peak_mib();
    case.check(0, isa)?; // after the peak was read, for it takes memory too
    Ok(Run { timing, peak_mib })
}

/// Starts the process, and waits for what it finds.
///
/// # Errors
/// Its own line, or that it ended without one.
pub fn measure(id: &str, threads: usize, effort: Effort) -> Result<Run> {
    let program = std::env::current_exe().map_err(|error| format!("this program is not found: {error}"))?;
    let mut command = Command::new(program);
    command.args(["alone", id, "--threads", &threads.to_string()]);
    command.args(["--seconds", &effort.seconds.to_string(), "--least", &effort.least.to_string()]);
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("cannot be started: {error}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let line = text.lines().last().map_or_else(|| output.status.to_string(), Into::into);
        return Err(line.trim_start_matches("error: ").into());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("its answer cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_runs_the_median_time_and_the_highest_peak_count() {
        let run =
            |median_s, peak_mib| Run { timing: Timing { median_s, minimum_s: median_s, repetitions: 1 }, peak_mib };
        let all = Run::of_runs(&[run(3.0, Some(50.0)), run(1.0, None), run(2.0, Some(60.0))]);
        assert_eq!((all.timing.median_s, all.timing.repetitions, all.peak_mib), (2.0, 3, Some(60.0)));
    }

    #[test]
    fn a_run_comes_back_from_its_line() {
        let run = Run { timing: Timing { median_s: 0.5, minimum_s: 0.25, repetitions: 3 }, peak_mib: Some(52.0) };
        let line = serde_json::to_string(&run).unwrap();
        assert_eq!(line, r#"{"median_s":0.5,"minimum_s":0.25,"repetitions":3,"peak_mib":52.0}"#);
        assert_eq!(serde_json::from_str::<Run>(&line).unwrap(), run);
    }
}
