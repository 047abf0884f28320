//! Benchmarks that can be believed: what is timed, how, and against what.
//!
//! A figure alone says little: machines differ, and a busy one differs from itself. So every time here stands beside
//! the machine's own peak, measured in the same run ([`machine`]), beside the rung below it, and on demand beside
//! PyTorch on the same case, taken in turn. Every rung is checked against the oracle before it is timed.
//!
//! - [`workload`]: the one list of what is measured, named after where its shape comes from, with its FLOPs and bytes;
//! - [`cases`]: how to run a workload, a file per operation; the rungs come from the registries of the kernels;
//! - [`budget`]: which rungs are left out where they would take too long;
//! - [`timing`]: what is a repetition, and which of them counts;
//! - [`report`]: `gradus-benches report`, which writes tables, rooflines and raw figures, and `gradus-benches publish`,
//!   which writes the tables of a report into the files that quote it.
//! - `estimates`: what the CUDA kernels are expected to take, before they have run on a card.
//!
//! `cargo bench -p gradus-benches -- matmul/gpt_small` runs the same cases under criterion.
#![forbid(unsafe_code)]

pub mod budget;
pub mod cases;
#[cfg(feature = "cuda")]
pub mod estimates;
pub mod machine;
pub mod report;
pub mod timing;
pub mod workload;

/// What went wrong, in one line.
pub type Result<T> = std::result::Result<T, String>;
