//! Every ladder under criterion: a group for each operation × workload × direction, a benchmark for each rung.
//!
//! `cargo bench -p gradus-benches -- matmul/gpt_small`; `GRADUS_ISA=avx2` forces an instruction set, and
//! `RAYON_NUM_THREADS=1` the number of threads. Nothing is made, checked or timed that the filter leaves out.
//! `cold` is the top rung with everything gone from the caches before each iteration.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gradus_benches::{
    cases::{self, Case},
    machine::Host,
    report::run::{QUICK_SCALAR_FLOPS, reason_to_skip},
    timing::{Flush, seconds},
    workload::{self, Unit, Workload},
};
use gradus_kernels::Isa;
use std::{
    cell::{OnceCell, RefCell},
    time::Duration,
};

/// A workload whose memory is made when the first of its benchmarks is run, and a rung that is checked before its first.
struct Lazy<'a> {
    workload: &'a Workload,
    case: OnceCell<RefCell<Box<dyn Case>>>,
    checked: RefCell<Vec<usize>>,
}

impl Lazy<'_> {
    fn with<R>(&self, rung: usize, isa: Isa, work: impl FnOnce(&mut dyn Case) -> R) -> R {
        let cell = self.case.get_or_init(|| RefCell::new(cases::case(&self.workload.problem)));
        let mut case = cell.borrow_mut();
        if !self.checked.borrow().contains(&rung) {
            case.check(rung, isa).unwrap_or_else(|problem| panic!("{}: {problem}", self.workload.id()));
            self.checked.borrow_mut().push(rung);
        }
        work(&mut **case)
    }
}

fn ladders(criterion: &mut Criterion) {
    let isa = Isa::from_environment().unwrap_or_else(|problem| panic!("{problem}"));
    let caches = Host::read().caches;
    println!("instruction set {isa}, {} threads", rayon::current_num_threads());
    for workload in workload::all() {
        let work = workload.problem.work();
        let mut group = criterion.benchmark_group(workload.id());
        group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
        group.throughput(match work.unit() {
            Unit::Flops => Throughput::Elements(work.flops),
            Unit::Bytes => Throughput::Bytes(work.bytes()),
        });
        let lazy = Lazy { workload: &workload, case: OnceCell::new(), checked: RefCell::default() };
        let entries = cases::rungs(&workload.problem);
        let top = entries.iter().rposition(|entry| !entry.peer);
        for (rung, entry) in entries.iter().enumerate() {
            if reason_to_skip(entry, &workload, QUICK_SCALAR_FLOPS).is_some() {
                continue;
            }
            let id = BenchmarkId::from_parameter(entry.name);
            let id = if entry.simd { BenchmarkId::new(entry.name, isa) } else { id };
            group.bench_function(id, |bencher| {
                lazy.with(rung, isa, |case| bencher.iter(|| case.run(rung, isa)));
            });
            if Some(rung) == top && work.unit() == Unit::Bytes {
                group.bench_function(BenchmarkId::new(entry.name, format!("{isa}/cold")), |bencher| {
                    let mut flush = Flush::new(caches.l3);
                    lazy.with(rung, isa, |case| {
                        bencher.iter_custom(|iterations| {
                            let cold = |_| {
                                flush.run();
                                seconds(|| case.run(rung, isa))
                            };
                            Duration::from_secs_f64((0..iterations).map(cold).sum())
                        });
                    });
                });
            }
        }
        group.finish();
        if lazy.case.get().is_none() {
            continue; // the filter left all of it out
        }
        for entry in &entries {
            if let Some(reason) = reason_to_skip(entry, &workload, QUICK_SCALAR_FLOPS) {
                println!("{}/{}: skipped, {reason}", workload.id(), entry.name);
            }
        }
    }
}

criterion_group!(benches, ladders);
criterion_main!(benches);
