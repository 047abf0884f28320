//! The measurement itself: every rung of every workload, checked and timed, with PyTorch in between.

use super::{
    data::{FORMAT, Figure, Measured, Report, Scaling, Settings, Skipped},
    programs,
    torch::Torch,
};
use crate::{
    Result,
    budget::{Budget, Pace},
    cases::{self, Case, Entry},
    machine::Machine,
    timing::{Effort, Flush, Timing, measure, measure_after},
    workload::{Precision, Unit, Workload},
};
use gradus_kernels::Isa;
use std::time::Instant;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The workloads.
    pub workloads: Vec<Workload>,
    /// The threads of the pool.
    pub threads: usize,
    /// How it is recorded.
    pub settings: Settings,
}

/// Does `work` in a pool of so many threads.
///
/// # Errors
/// Where the threads cannot be started.
pub fn on_threads<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> Result<R> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    Ok(pool.map_err(|error| format!("{threads} threads: {error}"))?.install(work))
}

/// Measures. `progress` gets a line before each part of the work: what, and how much of it is done, from 0 to 1.
///
/// # Errors
/// One line where a rung computes something wrong, or PyTorch fails.
pub fn run(plan: &Plan, mut torch: Option<Torch>, mut progress: impl FnMut(&str, f64)) -> Result<Report> {
    let begun = Instant::now();
    let quick = plan.settings.quick;
    let machine = Machine::measure(plan.threads, if quick { 4.0 } else { 15.0 }, |what| progress(what, 0.0));
    let mut ladders = Ladders {
        threads: plan.threads,
        effort: plan.settings.effort,
        flush_bytes: machine.host.caches.l3,
        pace: Pace::new(if quick { Budget::SHORT } else { Budget::WHOLE }),
    };
    let (mut all, mut scaling) = (Vec::new(), Vec::new());
    let total: f64 = plan.workloads.iter().map(share).sum();
    let mut done = 0.0;
    for workload in &plan.workloads {
        progress(&workload.id(), done / total);
        done += share(workload);
        let measured = match workload.problem.tokens() {
            Some(_) => programs::measure(workload, plan, torch.as_ref()),
            None => ladders.measure(workload, torch.as_mut(), effort(workload, plan)),
        };
        let measured = measured.map_err(|problem| format!("{}: {problem}", workload.id()))?;
        if workload.headline && plan.threads > 1 {
            scaling.extend(scale(workload, &measured, plan)?);
        }
        all.push(measured);
    }
    progress("", 1.0);
    let seconds = begun.elapsed().as_secs_f64();
    let settings = plan.settings.clone();
    let mut report = Report { format: FORMAT, settings, machine, ladders: all, scaling, seconds };
    report.derive();
    Ok(report)
}

/// The ladders of bf16 are measured in less time: they have those of `f32` beside them.
fn effort(workload: &Workload, plan: &Plan) -> Effort {
    let effort = plan.settings.effort;
    if workload.problem.precision() == Precision::Bf16 { effort.less() } else { effort }
}

/// What share of the time a workload takes, measured in kernels of the usual size.
fn share(workload: &Workload) -> f64 {
    match workload.problem.tokens() {
        Some(_) => 4.0 + workload.problem.work().flops as f64 / 1e11,
        None => 1.0 + workload.problem.work().flops as f64 / 1e10,
    }
}

/// How ladders are measured, and how fast their rungs were so far.
struct Ladders {
    threads: usize,
    effort: Effort,
    flush_bytes: usize,
    pace: Pace,
}

impl Ladders {
    fn measure(&mut self, workload: &Workload, torch: Option<&mut Torch>, effort: Effort) -> Result<Measured> {
        self.effort = effort;
        let mut measured = on_threads(self.threads, || self.ladder(workload))??;
        if let Some(torch) = torch {
            match torch.measure(&workload.problem, effort, 0.0) {
                Ok(run) => measured.pytorch = run.map(|run| run.timing),
                Err(problem) => {
                    // One case that it cannot do should not cost all the others.
                    measured.skipped.push(Skipped { rung: "PyTorch".into(), reason: problem });
                    *torch = torch.again()?;
                }
            }
        }
        Ok(measured)
    }

    fn ladder(&mut self, workload: &Workload) -> Result<Measured> {
        let mut measured = Measured::new(workload);
        let mut case = cases::case(&workload.problem);
        let active = Isa::active();
        let entries = case.rungs();
        let top = entries.iter().rposition(|entry| !entry.peer);
        for (rung, entry) in entries.iter().enumerate() {
            if let Some(reason) = self.pace.reason_to_skip(entry, workload) {
                measured.skipped.push(Skipped { rung: entry.name.into(), reason });
                continue;
            }
            let mut figure = self.figure(&mut *case, rung, entry, active)?;
            self.pace.record(entry, workload, figure.warm.median_s);
            let is_top = Some(rung) == top;
            if is_top && measured.work.unit() == Unit::Bytes {
                figure.cold = Some(self.cold(&mut *case, rung, active));
            }
            measured.figures.push(figure);
            if is_top && entry.simd && workload.headline && entries.len() > 1 {
                for isa in Isa::available().filter(|&isa| isa < active) {
                    measured.figures.push(self.figure(&mut *case, rung, entry, isa)?);
                }
            }
        }
        Ok(measured)
    }

    /// Checks a rung, then times it.
    fn figure(&self, case: &mut dyn Case, rung: usize, entry: &Entry, isa: Isa) -> Result<Figure> {
        case.check(rung, isa)?;
        Ok(Figure::new(entry, isa, self.threads, measure(self.effort, || case.run(rung, isa))))
    }

    fn cold(&self, case: &mut dyn Case, rung: usize, isa: Isa) -> Timing {
        let mut flush = Flush::new(self.flush_bytes);
        measure_after(self.effort, || flush.run(), || case.run(rung, isa))
    }
}

/// The top rung on 1, 2, 4 … threads, below the number of the run, and on that.
fn scale(workload: &Workload, measured: &Measured, plan: &Plan) -> Result<Option<Scaling>> {
    let Some(top) = measured.figures.iter().rfind(|figure| !figure.peer) else { return Ok(None) };
    let Some(full) = measured.figures.iter().find(|figure| figure.rung == top.rung) else { return Ok(None) };
    let mut points = Vec::new();
    let mut threads = 1;
    while threads < plan.threads {
        let timing = on_threads(threads, || {
            let mut case = cases::case(&workload.problem);
            let rung = case.rungs().iter().position(|entry| entry.name == top.rung).unwrap_or(0);
            case.run(rung, Isa::active());
            measure(plan.settings.effort, || case.run(rung, Isa::active()))
        })?;
        points.push((threads, timing));
        threads *= 2;
    }
    points.push((plan.threads, full.warm));
    Ok(Some(Scaling { id: workload.id(), rung: top.rung.clone(), points }))
}
