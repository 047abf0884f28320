//! The threads that the kernels share.

use crate::error::{Error, Result};

/// Runs `work` in a pool of `threads` threads; all cores where none are given. What it computes does not depend on them.
///
/// # Errors
/// Where the threads cannot be started, and those of `work`.
pub fn run<R: Send>(threads: Option<usize>, work: impl FnOnce() -> Result<R> + Send) -> Result<R> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.unwrap_or(0)).build();
    let refused = |error: rayon::ThreadPoolBuildError| {
        Error::setting("threads", threads.unwrap_or(0), format!("cannot be started: {error}"))
    };
    pool.map_err(refused)?.install(work)
}
