//! What this machine can do at most, measured now: the ceilings that the figures of the kernels stand under.
//!
//! Arithmetic: the rate of fused multiply-adds that wait for nothing, for each instruction set, on one thread and on
//! all. Memory: the rate at which data is read, copied and combined, from a buffer that just fits each level of cache,
//! and from one that fits none. A data sheet knows neither the clock of the moment nor who else is on the machine.

mod host;
mod probes;

pub use host::{Caches, Host};

use crate::{timing::seconds, workload::Precision};
use gradus_kernels::{Bf16Isa, Isa};
use serde::{Deserialize, Serialize};
use std::{
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// A level of the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// The first cache of a core.
    L1,
    /// The second cache of a core.
    L2,
    /// The last cache, which the cores share.
    L3,
    /// Main memory.
    #[serde(rename = "DRAM")]
    Dram,
}

impl Level {
    /// Every level, the nearest first.
    pub const ALL: [Level; 4] = [Level::L1, Level::L2, Level::L3, Level::Dram];

    /// Its name.
    pub fn name(self) -> &'static str {
        ["L1", "L2", "L3", "DRAM"][self as usize]
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
    /// y = x by the C library's `memcpy`, which writes large results past the caches.
    Memcpy,
    /// y = a + k·b: 12 bytes an element.
    Triad,
    /// y ← y + k·x: 12 bytes an element, and nothing beside them: what is written has been read.
    Update,
}

impl Access {
    /// Every one.
    pub const ALL: [Access; 5] = [Access::Read, Access::Copy, Access::Memcpy, Access::Triad, Access::Update];

    /// Its name.
    pub fn name(self) -> &'static str {
        ["read", "copy", "memcpy", "triad", "update"][self as usize]
    }

    /// The arrays that it goes through, and the bytes that are read and written for an element of each.
    fn arrays_and_bytes(self) -> (usize, usize) {
        match self {
            Access::Read => (1, 4),
            Access::Copy | Access::Memcpy => (2, 8),
            Access::Triad => (3, 12),
            Access::Update => (2, 12),
        }
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
    /// 10⁹ FLOPs in a second; a multiply-add is two.
    pub gflops: f64,
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
    /// 10⁹ bytes in a second, of what the program reads and writes.
    pub gigabytes: f64,
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
}

impl Machine {
    /// Measures, for about `seconds`; `progress` gets the name of each part before it.
    pub fn measure(threads: usize, seconds: f64, mut progress: impl FnMut(&str)) -> Machine {
        let host = Host::read();
        let counts: &[usize] = if threads > 1 { &[1, threads] } else { &[1] };
        let levels = buffers(host.caches, threads);
        let parts = counts.len() * (Isa::available().count() + levels.len() * 4 + 2);
        let slice = Duration::from_secs_f64(seconds / parts as f64);
        let (mut arithmetic, mut bandwidth) = (Vec::new(), Vec::new());
        for &threads in counts {
            for isa in Isa::available() {
                progress(&format!("multiply-adds, {isa}, on {}", plural(threads)));
                let (gflops, precision) = (fma_peak(isa, threads, slice), Precision::F32);
                arithmetic.push(Arithmetic { isa: isa.to_string(), precision, threads, gflops });
            }
            let (isa, precision) = (Bf16Isa::best(), Precision::Bf16);
            progress(&format!("dot products of bf16, {isa}, on {}", plural(threads)));
            let gflops = bf16_peak(isa, threads, slice);
            arithmetic.push(Arithmetic { isa: isa.to_string(), precision, threads, gflops });
            for &(level, bytes) in &levels {
                for access in Access::ALL {
                    if access == Access::Memcpy && level != Level::Dram {
                        continue;
                    }
                    progress(&format!("{} {}, on {}", level.name(), access.name(), plural(threads)));
                    let share = if matches!(level, Level::L1 | Level::L2) { bytes } else { bytes / threads };
                    let gigabytes = memory_peak(access, share, threads, slice);
                    bandwidth.push(Bandwidth { level, access, threads, gigabytes });
                }
            }
        }
        Machine { host, isa: Isa::active().to_string(), threads, arithmetic, bandwidth }
    }

    /// The peak of arithmetic, in FLOPs in a second, on `threads` threads: of the best instruction set. What is of bf16
    /// may also be computed in `f32`.
    pub fn flops_per_second(&self, threads: usize, precision: Precision) -> f64 {
        let counts = |a: &&Arithmetic| a.precision == Precision::F32 || a.precision == precision;
        let peaks = || self.arithmetic.iter().filter(counts);
        let of = |n| peaks().filter(|a| a.threads == n).map(|a| a.gflops * 1e9).fold(0.0, f64::max);
        if of(threads) > 0.0 { of(threads) } else { of(1) * threads as f64 }
    }

