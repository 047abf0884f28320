//! The least time that the ceilings of a machine allow for a piece of work.
//!
//! Arithmetic goes at the peak of multiply-adds. Traffic has three ceilings at every level, for the paths in and out of a
//! core are not one path: all that is read goes no faster than any probe reads, all that is written no faster than any
//! writes, and both together no faster than any does both. The probes that write to where they have read count for work
//! that does so.
//!
//! Work that is repeated on the same data finds a part of it in a nearer cache, and the more of it the less there is. A
//! cache of C bytes holds C of F, so that the time for a byte is a line over 1/F between any two sizes that were measured.

use super::{Access, Caches, Level, Machine};
use crate::workload::{Precision, Work};

/// For each level the bytes of a buffer that lies in it and in no nearer one, of all threads together.
pub(super) fn buffers(caches: Caches, threads: usize) -> Vec<(Level, usize)> {
    let Caches { l1, l2, l3 } = caches;
    let mut levels = vec![(Level::L1, l1 / 2 * threads), (Level::L2, l2 / 2 * threads)];
    // A share of L3 has to be larger than the L2 of its core; where there is no such L3, there is no such level.
    if l3 / 2 > 2 * l2 * threads {
        levels.push((Level::L3, l3 / 3));
        levels.push((Level::Edge, l3 / 2 * 3));
    }
    levels.push((Level::Dram, (8 * l3).clamp(256 << 20, 1 << 30)));
    levels
}

/// The least time for the traffic of a piece of work, where `best(share)` is the best rate, in bytes in a second, of any
/// way through the memory of which a share counts; none where it is 0.
pub(super) fn least_traffic(work: Work, best: impl Fn(&dyn Fn(Access) -> f64) -> f64) -> Option<f64> {
    let rate = |of: fn(usize, usize) -> usize| {
        best(&|access| {
            let (reads, writes) = access.reads_and_writes();
            let counts = work.updated > 0 || !access.is_in_place();
            if counts { of(reads, writes) as f64 / (reads + writes) as f64 } else { 0.0 }
        })
    };
    let all = rate(|reads, writes| reads + writes);
    if all == 0.0 {
        return None;
    }
    let (read, written) = (rate(|reads, _| reads), rate(|_, writes| writes));
    let seconds = |bytes: u64, rate: f64| if rate > 0.0 { bytes as f64 / rate } else { 0.0 };
    Some(seconds(work.bytes(), all).max(seconds(work.read, read)).max(seconds(work.written, written)))
}

/// The level whose buffers are as large as this, or the next larger one.
pub(super) fn level_of(bytes: usize, caches: Caches, threads: usize) -> Level {
    let levels = buffers(caches, threads);
    levels.iter().find(|&&(_, size)| bytes <= size).map_or(Level::Dram, |&(level, _)| level)
}

impl Machine {
    /// The peak of arithmetic, in FLOPs in a second, on `threads` threads: of the best instruction set. What is of bf16
    /// may also be computed in `f32`.
    pub fn flops_per_second(&self, threads: usize, precision: Precision) -> f64 {
        let counts = |a: &&super::Arithmetic| a.precision == Precision::F32 || a.precision == precision;
        let peaks = || self.arithmetic.iter().filter(counts);
        let of = |n| peaks().filter(|a| a.threads == n).map(|a| a.gflops * 1e9).fold(0.0, f64::max);
        if of(threads) > 0.0 { of(threads) } else { of(1) * threads as f64 }
    }

    /// The best bandwidth of a level, in bytes in a second, of any way through the memory.
    pub fn bytes_per_second(&self, level: Level, threads: usize) -> f64 {
        self.best_of(level, threads, &|_| 1.0)
    }

    /// The best rate of a level where of each way through it only a share of the bytes counts.
    fn best_of(&self, level: Level, threads: usize, share: &dyn Fn(Access) -> f64) -> f64 {
        let counts = |b: &&super::Bandwidth| b.level == level && (b.threads == threads || b.threads == 1);
        self.bandwidth.iter().filter(counts).map(|b| b.gigabytes * 1e9 * share(b.access)).fold(0.0, f64::max)
    }

    /// The least time for the traffic of a piece of work whose data all lies at one level; none where that was not
    /// measured.
    fn traffic_at(&self, level: Level, work: Work) -> Option<f64> {
        least_traffic(work, |share| self.best_of(level, self.threads, share))
    }

    /// The sizes at which the time for a byte is known, from small to large, with their level: what fills three quarters
    /// of a cache is still in it.
    fn sizes(&self) -> Vec<(f64, Level)> {
        let Caches { l1, l2, l3 } = self.host.caches;
        let mut sizes = Vec::new();
        for (level, bytes) in buffers(self.host.caches, self.threads) {
            let full = match level {
                Level::L1 => l1 * self.threads / 4 * 3,
                Level::L2 => l2 * self.threads / 4 * 3,
                Level::L3 => l3 / 4 * 3,
                Level::Edge | Level::Dram => bytes,
            };
            sizes.extend([(bytes as f64, level), (full as f64, level)]);
        }
        sizes
    }

