//! The peaks of the machine (the ceilings of a roofline) are measured repeatedly during a run, and the best value counts.
//!
//! On a machine that others share the bandwidth changes by the second, up to twofold: other virtual machines
//! come and go, and two virtual cores have more bandwidth on two chiplets than on one. A peak that is measured once, at the
//! start, is then below the kernels that ran at a better moment. So all probes run again after every workload that memory
//! may bound. Of a sweep the fastest tenth of the rounds counts, of
//! all sweeps the fastest; the median over all rounds is kept beside it.
//!
//! That is the best that the machine can do. What it could do while a workload ran is measured in turn with that workload
//! ([`Gauge::beside`]).

use super::{Access, Arithmetic, Bandwidth, Host, Level, Machine, limit, plural, probes, rounds::rates};
use crate::workload::{Precision, Work};
use gradus_kernels::{Bf16Isa, Isa, simd::tiles};
use std::time::Duration;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    Fma(Isa),
    Dot(Bf16Isa),
    Memory(Level, Access),
}

/// A probe on so many threads, and the rates of its rounds in each sweep, the fastest first.
#[derive(Clone, Debug)]
struct Series {
    probe: Probe,
    threads: usize,
    sweeps: Vec<Vec<f64>>,
}

impl Series {
    /// The fastest tenth of the rounds of a sweep; the fastest of all sweeps.
    fn best(&self) -> f64 {
        self.sweeps.iter().map(|rounds| fastest_tenth(rounds)).fold(0.0, f64::max)
    }

    /// The median of all rounds.
    fn median(&self) -> f64 {
        let mut all: Vec<f64> = self.sweeps.iter().flatten().copied().collect();
        all.sort_unstable_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(0.0)
    }
}

/// What stands at the end of the fastest tenth; 0 where there is nothing.
fn fastest_tenth(rates: &[f64]) -> f64 {
    rates.get(rates.len().saturating_sub(1) / 10).copied().unwrap_or(0.0)
}

/// Measures the machine, as often as it is asked to.
#[derive(Debug)]
pub struct Gauge {
    host: Host,
    threads: usize,
    series: Vec<Series>,
    sweeps: usize,
    /// A stretch of memory for each thread.
    buffers: Vec<Vec<f32>>,
    /// The bytes of all of them together.
    most: usize,
}

/// Arrays begin at different offsets in their pages, so that they do not compete for the same cache sets.
const APART: usize = 208;
/// A cache line in elements: streaming stores have to begin at one.
const LINE: usize = 16;
/// What a probe goes through at least in a call, so that it takes a good part of a millisecond.
const LEAST_BYTES: usize = 1 << 26;

impl Gauge {
    /// Nothing is measured yet, for a run on so many threads.
    pub fn new(threads: usize) -> Gauge {
        let host = Host::read();
        let levels = limit::buffers(host.caches, threads);
        let most = levels.iter().map(|&(_, bytes)| bytes).max().unwrap_or(0);
        let counts = if threads > 1 { vec![1, threads] } else { vec![1] };
        let mut series = Vec::new();
        for threads in counts {
            let memory = |level| Access::ALL.into_iter().filter(move |a| a.is_of(level)).map(move |a| (level, a));
            let memory = levels.iter().flat_map(|&(level, _)| memory(level)).map(|(l, a)| Probe::Memory(l, a));
            let probes = Isa::available().map(Probe::Fma).chain(dot_levels().map(Probe::Dot)).chain(memory);
            series.extend(probes.map(|probe| Series { probe, threads, sweeps: Vec::new() }));
        }
        let buffers = (0..threads).map(|_| vec![1.0; most / threads / 4 + 4 * APART + LINE]).collect();
        Gauge { host, threads, series, sweeps: 0, buffers, most }
    }

    /// What the machine says of itself.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Measures everything, for about `seconds`; `progress` gets the name of each probe before it.
    pub fn sweep_all(&mut self, seconds: f64, progress: impl FnMut(&str)) {
        self.sweep_where(seconds, |_| true, progress);
    }

    /// Measures again what the figures are held against: all threads, and the best instruction set.
    pub fn sweep(&mut self, seconds: f64) {
        let (threads, best) = (self.threads, Probe::Fma(Isa::best()));
        let is_needed = |s: &Series| s.threads == threads && (!matches!(s.probe, Probe::Fma(_)) || s.probe == best);
        self.sweep_where(seconds, is_needed, |_| ());
    }

