//! What the lessons share: where their pictures go, and how they show progress. The lessons are in `examples/`, the models that
//! they train in `gradus-nn` and `gradus-gpt`.
//!
//! A lesson prints what it teaches to standard output, with the same numbers on every run; progress and times go to standard
//! error. `tests/lessons.rs` runs each of them and holds what it prints against `expected/`.
#![forbid(unsafe_code)]

use indicatif::{ProgressBar, ProgressStyle};
use std::path::Path;

/// What a lesson returns.
pub type Result<T = ()> = std::result::Result<T, Failure>;

/// Why a lesson ended early. Where `main` returns it, Rust prints its one line and the exit status is not zero.
pub struct Failure(String);

impl Failure {
    /// With this line: what is wrong, and what to do.
    pub fn new(line: impl Into<String>) -> Failure {
        Failure(line.into())
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure(error.to_string())
    }
}

impl std::fmt::Debug for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Writes a picture to `out/LESSON/NAME` and prints the path.
///
/// # Errors
/// Where it cannot be written.
pub fn show(lesson: &str, name: &str, svg: &str) -> Result {
    let path = gradus_pictures::save(&Path::new("out").join(lesson), name, svg)?;
    println!("  {}", path.display());
    Ok(())
}

/// A progress bar over `steps` on standard error, where that is a terminal.
pub fn progress(what: &str, steps: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("  {msg} {bar:30} {pos}/{len} {elapsed}, {eta} left");
    ProgressBar::new(steps)
        .with_message(what.to_string())
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_finish(indicatif::ProgressFinish::AndClear)
}
