//! What the program does, a file for each command.

pub mod devices;
pub mod eval;
pub mod inspect;
pub mod plan;
pub mod play;
pub mod probabilities;
pub mod sample;
pub mod tokenizer;
pub mod train;

use crate::{
    args::Command,
    device_failure,
    error::{Error, Result},
    interrupt, run_folder,
};
use gradus_kernels::{Isa, isa::ISA_VARIABLE};
use std::path::Path;

/// Runs one command. Returns the exit status of the process: 0, or for a training that a signal stopped that of the
/// signal.
///
/// # Errors
/// Whatever the command meets.
pub fn run(command: Command) -> Result<u8> {
    instruction_set()?;
    interrupt::outlive_file_size_limit()?;
    device_failure::caught(|| {
        match &command {
            Command::Train(args) => return train::run(args),
            Command::Sample(args) => sample::run(args).map_err(|error| explain(&args.model, error))?,
            Command::Eval(args) => eval::run(args).map_err(|error| explain(&args.model, error))?,
            Command::Inspect(args) => inspect::run(args).map_err(|error| explain(&args.model, error))?,
            Command::Tokenizer(command) => tokenizer::run(command)?,
            Command::Play(args) => play::run(args)?,
            Command::Devices => devices::run()?,
            Command::Plan(args) => plan::run(args)?,
        }
        Ok(0)
    })
}

/// A folder without a model may be one in which a run is just beginning.
fn explain(dir: &Path, error: Error) -> Error {
    match (&error, run_folder::lock::refusal(dir)) {
        (Error::NoCheckpoint { .. }, Some(Error::InUse { dir, .. })) => Error::NotYet { dir },
        _ => error,
    }
}

/// Asks for the instruction set before any kernel does, which could only panic.
fn instruction_set() -> Result<Isa> {
    Isa::from_environment().map_err(|problem| Error::Environment { name: ISA_VARIABLE, problem })
}