    /// The best bandwidth of a level, in bytes in a second: of reading alone, or of any way through the memory.
    pub fn bytes_per_second(&self, level: Level, threads: usize, read_only: bool) -> f64 {
        let counts = |b: &&Bandwidth| b.level == level && (!read_only || b.access == Access::Read);
        let of = |n| self.bandwidth.iter().filter(counts).filter(move |b| b.threads == n).map(|b| b.gigabytes * 1e9);
        of(threads).fold(of(1).fold(0.0, f64::max), f64::max)
    }

    /// Where so many bytes stay, gone through again and again by all threads: the smallest level that they fit in.
    pub fn level_of(&self, bytes: u64) -> Level {
        let Caches { l1, l2, l3 } = self.host.caches;
        let (own, all) = (bytes / self.threads as u64, bytes);
        match () {
            () if own <= l1 as u64 * 3 / 4 => Level::L1,
            () if own <= l2 as u64 * 3 / 4 => Level::L2,
            () if all <= l3 as u64 * 3 / 4 => Level::L3,
            () => Level::Dram,
        }
    }

    /// The least time that a piece of work can take: that of its arithmetic at the peak, or that of its traffic.
    pub fn least_seconds(&self, work: crate::workload::Work, precision: Precision) -> f64 {
        let level = self.level_of(work.footprint());
        let bandwidth = self.bytes_per_second(level, self.threads, work.written * 4 < work.read);
        let arithmetic = work.flops as f64 / self.flops_per_second(self.threads, precision);
        arithmetic.max((work.read + work.written) as f64 / bandwidth)
    }
}

/// `1 thread`, `2 threads`
pub(crate) fn plural(threads: usize) -> String {
    if threads == 1 { "1 thread".into() } else { format!("{threads} threads") }
}

/// For each level the bytes of a buffer that lies in it and in no nearer one: of a core for L1 and L2, of all for the rest.
fn buffers(caches: Caches, threads: usize) -> Vec<(Level, usize)> {
    let Caches { l1, l2, l3 } = caches;
    let mut levels = vec![(Level::L1, l1 / 2), (Level::L2, l2 / 2)];
    // A share of L3 has to be larger than the L2 of its core; where there is no such L3, there is no such level.
    if l3 / 2 > 2 * l2 * threads {
        levels.push((Level::L3, l3 / 3));
    }
    levels.push((Level::Dram, (8 * l3).clamp(256 << 20, 1 << 30)));
    levels
}

/// FLOPs in a second, in 10⁹, of independent chains of multiply-adds.
fn fma_peak(isa: Isa, threads: usize, time: Duration) -> f64 {
    const ROUNDS: usize = 200_000;
    let flops = 2 * probes::CHAINS * probes::lanes(isa) * ROUNDS;
    rate(
        threads,
        time,
        flops,
        0.0,
        || (),
        move |()| {
            std::hint::black_box(probes::chains(isa, ROUNDS, 0.999_999, 1e-6));
        },
    )
}

/// The same of independent chains of dot products of pairs.
fn bf16_peak(isa: Bf16Isa, threads: usize, time: Duration) -> f64 {
    const ROUNDS: usize = 200_000;
    let flops = 4 * probes::CHAINS * probes::lanes(isa.isa()) * ROUNDS;
    let work = move |(): &mut ()| {
        std::hint::black_box(probes::bf16_chains(isa, ROUNDS, 0.5, 0.25));
    };
    rate(threads, time, flops, 0.0, || (), work)
}

/// Bytes in a second, in 10⁹, with buffers of `bytes` in all for each thread.
fn memory_peak(access: Access, bytes: usize, threads: usize, time: Duration) -> f64 {
    let isa = Isa::best();
    let (arrays, element) = access.arrays_and_bytes();
    let n = (bytes / arrays / 4).next_multiple_of(1024);
    let passes = ((1 << 26) / bytes).max(1); // 64 MiB at least, so that a call takes a good part of a millisecond
    let buffers = move || [0, 1, 2].map(|i| vec![1.0_f32; if i < arrays { n } else { 0 }]);
    // The median round: who else is on the bus decides much of it, and the times of the kernels are medians too.
    rate(threads, time, passes * n * element, 0.5, buffers, move |[x, y, z]| {
        for _ in 0..passes {
            match access {
                Access::Read => {
                    std::hint::black_box(probes::read(isa, x));
                }
                Access::Copy => probes::copy(isa, x, y),
                Access::Memcpy => y.copy_from_slice(x),
                Access::Triad => probes::triad(isa, 0.5, x, y, z),
                Access::Update => probes::update(isa, 1e-6, x, y),
            }
            std::hint::black_box((&mut *y, &mut *z));
        }
    })
}

