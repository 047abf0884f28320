//! Every ladder of the CUDA kernels under criterion, on the first card: a group for each operation × workload × direction, a benchmark
//! for each rung.
//!
//! `cargo bench -p gradus-benches --bench cuda -- cuda/matmul`. The data lies on the card, and times are those of the card's own clock around
//! many launches one after the other. `cold` is the top rung with its data gone from the L2 cache. Without a card it says so in one
//! line, and on the emulator it measures nothing.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gradus_benches::{
    cases::cuda::{self, CudaCase},
    machine::card::Flush,
    workload::{self, Unit, Workload},
};
use gradus_kernels::cuda::Gpu;
use std::{
    cell::{OnceCell, RefCell},
    collections::HashSet,
    time::Duration,
};

/// A workload whose memory is made when the first of its benchmarks is run.
struct Lazy<'a> {
    gpu: &'a Gpu,
    workload: &'a Workload,
    case: OnceCell<RefCell<Box<dyn CudaCase>>>,
    checked: RefCell<HashSet<usize>>,
}

impl Lazy<'_> {
    /// Hands a rung to `work`, after it was checked once.
    fn with(&self, rung: usize, work: impl FnOnce(&mut dyn CudaCase) -> Duration) -> Duration {
        let fail = |problem| panic!("cuda/{}: {problem}", self.workload.id());
        let make = || RefCell::new(cuda::case(self.gpu, &self.workload.problem).unwrap_or_else(fail));
        let case = &mut **self.case.get_or_init(make).borrow_mut();
        if self.checked.borrow_mut().insert(rung) {
            case.check(rung).unwrap_or_else(|problem| panic!("cuda/{}: {problem}", self.workload.id()));
        }
        work(case)
    }
}

fn ladders(criterion: &mut Criterion) {
    let gpu = match cuda::open(0) {
        Ok(gpu) => gpu,
        Err(problem) => return println!("cuda: {problem}"),
    };
    println!("{gpu}: {}", gpu.properties().name);
    let mut flush = Flush::new(&gpu).unwrap_or_else(|problem| panic!("{problem}"));
    for workload in workload::all() {
        if cuda::has(&workload.problem) {
            group(criterion, &gpu, &workload, &mut flush).unwrap_or_else(|problem| panic!("{problem}"));
        }
    }
}

fn group(criterion: &mut Criterion, gpu: &Gpu, workload: &Workload, flush: &mut Flush) -> gradus_benches::Result<()> {
    let (work, entries) = (workload.problem.work(), cuda::rungs(gpu, &workload.problem)?);
    let mut group = criterion.benchmark_group(format!("cuda/{}", workload.id()));
    group.sample_size(10).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(600));
    group.throughput(match work.unit() {
        Unit::Flops => Throughput::Elements(work.flops),
        Unit::Bytes => Throughput::Bytes(work.bytes()),
    });
    let lazy = Lazy { gpu, workload, case: OnceCell::new(), checked: RefCell::default() };
    let mut skipped = Vec::new();
    let top = entries.iter().rposition(|(entry, missing)| missing.is_none() && !entry.peer);
    for (rung, (entry, missing)) in entries.iter().enumerate() {
        if let Some(reason) = missing {
            skipped.push(format!("cuda/{}/{}: skipped, {reason}", workload.id(), entry.name));
            continue;
        }
        let seconds = |seconds: gradus_benches::Result<f64>| seconds.unwrap_or_else(|problem| panic!("{problem}"));
        group.bench_function(BenchmarkId::from_parameter(entry.name), |bencher| {
            bencher.iter_custom(|times| {
                lazy.with(rung, |case| Duration::from_secs_f64(seconds(case.time(rung, times)) * times as f64))
            });
        });
        if Some(rung) == top && workload.has_cold_time() {
            group.bench_function(BenchmarkId::new(entry.name, "cold"), |bencher| {
                bencher.iter_custom(|times| {
                    lazy.with(rung, |case| {
                        Duration::from_secs_f64((0..times).map(|_| seconds(flush.cold(case, rung))).sum())
                    })
                });
            });
        }
    }
    group.finish();
    if lazy.case.get().is_some() {
        skipped.iter().for_each(|line| println!("{line}")); // what the filter left out is not spoken of
    }
    Ok(())
}

criterion_group!(benches, ladders);
criterion_main!(benches);
