//! The least time that a piece of work takes by the roofline model (Williams, Waterman and Patterson 2009).
//!
//! Arithmetic runs at the peak of multiply-adds. Traffic has three limits at every level, because reads and writes take
//! different paths: reads are no faster than the fastest probe reads, writes no faster than the fastest writes, and both
//! together no faster than the fastest probe that does both. The probes that write to where they have read count for work
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

/// The least time for the traffic of a piece of work, by what probes reached, in bytes in a second: one of them, or two in
/// turn, that read and write as much; none where no probe does both.
pub(super) fn least_traffic(work: Work, probes: impl Iterator<Item = (Access, f64)>) -> Option<f64> {
    let rates = probes.filter(|&(access, rate)| access.is_for(work) && rate > 0.0).map(|(access, rate)| {
        let (reads, writes) = access.reads_and_writes();
        let of = |part: usize| rate * part as f64 / (reads + writes) as f64;
        (of(reads), of(writes))
    });
    let rates: Vec<(f64, f64)> = rates.collect();
    let (read, written) = (work.read as f64, work.written as f64);
    let over = |bytes: f64, rate: f64| if bytes > 0.0 { bytes / rate } else { 0.0 }; // infinite for what it does not do
    let alone = rates.iter().map(|&(r, w)| over(read, r).max(over(written, w)));
    let in_turn = rates.iter().flat_map(|&a| rates.iter().map(move |&b| (a, b))).filter_map(|(a, b)| {
        // a.0·x + b.0·y = read, a.1·x + b.1·y = written
        let determinant = a.0 * b.1 - a.1 * b.0;
        let (x, y) = ((read * b.1 - written * b.0) / determinant, (written * a.0 - read * a.1) / determinant);
        (x >= 0.0 && y >= 0.0).then_some(x + y) // NaN is not
    });
    alone.chain(in_turn).min_by(f64::total_cmp).filter(|seconds| seconds.is_finite())
}

/// The level whose buffers are as large as this, or the next larger one.
pub(super) fn level_of(bytes: usize, caches: Caches, threads: usize) -> Level {
    let levels = buffers(caches, threads);
    levels.iter().find(|&&(_, size)| bytes <= size).map_or(Level::Dram, |&(level, _)| level)
}

impl Machine {
    /// Takes of each peak the better one of two measurements of the same machine.
    #[cfg(feature = "cuda")]
    pub(crate) fn best_of(&mut self, again: &Machine) {
        for (peak, other) in self.arithmetic.iter_mut().zip(&again.arithmetic) {
            peak.gflops = peak.gflops.max(other.gflops);
        }
        for (peak, other) in self.bandwidth.iter_mut().zip(&again.bandwidth) {
            peak.gigabytes = peak.gigabytes.max(other.gigabytes);
        }
        self.sweeps += again.sweeps;
    }

    /// The peak of arithmetic, in FLOPs in a second, on `threads` threads: of the best instruction set. What is of bf16
    /// may also be computed in `f32`.
    pub fn flops_per_second(&self, threads: usize, precision: Precision) -> f64 {
        let counts = |a: &&super::Arithmetic| a.precision == Precision::F32 || a.precision == precision;
        let peaks = || self.arithmetic.iter().filter(counts);
        let of = |n| peaks().filter(|a| a.threads == n).map(|a| a.gflops * 1e9).fold(0.0, f64::max);
        if of(threads) > 0.0 { of(threads) } else { of(1) * threads as f64 }
    }

    /// What a level gave, in bytes in a second, on `threads` threads or fewer.
    fn rates(&self, level: Level, threads: usize) -> impl Iterator<Item = (Access, f64)> {
        let counts = move |b: &&super::Bandwidth| b.level == level && (b.threads == threads || b.threads == 1);
        self.bandwidth.iter().filter(counts).map(|b| (b.access, b.gigabytes * 1e9))
    }

    /// The best bandwidth of a level, in bytes in a second, of any way through the memory.
    pub fn bytes_per_second(&self, level: Level, threads: usize) -> f64 {
        self.rates(level, threads).map(|(_, rate)| rate).fold(0.0, f64::max)
    }

    /// The least time for the traffic of a piece of work whose data all lies at one level; none where that was not
    /// measured.
    fn traffic_at(&self, level: Level, work: Work) -> Option<f64> {
        least_traffic(work, self.rates(level, self.threads))
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
    fn ways_through_the_memory_take_turns() {
        let least = |work, probes: &[(Access, f64)]| least_traffic(work, probes.iter().copied());
        let (read, copy, memset) = ((Access::Read, 10.0), (Access::Copy, 8.0), (Access::Memset, 20.0));
        assert_eq!(least(work(0, 30, 0), &[read, copy]), Some(3.0));
        assert_eq!(least(work(0, 12, 4), &[read, copy]), Some(1.8), "1 s of copying, 0.8 s of reading");
        assert_eq!(least(work(0, 0, 40), &[copy]), Some(10.0), "a copy writes 4 a second");
        assert_eq!(least(work(0, 0, 40), &[copy, memset]), Some(2.0));
        assert_eq!(least(work(0, 10, 40), &[read, memset]), Some(3.0));
        assert_eq!(
            least(work(0, 10, 40), &[read, copy, memset]),
            Some(3.0),
            "2.5 s of copying and 1.5 of writing are more"
        );
        assert_eq!(least(work(0, 1, 1), &[read]), None);
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