/// The rate, in 10⁹ units in a second, of `work` done on every thread at once, where one call is `units` units: of the
/// round at `quantile` of all, from the fastest at 0.
fn rate<D>(
    threads: usize,
    time: Duration,
    units: usize,
    quantile: f64,
    data: impl Fn() -> D + Sync,
    work: impl Fn(&mut D) + Sync,
) -> f64 {
    let (barrier, rounds) = (Barrier::new(threads), AtomicUsize::new(0));
    // All begin each round together, so that no thread has the machine to itself; a round takes as long as the last one.
    let run = |leads: bool| -> Vec<f64> {
        let mut data = data(); // by the thread that uses it
        work(&mut data);
        barrier.wait();
        let once = seconds(|| work(&mut data));
        if leads {
            rounds.store((time.as_secs_f64() / once.max(1e-6)).clamp(3.0, 1000.0) as usize, Ordering::Relaxed);
        }
        barrier.wait(); // also makes the number known to all
        let round = |_| {
            barrier.wait();
            seconds(|| work(&mut data))
        };
        (0..rounds.load(Ordering::Relaxed)).map(round).collect()
    };
    let all: Vec<Vec<f64>> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(|| run(false))).collect();
        let mine = run(true);
        others.into_iter().map(|other| other.join().expect("a probe does not panic")).chain([mine]).collect()
    });
    let round = |i: usize| all.iter().map(|times| times[i]).fold(0.0, f64::max);
    let mut rounds: Vec<f64> = (0..all[0].len()).map(round).collect();
    rounds.sort_unstable_by(f64::total_cmp);
    let chosen = rounds[((rounds.len() - 1) as f64 * quantile) as usize];
    (units * threads) as f64 / chosen / 1e9
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::workload::Work;

    /// A machine that was never measured, for tests of what is made of the figures.
    pub fn example() -> Machine {
        let host = Host { caches: Caches { l1: 32 << 10, l2: 1 << 20, l3: 32 << 20 }, ..Host::read() };
        let arithmetic =
            |threads, gflops| Arithmetic { isa: "avx512".into(), precision: Precision::F32, threads, gflops };
        let bf16 = Arithmetic { isa: "avx512bf16".into(), precision: Precision::Bf16, ..arithmetic(2, 400.0) };
        let bandwidth = |level, access, threads, gigabytes| Bandwidth { level, access, threads, gigabytes };
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
        }
    }

    #[test]
    fn the_limit_is_the_slower_of_arithmetic_and_traffic() {
        let machine = example();
        let work = |flops, read, written| Work { flops, read, written };
        let least = |work| machine.least_seconds(work, Precision::F32);
        assert_eq!(least(work(200_000_000_000, 1000, 1000)), 1.0);
        assert_eq!(machine.least_seconds(work(400_000_000_000, 1000, 1000), Precision::Bf16), 1.0);
        assert_eq!(least(work(1, 25_000_000_000, 25_000_000_000)), 1.0, "any access");
        assert_eq!(least(work(1, 25_000_000_000, 0)), 1.0, "reading alone");
        assert_eq!(machine.level_of(40_000), Level::L1);
        assert_eq!(machine.level_of(1 << 20), Level::L2);
        assert_eq!(machine.level_of(20 << 20), Level::L3);
        assert_eq!(machine.level_of(25 << 20), Level::Dram);
    }

    #[test]
    fn a_short_measurement_finds_rates_of_this_planet() {
        let machine = Machine::measure(2, 0.2, |_| ());
        assert_eq!(machine.arithmetic.len(), 2 * (Isa::available().count() + 1));
        assert!(machine.arithmetic.iter().all(|a| (0.1..1e5).contains(&a.gflops)), "{:?}", machine.arithmetic);
        assert!(machine.bandwidth.iter().all(|b| (0.01..1e5).contains(&b.gigabytes)), "{:?}", machine.bandwidth);
        assert!(machine.bytes_per_second(Level::Dram, 2, true) <= machine.bytes_per_second(Level::Dram, 2, false));
    }
}
