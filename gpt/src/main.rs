//! The program `gradus`: reads the command line, runs the command, and says in one line what went wrong.
#![forbid(unsafe_code)]

use clap::Parser;
use gradus_gpt::{args::Cli, commands, output};
use std::process::ExitCode;

fn main() -> ExitCode {
    match commands::run(Cli::parse().command()) {
        Ok(status) => ExitCode::from(status),
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            output::note(&output::one_line(&format!("error: {error}"))); // a file name may have line breaks
            ExitCode::from(error.exit_code())
        }
    }
}
