//! The peaks of a CUDA card, measured by probes on it: multiply-adds in `f32`, tensor cores on bf16, and the bandwidth of its L2 cache
//! and of its memory. Times are those of the card's own clock.

use super::{Access, Arithmetic, Bandwidth, Caches, Card, Host, Level, Machine};
use crate::{
    Result,
    cases::cuda::{CudaCase, line},
    timing::median,
    workload::Precision,
};
use gradus_kernels::cuda::{Buffer, Capability, Gpu, probe};
use std::time::Instant;

/// How much a probe does in a launch; tests on the emulator do less.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// The links of a chain.
    pub links: u32,
    /// The most bytes that are gone through.
    pub bytes: usize,
    /// The seconds of a batch of launches at least.
    pub batch: f64,
}

impl Extent {
    /// That of a card: a launch takes milliseconds, and memory is far larger than caches.
    pub const CARD: Extent = Extent { links: 20_000, bytes: 1 << 30, batch: 2e-3 };
}

/// The rates of a probe in 10⁹ a second, batch by batch: (best, median). The best is the fastest tenth.
fn rates(
    gpu: &Gpu,
    seconds: f64,
    units: f64,
    batch: f64,
    mut launch: impl FnMut() -> Result<()>,
) -> Result<(f64, f64)> {
    let mut timed = |count: usize| {
        let first = gpu.event().map_err(line)?;
        (0..count).try_for_each(|_| launch())?;
        let last = gpu.event().map_err(line)?;
        Ok::<f64, String>((last.seconds_since(&first).map_err(line)? / count as f64).max(1e-9))
    };
    timed(1)?;
    let count = (batch / timed(1)?).ceil().clamp(1.0, 1000.0) as usize;
    let (begun, mut times) = (Instant::now(), Vec::new());
    while times.len() < 3 || (begun.elapsed().as_secs_f64() < seconds && times.len() < 500) {
        times.push(timed(count)?);
    }
    let middle = median(&mut times); // sorts them
    let rate = |seconds: f64| units / seconds / 1e9;
    Ok((rate(times[(times.len() - 1) / 10]), rate(middle)))
}

/// Measures a card for about `seconds`, by eight probes.
///
/// # Errors
/// One line where the card has too little memory or fails.
pub fn measure(gpu: &Gpu, seconds: f64, extent: Extent) -> Result<Machine> {
    let each = seconds / 10.0;
    let properties = gpu.properties();
    let mut arithmetic = vec![multiply_adds(gpu, each, extent)?];
    if properties.capability >= Capability::SM_80 {
        arithmetic.push(tensor_cores(gpu, each, extent)?);
    }
    let mut bandwidth = Vec::new();
    let memory = (properties.memory / 8).min(extent.bytes);
    for (level, bytes) in [(Level::L2, (properties.l2_cache / 2).min(extent.bytes)), (Level::Dram, memory)] {
        bandwidth.extend(through_memory(gpu, each, extent, level, bytes)?);
    }
    let isa = format!("compute capability {}", properties.capability);
    let host = Host { caches: Caches { l1: 0, l2: properties.l2_cache, l3: 0 }, ..Host::read() };
    let card = Card {
        name: properties.name.clone(),
        capability: properties.capability.to_string(),
        multiprocessors: properties.multiprocessors,
        memory: properties.memory,
    };
    Ok(Machine { host, isa, threads: 1, arithmetic, bandwidth, sweeps: 1, card: Some(card) })
}

fn peak(name: &str, precision: Precision, (gflops, median): (f64, f64)) -> Arithmetic {
    Arithmetic { isa: name.into(), precision, threads: 1, gflops, median }
}

fn multiply_adds(gpu: &Gpu, seconds: f64, Extent { links, batch, .. }: Extent) -> Result<Arithmetic> {
    let threads = probe::threads(gpu);
    let mut y = buffer(gpu, threads)?;
    let flops = (2 * probe::CHAINS * threads) as f64 * f64::from(links);
    let launch = || probe::fma(gpu, links, 0.999_999, 1e-6, y.slice_mut(0..threads)).map_err(line);
    Ok(peak("multiprocessors", Precision::F32, rates(gpu, seconds, flops, batch, launch)?))
}

fn tensor_cores(gpu: &Gpu, seconds: f64, Extent { links, batch, .. }: Extent) -> Result<Arithmetic> {
    let threads = probe::threads(gpu);
    let mut y = buffer(gpu, threads)?;
    let flops = (probe::MMA_FLOPS * threads / 32) as f64 * f64::from(links);
    let launch = || probe::mma(gpu, links, 0.5, 0.25, y.slice_mut(0..threads)).map_err(line);
    Ok(peak("tensor cores by mma.sync", Precision::Bf16, rates(gpu, seconds, flops, batch, launch)?))
}

