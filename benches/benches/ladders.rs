//! Every ladder under criterion: a group for each operation × workload × direction, a benchmark for each rung.
//!
//! `cargo bench -p gradus-benches -- matmul/gpt_small`; `GRADUS_ISA=avx2` forces an instruction set, and
//! `RAYON_NUM_THREADS=1` the number of threads. Nothing is made, checked or timed that the filter leaves out.
//! `cold` is the top rung with everything gone from the caches before each iteration.

use criterion::{Bencher, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gradus_benches::{
    budget::{Budget, Pace},
    cases::{self, Case, Entry},
    machine::Host,
    timing::{Flush, seconds, spinning},
    workload::{self, Unit, Workload},
};
use gradus_kernels::Isa;
use std::{
    cell::{OnceCell, RefCell},
    collections::HashMap,
    time::Duration,
};

/// What takes longer is run once, and that time stands for all samples.
const SLOW_SECONDS: f64 = 0.5;
/// A program whose step has more FLOPs is left to the report.
const MOST_FLOPS: u64 = 100_000_000_000;

/// A workload whose memory is made when the first of its benchmarks is run.
struct Lazy<'a> {
    workload: &'a Workload,
    case: OnceCell<RefCell<Box<dyn Case>>>,
    /// The rungs that were checked, and the time of one run of each: criterion calls a benchmark for every sample.
    once: RefCell<HashMap<usize, f64>>,
}

impl Lazy<'_> {
    /// Hands a rung to `work`, with the time of one run and whether it is asked for first; then it is checked.
    fn with(&self, rung: usize, isa: Isa, work: impl FnOnce(&mut dyn Case, f64, bool)) {
        let cell = self.case.get_or_init(|| RefCell::new(cases::case(&self.workload.problem)));
        let case = &mut **cell.borrow_mut();
        let known = self.once.borrow().get(&rung).copied();
        let once = known.unwrap_or_else(|| {
            case.check(rung, isa).unwrap_or_else(|problem| panic!("{}: {problem}", self.workload.id()))
        });
        self.once.borrow_mut().insert(rung, once);
        work(case, once, known.is_none());
    }
}

fn warm(bencher: &mut Bencher<'_>, case: &mut dyn Case, rung: usize, isa: Isa, once: f64, first: bool) {
    if once > SLOW_SECONDS {
        bencher.iter_custom(|iterations| {
            // criterion plans its samples by the clock on the wall: one call has to last as long as it says.
            let once = if first { seconds(|| case.run(rung, isa)) } else { once };
            Duration::from_secs_f64(once * iterations as f64)
        });
    } else {
        bencher.iter(|| case.run(rung, isa));
    }
}

fn cold(bencher: &mut Bencher<'_>, case: &mut dyn Case, rung: usize, isa: Isa, flush: &mut Flush) {
    bencher.iter_custom(|iterations| {
        let cold = |_| {
            flush.run();
            seconds(|| case.run(rung, isa))
        };
        Duration::from_secs_f64((0..iterations).map(cold).sum())
    });
}

fn ladders(criterion: &mut Criterion) {
    let isa = Isa::from_environment().unwrap_or_else(|problem| panic!("{problem}"));
    // This thread is one of the pool's, so that the others can be kept spinning.
    rayon::ThreadPoolBuilder::new().use_current_thread().build_global().expect("the pool starts");
    println!("instruction set {isa}, {} threads", rayon::current_num_threads());
    let (mut flush, mut pace) = (Flush::new(Host::read().caches.l3), Pace::new(Budget::SHORT));
    for workload in workload::all() {
        let is_program = workload.problem.tokens().is_some();
        if !(is_program && workload.problem.work().flops > MOST_FLOPS) {
            group(criterion, &workload, isa, &mut flush, &mut pace);
        }
    }
}

fn group(criterion: &mut Criterion, workload: &Workload, isa: Isa, flush: &mut Flush, pace: &mut Pace) {
    let work = workload.problem.work();
    let mut group = criterion.benchmark_group(workload.id());
    group.sample_size(10).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(600));
    group.throughput(match work.unit() {
        Unit::Flops => Throughput::Elements(work.flops),
        Unit::Bytes => Throughput::Bytes(work.bytes()),
    });
    let lazy = Lazy { workload, case: OnceCell::new(), once: RefCell::default() };
    let entries = cases::rungs(&workload.problem);
    let top = entries.iter().rposition(|entry| !entry.peer);
    let with_isa = |entry: &Entry| match entry.simd {
        true => BenchmarkId::new(entry.name, isa),
        false => BenchmarkId::from_parameter(entry.name),
    };
    let mut skipped = Vec::new();
    for (rung, entry) in entries.iter().enumerate() {
        if let Some(reason) = pace.reason_to_skip(entry, workload) {
            skipped.push(format!("{}/{}: skipped, {reason}", workload.id(), entry.name));
            continue;
        }
        group.bench_function(with_isa(entry), |bencher| {
            lazy.with(rung, isa, |case, once, first| {
                pace.record(entry, workload, once);
                spinning(entry.peer, || warm(bencher, case, rung, isa, once, first));
            });
        });
        if Some(rung) == top && workload.has_cold_time() {
            group.bench_function(BenchmarkId::new(entry.name, format!("{isa}/cold")), |bencher| {
                lazy.with(rung, isa, |case, _, _| spinning(false, || cold(bencher, case, rung, isa, flush)));
            });
        }
    }
    group.finish();
    if lazy.case.get().is_some() {
        skipped.iter().for_each(|line| println!("{line}")); // what the filter left out is not spoken of
    }
}

criterion_group!(benches, ladders);
criterion_main!(benches);
