//! Running a test once more at the other instruction sets of this machine.

use gradus_kernels::{Isa, isa::ISA_VARIABLE};
use std::process::Command;

/// Runs the tests `names` of this test binary again, in a process for each instruction set but the active one: a process
/// chooses once.
///
/// # Panics
/// Where one of them fails there, or is not found.
pub fn at_every_other(names: &[&str]) {
    for isa in Isa::available().filter(|&isa| isa != Isa::active()) {
        let binary = std::env::current_exe().expect("the test binary");
        let mut command = Command::new(binary);
        command.arg("--exact").args(names).env(ISA_VARIABLE, isa.to_string());
        let output = command.output().expect("the test binary runs");
        let text = String::from_utf8_lossy(&output.stdout);
        let passed = format!("{} passed; 0 failed", names.len());
        assert!(output.status.success() && text.contains(&passed), "{isa}: {text}");
    }
}
