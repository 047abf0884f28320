//! The peaks of this machine, measured now: the ceilings of the roofline that kernels are compared with.
//!
//! Arithmetic: the rate of independent fused multiply-adds, for each instruction set, on one thread and on
//! all. Memory: the rate at which data is read, copied and combined, from a buffer that just fits each level of cache,
//! from one that the last cache holds a part of, and from one that fits none. A data sheet knows neither the current
//! clock rate nor the other users of the machine.
//!
//! A peak is the best measurement ([`gauge`]); the median is kept beside it. `limit` computes the least time of a piece of
//! work from the peaks.

#[cfg(feature = "cuda")]
pub mod card;
pub mod gauge;
mod host;
mod limit;
mod probes;
mod rounds;

pub use gauge::Gauge;
pub use host::{Caches, Host};

use crate::workload::{Precision, Work};
use serde::{Deserialize, Serialize};

/// A level of the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// The L1 data cache of a core.
    L1,
    /// The L2 cache of a core.
    L2,
    /// The L3 cache, which the cores share.
    L3,
    /// One and a half times the L3 cache, which holds a part; the rest is in main memory.
    Edge,
    /// Main memory.
    #[serde(rename = "DRAM")]
    Dram,
}

impl Level {
    /// Every level, the nearest first.
    pub const ALL: [Level; 5] = [Level::L1, Level::L2, Level::L3, Level::Edge, Level::Dram];

    /// Its name.
    pub fn name(self) -> &'static str {
        ["L1", "L2", "L3", "1.5×L3", "DRAM"][self as usize]
    }
}

/// How memory is gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Everything is read: 4 bytes an element.
    Read,
    /// y = x: 8 bytes an element.
    Copy,
    /// y = x by the C library's `memcpy`.
    Memcpy,
    /// y = a + k·b: 12 bytes an element.
    Triad,
    /// y ← y + k·x: 12 bytes an element, and nothing beside them: what is written has been read.
    Update,
    /// y ← k·y: 8 bytes an element, as many read as written, and nothing beside them.
    Scale,
    /// y = x with streaming stores, which save reading the lines of y before they are written.
    StreamedCopy,
    /// y = a + k·b with streaming stores.
    StreamedTriad,
    /// y = 0 by the C library's `memset`, which uses streaming stores for large arrays.
    Memset,
    /// y = k by the threads of a card: 4 bytes an element.
    Write,
}

impl Access {
    /// Every one.
    pub const ALL: [Access; 10] = [
        Access::Read,
        Access::Copy,
        Access::Memcpy,
        Access::StreamedCopy,
        Access::Triad,
        Access::StreamedTriad,
        Access::Update,
        Access::Scale,
        Access::Memset,
        Access::Write,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Access::Read => "read",
            Access::Copy => "copy",
            Access::Memcpy => "memcpy",
            Access::Triad => "triad",
            Access::Update => "update",
            Access::Scale => "scale",
            Access::StreamedCopy => "streamed copy",
            Access::StreamedTriad => "streamed triad",
            Access::Memset => "memset",
            Access::Write => "write",
        }
    }

    /// The arrays that it goes through.
    fn arrays(self) -> usize {
        match self {
            Access::Read | Access::Scale | Access::Memset | Access::Write => 1,
            Access::Copy | Access::Memcpy | Access::Update | Access::StreamedCopy => 2,
            Access::Triad | Access::StreamedTriad => 3,
        }
    }

    /// The elements that the program reads and writes for each one of an array.
    fn reads_and_writes(self) -> (usize, usize) {
        match self {
            Access::Read => (1, 0),
            Access::Memset | Access::Write => (0, 1),
            Access::Copy | Access::Memcpy | Access::Scale | Access::StreamedCopy => (1, 1),
            Access::Triad | Access::Update | Access::StreamedTriad => (2, 1),
        }
    }

    /// Whether a piece of work can be held against it: what writes to where it has read touches half the lines, so that only
    /// work that does so too can.
    fn is_for(self, work: Work) -> bool {
        work.updated > 0 || !matches!(self, Access::Update | Access::Scale)
    }

    /// Whether it is measured at this level of a processor: streaming stores bypass the caches.
    fn is_of(self, level: Level) -> bool {
        if self == Access::Write {
            return false; // on cards alone
        }
        let is_past = matches!(self, Access::Memcpy | Access::Memset | Access::StreamedCopy | Access::StreamedTriad);
        !is_past || level >= Level::Edge
    }
}

