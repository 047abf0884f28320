//! A whole program, such as a training step, in a process of its own: nothing else is in its memory, so that its peak is
//! its own, and it starts as a user's would. The process is this program again, called `gradus-benches alone ID`: for
//! each line that it is sent, the seconds of a turn, it answers with what it found. When there are no more, it checks
//! what it computed.

use super::run::on_threads;
use crate::{
    Result, cases,
    timing::{Timing, seconds, turn},
    workload,
};
use gradus_gpt::memory;
use gradus_kernels::Isa;
use serde::{Deserialize, Serialize};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
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
    let (mut warm, mut once) = (0.0, 0.0);
    while warm < WARM_UP_SECONDS {
        once = seconds(|| case.run(0, isa));
        warm += once;
    }
    for line in io::stdin().lock().lines() {
        let line = line.map_err(|error| error.to_string())?;
        let seconds = line.trim().parse().map_err(|_| format!("{line:?} is no number of seconds"))?;
        let timing = turn(seconds, once, || case.run(0, isa));
        let run = Run { timing, peak_mib: memory::peak_mib() };
        let text = serde_json::to_string(&run).map_err(|error| error.to_string())?;
        println!("{text}");
    }
    case.check(0, isa)?; // after the peak was read, for it takes memory too
    Ok(())
}

/// The process, from outside.
#[derive(Debug)]
pub struct Alone {
    child: Child,
    /// None when there are no more turns.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Alone {
    /// Starts the process, which then warms up.
    ///
    /// # Errors
    /// One line where it cannot be started.
    pub fn start(id: &str, threads: usize) -> Result<Alone> {
        let program = std::env::current_exe().map_err(|error| format!("this program is not found: {error}"))?;
        let mut command = Command::new(program);
        command.args(["alone", id, "--threads", &threads.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("cannot be started: {error}"))?;
        let output = child.stdout.take().ok_or("its output is missing")?;
        Ok(Alone { input: child.stdin.take(), child, output: BufReader::new(output) })
    }

    /// A turn of about `seconds`.
    ///
    /// # Errors
    /// Its own line, or that it ended without one.
    pub fn turn(&mut self, seconds: f64) -> Result<Run> {
        let sent = self.input.as_mut().map(|input| writeln!(input, "{seconds}").and_then(|()| input.flush()));
        let mut line = String::new();
        let read = self.output.read_line(&mut line);
        if !matches!(sent, Some(Ok(()))) || !matches!(read, Ok(1..)) {
            self.finish()?;
            return Err("it ended before its turn".into());
        }
        serde_json::from_str(&line).map_err(|error| format!("its answer cannot be read: {error}"))
    }

    /// Has it check what it computed, and waits for its end.
    ///
    /// # Errors
    /// Its own line.
    pub fn finish(&mut self) -> Result<()> {
        self.input = None;
        let status = self.child.wait().map_err(|error| error.to_string())?;
        if status.success() {
            return Ok(());
        }
        let mut text = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            let _ = stderr.read_to_string(&mut text); // what is missing, the status says
        }
        let line = text.lines().last().map_or_else(|| status.to_string(), Into::into);
        Err(line.trim_start_matches("error: ").into())
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        // It is ours. Where it has ended already, there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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
