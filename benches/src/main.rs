//! The program `gradus-benches`: `report` measures and writes a folder, `publish` quotes it, `in-turn`
//! compares two builds, `list` prints what is measured.
#![forbid(unsafe_code)]

use clap::Parser;
use gradus_benches::{report, workload};
use std::process::ExitCode;

/// Benchmarks of every ladder of gradus, against the machine's own peaks
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Measure the machine and every ladder, and write tables, rooflines and raw figures
    Report(report::Arguments),
    /// Write the tables of a report into the files that quote it
    Publish(report::publish::Arguments),
    /// Compare the speed of every workload with that of another build of this program, in turn
    InTurn(report::in_turn::Arguments),
    /// Measure one workload in this process, for `report` and `in-turn`
    #[command(hide = true)]
    Alone(report::alone::Arguments),
    /// Print what the CUDA kernels are expected to take: docs/cuda-estimates.md
    #[cfg(feature = "cuda")]
    Estimates,
    /// Print the names of the workloads, their sizes and FLOPs
    List,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            let text = error.to_string();
            eprintln!("{}", text.lines().next().unwrap_or("error: wrong arguments"));
            return ExitCode::from(2);
        }
        Err(help) => {
            print!("{help}");
            return ExitCode::SUCCESS;
        }
    };
    let done = match cli.command {
        Command::Report(arguments) => report::command(&arguments),
        Command::Publish(arguments) => report::publish::command(&arguments),
        Command::InTurn(arguments) => report::in_turn::command(&arguments),
        Command::Alone(arguments) => report::alone::command(&arguments),
        #[cfg(feature = "cuda")]
        Command::Estimates => gradus_benches::estimates::page().map(|page| print!("{page}")),
        Command::List => {
            list();
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn list() {
    for workload in workload::all() {
        let work = workload.problem.work();
        let (id, sizes) = (workload.id(), workload.problem.sizes());
        println!("{id:<38} {sizes:<40} {:>9.3} GFLOP {:>9.2} MB", work.flops as f64 / 1e9, work.bytes() as f64 / 1e6);
    }
}
