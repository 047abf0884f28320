//! The threads that the kernels share.

use crate::{
    error::{Error, Result},
    output,
};
use std::thread::available_parallelism;

/// Runs `work` in a pool of `threads` threads, or of [`default_count`]. What it computes does not depend on them.
///
/// # Errors
/// Where the threads cannot be started, and those of `work`.
pub fn run<R: Send>(threads: Option<usize>, work: impl FnOnce() -> Result<R> + Send) -> Result<R> {
    let count = threads.unwrap_or_else(default_count);
    if let Some(warning) = warning(count, default_count()) {
        output::note(&warning);
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build();
    let refused =
        |error: rayon::ThreadPoolBuildError| Error::setting("threads", count, format!("cannot be started: {error}"));
    pool.map_err(refused)?.install(work)
}

/// The processors that this process may use: no more than its affinity mask has (`taskset`), and no more than the CPU quota of its
/// container allows (cgroup v1 and v2, rounded down), as the standard library finds them; 1 where they cannot be found out.
pub fn default_count() -> usize {
    available_parallelism().map_or(1, usize::from)
}

fn warning(count: usize, available: usize) -> Option<String> {
    (count > available).then(|| {
        format!(
            "--threads {count} is more than the processors that this process may use, {available}: threads then wait \
             for each other, and {available} would be faster"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_threads_than_processors_are_warned_of() {
        let text = warning(1024, 2).unwrap();
        assert!(text.starts_with("--threads 1024 is more than") && text.ends_with("2 would be faster"), "{text}");
        assert_eq!((warning(2, 2), warning(1, 2)), (None, None));
    }

    #[test]
    fn the_pool_has_as_many_threads_as_were_asked_for() {
        let threads = |asked| run(asked, || Ok(rayon::current_num_threads())).unwrap();
        assert_eq!((threads(Some(3)), threads(None)), (3, default_count()));
    }
}