    fn sweep_where(&mut self, seconds: f64, wanted: impl Fn(&Series) -> bool, mut progress: impl FnMut(&str)) {
        let caches = self.host.caches;
        let levels = limit::buffers(caches, self.threads);
        let count = self.series.iter().filter(|series| wanted(series)).count();
        let slice = Duration::from_secs_f64(seconds / count.max(1) as f64);
        for series in self.series.iter_mut().filter(|series| wanted(series)) {
            let on = plural(series.threads);
            let buffers = &mut self.buffers[..series.threads];
            let rates = match series.probe {
                Probe::Fma(isa) => {
                    progress(&format!("multiply-adds, {isa}, on {on}"));
                    fma(isa, buffers, slice)
                }
                Probe::Dot(isa) => {
                    progress(&format!("dot products of bf16, {isa}, on {on}"));
                    dots(isa, buffers, slice)
                }
                Probe::Memory(level, access) => {
                    progress(&format!("{} {}, on {on}", level.name(), access.name()));
                    let bytes = levels.iter().find(|&&(l, _)| l == level).map_or(0, |&(_, bytes)| bytes);
                    memory(access, bytes / self.threads, buffers, slice)
                }
            };
            series.sweeps.push(rates);
        }
        self.sweeps += 1;
    }

    /// The least time, in seconds, that the traffic of a piece of work would take now, by probes that go through as much
    /// memory as it does. They are measured for about `seconds`, three rounds of each at least.
    pub fn beside(&mut self, work: Work, seconds: f64) -> f64 {
        let (caches, threads) = (self.host.caches, self.threads);
        let bytes = (work.footprint() as usize).min(self.most);
        let level = limit::level_of(bytes, caches, threads);
        let accesses: Vec<Access> =
            Access::ALL.into_iter().filter(|access| access.is_of(level) && access.is_for(work)).collect();
        let slice = Duration::from_secs_f64(seconds / accesses.len() as f64);
        let mut rate =
            |access| (access, 1e9 * fastest_tenth(&memory(access, bytes / threads, &mut self.buffers, slice)));
        let rates: Vec<(Access, f64)> = accesses.into_iter().map(&mut rate).collect();
        limit::least_traffic(work, rates.into_iter()).unwrap_or(0.0)
    }

    /// The machine by all sweeps.
    pub fn machine(&self) -> Machine {
        let (mut arithmetic, mut bandwidth) = (Vec::new(), Vec::new());
        for series in &self.series {
            let (threads, best, median) = (series.threads, series.best(), series.median());
            let mut peak = |isa: String, precision| {
                arithmetic.push(Arithmetic { isa, precision, threads, gflops: best, median });
            };
            match series.probe {
                Probe::Fma(isa) => peak(isa.to_string(), Precision::F32),
                Probe::Dot(isa) => peak(isa.to_string(), Precision::Bf16),
                Probe::Memory(level, access) => {
                    bandwidth.push(Bandwidth { level, access, threads, gigabytes: best, median });
                }
            }
        }
        let (host, isa) = (self.host.clone(), Isa::active().to_string());
        Machine { host, isa, threads: self.threads, arithmetic, bandwidth, sweeps: self.sweeps, card: None }
    }
}

/// Independent chains of multiply-adds.
fn fma(isa: Isa, threads: &mut [Vec<f32>], time: Duration) -> Vec<f64> {
    const LINKS: usize = 200_000;
    rates(threads, time, 2 * probes::CHAINS * probes::lanes(isa) * LINKS, |_| {
        std::hint::black_box(probes::chains(isa, LINKS, 0.999_999, 1e-6));
    })
}

/// The levels that have instructions for bf16, or the best one where none has.
fn dot_levels() -> impl Iterator<Item = Bf16Isa> {
    let least = Bf16Isa::Avx512Bf16.min(Bf16Isa::best());
    Bf16Isa::available().filter(move |&isa| isa >= least)
}

/// The same of independent chains of dot products of pairs, or of tiles of them.
fn dots(isa: Bf16Isa, threads: &mut [Vec<f32>], time: Duration) -> Vec<f64> {
    const LINKS: usize = 200_000;
    if isa == Bf16Isa::Amx {
        return rates(threads, time, probes::TILE_FLOPS * LINKS / 10, |_| {
            std::hint::black_box(tiles::chains(LINKS / 10, 0.5, 0.25));
        });
    }
    rates(threads, time, 4 * probes::CHAINS * probes::lanes(isa.isa()) * LINKS, |_| {
        std::hint::black_box(probes::bf16_chains(isa, LINKS, 0.5, 0.25));
    })
}