/// The peak of multiply-adds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Arithmetic {
    /// The instruction set.
    pub isa: String,
    /// Of what numbers; the sums are `f32`.
    #[serde(default)]
    pub precision: Precision,
    /// How many threads.
    pub threads: usize,
    /// 10⁹ FLOPs in a second, at best; a multiply-add is two.
    pub gflops: f64,
    /// The same of the median round of all; zero in older reports.
    #[serde(default)]
    pub median: f64,
}

/// The bandwidth of a level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bandwidth {
    /// Where the data lies.
    pub level: Level,
    /// How it is gone through.
    pub access: Access,
    /// How many threads.
    pub threads: usize,
    /// 10⁹ bytes in a second, of what the program reads and writes, at best.
    pub gigabytes: f64,
    /// The same of the median round of all; zero in older reports.
    #[serde(default)]
    pub median: f64,
}

/// What a CUDA card says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// Its name.
    pub name: String,
    /// Its compute capability.
    pub capability: String,
    /// Its multiprocessors.
    pub multiprocessors: usize,
    /// The bytes of its memory.
    pub memory: usize,
}

/// The machine, and what was measured of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// What it says of itself.
    pub host: Host,
    /// The instruction set of the kernels in this run.
    pub isa: String,
    /// The threads of this run.
    pub threads: usize,
    /// The peaks of arithmetic.
    pub arithmetic: Vec<Arithmetic>,
    /// The bandwidths.
    pub bandwidth: Vec<Bandwidth>,
    /// How many times all of them were measured, from the beginning of the run to its end; zero in older reports.
    #[serde(default)]
    pub sweeps: usize,
    /// The CUDA card that was measured, where it was not the processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<Card>,
}

/// `1 thread`, `2 threads`
pub(crate) fn plural(threads: usize) -> String {
    if threads == 1 { "1 thread".into() } else { format!("{threads} threads") }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A machine that was never measured, for tests of what is made of the figures.
    pub fn example() -> Machine {
        let host = Host { caches: Caches { l1: 32 << 10, l2: 1 << 20, l3: 32 << 20 }, ..Host::read() };
        let arithmetic = |threads, gflops| Arithmetic {
            isa: "avx512".into(),
            precision: Precision::F32,
            threads,
            gflops,
            median: 0.0,
        };
        let bf16 = Arithmetic { isa: "avx512bf16".into(), precision: Precision::Bf16, ..arithmetic(2, 400.0) };
        let bandwidth = |level, access, threads, gigabytes| Bandwidth {
            level,
            access,
            threads,
            gigabytes,
            median: gigabytes / 2.0,
        };
        Machine {
            host,
            isa: "avx512".into(),
            threads: 2,
            arithmetic: vec![arithmetic(1, 100.0), arithmetic(2, 200.0), bf16],
            bandwidth: vec![
                bandwidth(Level::L1, Access::Read, 1, 200.0),
                bandwidth(Level::L1, Access::Read, 2, 400.0),
                bandwidth(Level::L2, Access::Read, 2, 200.0),
                bandwidth(Level::L3, Access::Read, 2, 100.0),
                bandwidth(Level::Dram, Access::Read, 1, 20.0),
                bandwidth(Level::Dram, Access::Read, 2, 25.0),
                bandwidth(Level::Dram, Access::Triad, 2, 50.0),
            ],
            sweeps: 3,
            card: None,
        }
    }
}
