//! The one list of what is measured. A workload is named after where its shape comes from, and knows its FLOPs and bytes.
//!
//! `gpt_small` is nanoGPT's shakespeare_char for a CPU (L4 H4 C128 T64, B12: 768 rows), `gpt_large` the one for a GPU
//! (L6 H6 C384 T256, B64: 16384 rows), both with V = 65; `gpt2` has C = 768 and V = 50257.
//!
//! FLOPs and bytes are nominal: what the result needs, whatever a rung does, so that the rungs of a ladder compare.
//! Bytes count every input and output once. Attention counts the causal half.

mod gpt;
mod list;
mod problem;

pub use gpt::Gpt;
pub use gradus_gpt::precision::Precision;
pub use list::all;
pub use problem::{Layout, Pass, Problem};

use serde::{Deserialize, Serialize};

/// What work needs at least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Floating-point operations; a multiply-add is two.
    pub flops: u64,
    /// Bytes read.
    pub read: u64,
    /// Bytes written.
    pub written: u64,
    /// Of these, the bytes that are written to where they were read.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub updated: u64,
}

fn is_zero(x: &u64) -> bool {
    *x == 0
}

impl Work {
    /// All bytes.
    pub fn bytes(self) -> u64 {
        self.read + self.written
    }

    /// The memory that the work touches: what is updated in place is one place, though it is read and written.
    pub fn footprint(self) -> u64 {
        self.bytes() - self.updated
    }

    /// FLOPs for a byte.
    pub fn intensity(self) -> f64 {
        self.flops as f64 / self.bytes() as f64
    }

    /// What its rate is given in: arithmetic where there is much of it for a byte, else traffic.
    pub fn unit(self) -> Unit {
        if self.intensity() > 4.0 { Unit::Flops } else { Unit::Bytes }
    }

    /// In its unit, how much there is.
    pub fn amount(self) -> u64 {
        match self.unit() {
            Unit::Flops => self.flops,
            Unit::Bytes => self.bytes(),
        }
    }
}

/// The unit of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Floating-point operations.
    Flops,
    /// Bytes.
    Bytes,
}

impl Unit {
    /// 10⁹ of it in a second.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Flops => "GFLOP/s",
            Unit::Bytes => "GB/s",
        }
    }
}

/// One thing that is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// The ladder that it belongs to.
    pub operation: &'static str,
    /// Where the shape comes from.
    pub name: String,
    /// Which of the operation's functions.
    pub direction: &'static str,
    /// What is computed.
    pub problem: Problem,
    /// Whether it stands for its operation: in `--quick`, in the thread-scaling curve and in the summary.
    pub headline: bool,
}

impl Workload {
    /// `matmul/gpt_small/qkv/forward`: the name of its criterion group, and what `--only` looks in.
    pub fn id(&self) -> String {
        format!("{}/{}/{}", self.operation, self.name, self.direction)
    }

    /// Whether its top rung is also timed with nothing of its data in a cache: where bytes are the bound, and where it stands
    /// for its operation. Whole programs leave in the caches what they do.
    pub fn has_cold_time(&self) -> bool {
        (self.problem.work().unit() == Unit::Bytes || self.headline) && self.problem.tokens().is_none()
    }
}