/// Reading, writing and copying, where all arrays together have `bytes` bytes.
fn through_memory(gpu: &Gpu, seconds: f64, extent: Extent, level: Level, bytes: usize) -> Result<Vec<Bandwidth>> {
    let n = (bytes / 8 / 1024 * 1024).max(1024);
    let (mut x, mut y) = (buffer(gpu, 2 * n)?, buffer(gpu, n)?);
    let threads = probe::threads(gpu);
    let mut sums = buffer(gpu, threads)?;
    probe::write(gpu, 1.0, x.slice_mut(0..2 * n)).map_err(line)?;
    let moved = (8 * n) as f64;
    let mut found = Vec::new();
    let mut add = |access, launch: &mut dyn FnMut() -> gradus_kernels::cuda::Result<()>| {
        let (gigabytes, median) = rates(gpu, seconds, moved, extent.batch, || launch().map_err(line))?;
        found.push(Bandwidth { level, access, threads: 1, gigabytes, median });
        Ok::<(), String>(())
    };
    add(Access::Read, &mut || probe::read(gpu, x.slice(0..2 * n), sums.slice_mut(0..threads)))?;
    add(Access::Copy, &mut || probe::copy(gpu, x.slice(0..n), y.slice_mut(0..n)))?;
    add(Access::Memcpy, &mut || y.slice_mut::<f32>(0..n).copy_from(x.slice(0..n)))?;
    add(Access::Write, &mut || probe::write(gpu, 2.0, x.slice_mut(0..2 * n)))?;
    Ok(found)
}

fn buffer(gpu: &Gpu, elements: usize) -> Result<Buffer> {
    Buffer::new(gpu, elements * size_of::<f32>()).map_err(line)
}

/// Fills the L2 cache with other data.
#[derive(Debug)]
pub struct Flush {
    x: Buffer,
    y: Buffer,
    n: usize,
}

impl Flush {
    /// Of twice the L2 cache in each of two arrays.
    ///
    /// # Errors
    /// One line where there is no memory for them.
    pub fn new(gpu: &Gpu) -> Result<Flush> {
        let n = (2 * gpu.properties().l2_cache / 4).next_multiple_of(1024).max(1024);
        let mut x = buffer(gpu, n)?;
        probe::write(gpu, 1.0, x.slice_mut(0..n)).map_err(line)?;
        Ok(Flush { x, y: buffer(gpu, n)?, n })
    }

    /// The seconds of one run of a rung whose data is in no cache. The card has still to do the flushing while the run is started, so
    /// that starting it takes none of its time.
    ///
    /// # Errors
    /// One line where the card fails.
    pub fn cold(&mut self, case: &mut dyn CudaCase, rung: usize) -> Result<f64> {
        probe::copy(case.gpu(), self.x.slice(0..self.n), self.y.slice_mut(0..self.n)).map_err(line)?;
        case.time(rung, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::cuda::tests::gpu;

    /// No rate of the emulator is looked at; that probes do the work that is counted, the tests of the kernels show.
    #[test]
    fn every_probe_is_measured_and_gives_a_limit() {
        let Some(gpu) = gpu() else { return };
        let machine = measure(&gpu, 0.0, Extent { links: 4, bytes: 1 << 15, batch: 0.0 }).unwrap();
        let names: Vec<(Level, Access)> = machine.bandwidth.iter().map(|b| (b.level, b.access)).collect();
        let accesses = [Access::Read, Access::Copy, Access::Memcpy, Access::Write];
        assert_eq!(names, [Level::L2, Level::Dram].map(|level| accesses.map(|access| (level, access))).concat());
        assert!(machine.bandwidth.iter().all(|b| b.gigabytes >= b.median && b.median > 0.0));
        assert_eq!(machine.arithmetic.len(), 2);
        for problem in crate::workload::all() {
            let least = machine.least_seconds(problem.problem.work(), problem.problem.precision());
            assert!(least.is_finite() && least > 0.0, "{}", problem.id());
        }
    }

    #[test]
    fn a_cold_run_is_a_run_like_any_other() {
        let Some(gpu) = gpu() else { return };
        let problem = crate::workload::Problem::Add { n: 333 };
        let mut case = crate::cases::cuda::case(&gpu, &problem).unwrap();
        let seconds = Flush::new(&gpu).unwrap().cold(&mut *case, 0).unwrap();
        assert!(seconds > 0.0 && case.check(0).is_ok());
    }
}
