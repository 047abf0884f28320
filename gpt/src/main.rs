//! The program `gradus`: reads the command line, runs the command, and says in one line what went wrong.
#![forbid(unsafe_code)]

use clap::Parser;
use gradus_gpt::{args::Cli, commands, output, usage};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            output::note(&output::one_line(&usage::one_line(&error)));
            return ExitCode::from(2);
        }
        Err(help) => help.exit(),
    };
    match commands::run(cli.command()) {
        Ok(status) => ExitCode::from(status),
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            output::note(&output::one_line(&format!("error: {error}"))); // a file name may have line breaks
            ExitCode::from(error.exit_code())
        }
    }
}
