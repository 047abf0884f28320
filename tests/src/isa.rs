//! Running a test once more at the other instruction sets of this machine.

use gradus_kernels::{Bf16Isa, Isa, isa::ISA_VARIABLE};
use std::process::Command;

/// Runs the tests `names` of this test binary again, in a process for each instruction set but the active one: a process
/// chooses once.
///
/// # Panics
/// Where one of them fails there, or is not found.
pub fn at_every_other(names: &[&str]) {
    for isa in Isa::available().filter(|&isa| isa != Isa::active()) {
        run_at(&isa.to_string(), names);
    }
}

/// The same for tests of bf16, which knows more levels.
///
/// # Panics
/// As [`at_every_other`].
pub fn at_every_other_of_bf16(names: &[&str]) {
    for isa in Bf16Isa::available().filter(|&isa| isa != Bf16Isa::active()) {
        run_at(&isa.to_string(), names);
    }
}

fn run_at(isa: &str, names: &[&str]) {
    let binary = std::env::current_exe().expect("the test binary");
    let mut command = Command::new(binary);
    command.arg("--exact").args(names).env(ISA_VARIABLE, isa);
    let output = command.output().expect("the test binary runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let passed = format!("{} passed; 0 failed", names.len());
    assert!(output.status.success() && text.contains(&passed), "{isa}: {text}");
}
