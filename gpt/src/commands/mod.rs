//! What the program does, a file for each command.

pub mod eval;
pub mod inspect;
pub mod probabilities;
pub mod sample;
pub mod train;

use crate::{
    args::Command,
    error::{Error, Result},
};
use gradus_kernels::{Isa, isa::ISA_VARIABLE};

/// Runs one command.
///
/// # Errors
/// Whatever the command meets.
pub fn run(command: Command) -> Result<()> {
    instruction_set()?;
    match command {
        Command::Train(args) => train::run(&args),
        Command::Sample(args) => sample::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Inspect(args) => inspect::run(&args),
    }
}

/// Asks for the instruction set before any kernel does, which could only panic.
fn instruction_set() -> Result<Isa> {
    Isa::from_environment().map_err(|problem| Error::Environment { name: ISA_VARIABLE, problem })
}