/// Memory, where all arrays of a thread have `bytes` bytes.
fn memory(access: Access, bytes: usize, threads: &mut [Vec<f32>], time: Duration) -> Vec<f64> {
    let isa = Isa::best();
    let (reads, writes) = access.reads_and_writes();
    // Not a power of two, so that the quarters of an array do not meet in the same sets of a cache either.
    let n = (bytes / access.arrays() / 4 / 1024 * 1024).saturating_sub(1024 - 128).max(128);
    let passes = (LEAST_BYTES / bytes.max(1)).max(1);
    rates(threads, time, passes * n * 4 * (reads + writes), |buffer| {
        let start = buffer.as_ptr().align_offset(LINE * 4).min(LINE);
        let [x, y, z] = arrays(&mut buffer[start..], n, access.arrays());
        for _ in 0..passes {
            match access {
                Access::Read => {
                    std::hint::black_box(probes::read(isa, x));
                }
                Access::Copy => probes::copy(isa, false, x, y),
                Access::StreamedCopy => probes::copy(isa, true, x, y),
                Access::Memcpy => y.copy_from_slice(x),
                Access::Memset | Access::Write => x.fill(0.0),
                Access::Triad => probes::triad(isa, false, 0.5, x, y, z),
                Access::StreamedTriad => probes::triad(isa, true, 0.5, x, y, z),
                Access::Update => probes::update(isa, 1e-6, x, y),
                Access::Scale => probes::scale(isa, std::hint::black_box(1.0), x), // by a constant 1 it would do nothing
            }
            std::hint::black_box((&mut *x, &mut *y, &mut *z));
        }
    })
}

/// So many arrays of `n` elements, and empty ones after them.
fn arrays(mut memory: &mut [f32], n: usize, count: usize) -> [&mut [f32]; 3] {
    [0, 1, 2].map(|i| {
        let (array, rest) = std::mem::take(&mut memory).split_at_mut(if i < count { n } else { 0 });
        memory = if i + 1 < count { &mut rest[APART..] } else { rest };
        array
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(sweeps: &[&[f64]]) -> Series {
        let sweeps = sweeps.iter().map(|rounds| rounds.to_vec()).collect();
        Series { probe: Probe::Memory(Level::Dram, Access::Read), threads: 2, sweeps }
    }

    #[test]
    fn a_ceiling_is_the_best_sweep_and_its_fastest_tenth() {
        let twenty: Vec<f64> = (0..20).map(|i| 100.0 - f64::from(i)).collect();
        assert_eq!(series(&[&twenty]).best(), 99.0, "one round of twenty does not make a ceiling");
        let series = series(&[&[9.0, 1.0], &[30.0, 20.0, 10.0], &[8.0, 8.0], &[7.0]]);
        assert_eq!((series.best(), series.median()), (30.0, 9.0));
    }

    #[test]
    fn arrays_are_apart_and_the_rest_is_empty() {
        let mut memory = vec![0.0; 3 * 64 + 2 * APART];
        for count in 1..4 {
            let arrays = arrays(&mut memory, 64, count);
            let lengths = arrays.each_ref().map(|array| array.len());
            assert_eq!(lengths, [0, 1, 2].map(|i| if i < count { 64 } else { 0 }));
        }
        let [x, y, z] = arrays(&mut memory, 64, 3);
        x.fill(1.0);
        y.fill(2.0);
        z.fill(3.0);
        let sum: f32 = memory.iter().sum();
        assert_eq!(sum, 64.0 * 6.0);
    }

    #[test]
    fn a_short_measurement_finds_rates_of_this_planet_and_later_ones_only_raise_it() {
        let mut gauge = Gauge::new(2);
        gauge.sweep_all(0.2, |_| ());
        let first = gauge.machine();
        assert_eq!(first.arithmetic.len(), 2 * (Isa::available().count() + dot_levels().count()));
        assert!(first.arithmetic.iter().all(|a| (0.1..1e5).contains(&a.gflops)), "{:?}", first.arithmetic);
        assert!(first.bandwidth.iter().all(|b| (0.01..1e5).contains(&b.gigabytes)), "{:?}", first.bandwidth);
        assert!(first.bandwidth.iter().all(|b| b.median <= b.gigabytes), "{:?}", first.bandwidth);
        gauge.sweep(0.1);
        let second = gauge.machine();
        assert_eq!((first.sweeps, second.sweeps), (1, 2));
        let pairs = first.bandwidth.iter().zip(&second.bandwidth);
        assert!(pairs.clone().all(|(a, b)| a.gigabytes <= b.gigabytes && (a.level, a.access) == (b.level, b.access)));
    }

    #[test]
    fn what_is_measured_beside_goes_with_the_work() {
        let mut gauge = Gauge::new(2);
        let work = |read, written| Work { flops: 0, read, written, updated: 0 };
        let times = [(1 << 16, 0), (1 << 24, 1 << 24), (1 << 40, 0)]
            .map(|(read, written)| gauge.beside(work(read, written), 0.0));
        let bytes = [1 << 16, 1 << 25, 1_u64 << 40];
        let rates: Vec<f64> = times.iter().zip(bytes).map(|(seconds, bytes)| bytes as f64 / seconds / 1e9).collect();
        assert!(rates.iter().all(|rate| (0.01..1e5).contains(rate)), "of this planet: {rates:?} GB/s");
    }
}
