//! Where the shared arrays of a file of kernels lie: in one section, which is filled with NaN before a block begins.

use super::run;
use std::{path::Path, process::Command};

/// Moves the shared arrays of function templates, which GCC 12 leaves among the zeros of the object whatever section they name, into
/// the section that is filled with NaN. A file of kernels has no other zeros but its registrations, which have no content.
pub(super) fn gather(object: &Path, section: &str) {
    const FLAGS: &str = "alloc,load,data,contents";
    let mut command = Command::new("objcopy");
    command.arg(format!("--set-section-flags=.bss={FLAGS}")).arg(format!("--rename-section=.bss={section},{FLAGS}"));
    run(command.arg(object));
}

/// That no array is left that can be written to and lies elsewhere.
///
/// # Errors
/// A line about the first one.
pub(super) fn check(object: &Path, section: &str) -> Result<(), String> {
    let table = run(Command::new("nm").args(["--demangle", "--format=sysv"]).arg(object));
    match left_out(&table, section) {
        None => Ok(()),
        Some((name, at)) => Err(format!(
            "the shared array {name} lies in the section {at} and would not be filled with NaN; make the function that it \
             stands in __device__, and give it no first value"
        )),
    }
}

/// An array in a table of `nm` that can be written to and does not lie in the section, and where it lies.
fn left_out<'a>(table: &'a str, section: &str) -> Option<(&'a str, &'a str)> {
    let arrays = table.lines().filter_map(|line| {
        let columns: Vec<&str> = line.rsplitn(7, '|').map(str::trim).collect();
        let &[at, _, _, kind, _, _, name] = &columns[..] else { return None };
        // With relocations that are resolved once, and are constant after that: what a compiler makes for itself.
        let writable = [".bss", ".data", ".tbss", ".tdata", "*COM*"].iter().any(|start| at.starts_with(start));
        let variable = ["OBJECT", "TLS", "COMMON"].contains(&kind);
        (variable && writable && !at.starts_with(".data.rel") && at != section).then_some((name, at))
    });
    { arrays }.next()
}
