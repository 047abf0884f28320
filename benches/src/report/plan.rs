//! What a report measures, and with how many threads.

use super::data::Settings;
use crate::{Result, workload::Workload};

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The workloads.
    pub workloads: Vec<Workload>,
    /// The threads of the pool.
    pub threads: usize,
    /// How it is recorded.
    pub settings: Settings,
}

/// Runs `work` in a thread pool of so many threads.
///
/// # Errors
/// Where the threads cannot be started.
pub fn on_threads<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> Result<R> {
    Ok(pool(threads)?.install(work))
}

/// A thread pool of so many threads.
///
/// # Errors
/// Where the threads cannot be started.
pub fn pool(threads: usize) -> Result<rayon::ThreadPool> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|error| format!("{threads} threads: {error}"))
}