    /// The least time for the traffic of a piece of work that is repeated on the same data.
    fn traffic(&self, work: Work) -> f64 {
        let footprint = (work.footprint() as f64).max(1.0);
        let mut below: Option<(f64, f64)> = None;
        for (size, level) in self.sizes() {
            let Some(seconds) = self.traffic_at(level, work) else { continue };
            match below {
                _ if size < footprint => below = Some((size, seconds)),
                None => return seconds,
                Some((less, shorter)) => {
                    let part = (1.0 / less - 1.0 / footprint) / (1.0 / less - 1.0 / size);
                    return shorter + part * (seconds - shorter).max(0.0);
                }
            }
        }
        below.map_or(0.0, |(_, seconds)| seconds)
    }

    /// The least time that a piece of work can take: that of its arithmetic at the peak, or that of its traffic.
    pub fn least_seconds(&self, work: Work, precision: Precision) -> f64 {
        let arithmetic = work.flops as f64 / self.flops_per_second(self.threads, precision);
        arithmetic.max(self.traffic(work))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::example, *};
    use crate::machine::Bandwidth;

    fn work(flops: u64, read: u64, written: u64) -> Work {
        Work { flops, read, written, updated: 0 }
    }

    #[test]
    fn the_limit_is_the_slower_of_arithmetic_and_traffic() {
        let machine = example();
        let least = |work| machine.least_seconds(work, Precision::F32);
        assert_eq!(least(work(200_000_000_000, 1000, 1000)), 1.0);
        assert_eq!(machine.least_seconds(work(400_000_000_000, 1000, 1000), Precision::Bf16), 1.0);
        assert_eq!(least(work(1, 25_000_000_000, 0)), 0.75, "the triad reads two thirds of 50 GB/s");
        assert_eq!(least(work(1, 0, 50_000_000_000)), 3.0, "and writes one third");
        let both = least(work(1, 32_000_000_000, 16_000_000_000));
        assert!((both - 0.96).abs() < 1e-9, "both together as it does: {both}");
    }

    #[test]
    fn what_is_updated_in_place_counts_for_what_does_so() {
        let mut machine = example();
        let scale = Bandwidth { access: Access::Scale, gigabytes: 100.0, ..machine.bandwidth[6].clone() };
        machine.bandwidth.push(scale);
        let apart = work(0, 25_000_000_000, 25_000_000_000);
        let in_place = Work { updated: 25_000_000_000, ..apart };
        assert_eq!(machine.least_seconds(apart, Precision::F32), 1.5, "the triad writes 50/3 GB/s");
        assert_eq!(machine.least_seconds(in_place, Precision::F32), 0.5);
    }

    #[test]
    fn what_the_caches_hold_a_part_of_is_between_two_levels() {
        let mut machine = example();
        // A byte read takes 2.5 ps in L1, 5 in L2, 10 in L3, and 30 in memory.
        let at =
            |machine: &Machine, bytes: f64| machine.least_seconds(work(0, bytes as u64, 0), Precision::F32) / bytes;
        let picoseconds = |machine: &Machine, bytes: f64| (at(machine, bytes) * 1e14).round() / 100.0;
        let (kib, mib) = (1024.0, 1024.0 * 1024.0);
        assert_eq!(picoseconds(&machine, 40.0 * kib), 2.5);
        assert_eq!(picoseconds(&machine, 1.25 * mib), 5.0);
        assert_eq!(picoseconds(&machine, 11.0 * mib), 10.0);
        assert_eq!(picoseconds(&machine, 24.0 * mib), 10.0);
        assert_eq!(picoseconds(&machine, 300.0 * mib), 30.0);
        let half = 1.0 / ((1.0 / 24.0 + 1.0 / 256.0) / 2.0); // half way over 1/F
        assert_eq!(picoseconds(&machine, half * mib), 20.0, "an older report has no edge");
        let edge = Bandwidth { level: Level::Edge, access: Access::Read, threads: 2, gigabytes: 50.0, median: 40.0 };
        machine.bandwidth.push(edge);
        assert_eq!(picoseconds(&machine, 48.0 * mib), 20.0);
        let sizes: Vec<f64> = (10..400).map(|i| at(&machine, f64::from(i) * mib)).collect();
        assert!(sizes.windows(2).all(|s| s[1] > s[0] * (1.0 - 1e-9)), "more data is never faster");
    }

    #[test]
    fn a_level_that_was_not_measured_does_not_stop_the_clock() {
        let mut machine = example();
        machine.bandwidth.retain(|b| b.level != Level::L3);
        let least = machine.least_seconds(work(0, 20 << 20, 0), Precision::F32);
        assert!(least.is_finite() && least > 0.0);
        machine.bandwidth.clear();
        assert_eq!(machine.least_seconds(work(200_000_000_000, 1, 1), Precision::F32), 1.0);
    }
}
