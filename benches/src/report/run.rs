//! The measurement itself: every rung of every workload, checked and timed, with PyTorch in between.

use super::{
    data::{FORMAT, Figure, Measured, Report, Scaling, Settings, Skipped},
    torch::Torch,
};
use crate::{
    Result,
    cases::{self, Case, Entry},
    machine::Machine,
    timing::{Effort, Flush, Timing, measure, measure_after},
    workload::{Unit, Workload},
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

/// The budget of rungs without vectors, in FLOPs: a run of the naive product takes two to six seconds for as many.
pub const SCALAR_FLOPS: u64 = 2_100_000_000;

/// The same under `--quick`, and for the ten samples of criterion.
pub const QUICK_SCALAR_FLOPS: u64 = 450_000_000;

/// Why a rung is left out on a workload, if it is.
pub fn reason_to_skip(entry: &Entry, workload: &Workload, scalar_flops: u64) -> Option<String> {
    let flops = workload.problem.work().flops;
    let giga = |flops: u64| flops as f64 / 1e9;
    (!entry.simd && !entry.peer && flops > scalar_flops)
        .then(|| format!("{:.2} GFLOP, over the {:.2} of a rung without vectors", giga(flops), giga(scalar_flops)))
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
    let flush_bytes = machine.host.caches.l3;
    let (mut ladders, mut scaling) = (Vec::new(), Vec::new());
    for (i, workload) in plan.workloads.iter().enumerate() {
        progress(&workload.id(), i as f64 / plan.workloads.len() as f64);
        let settings = &plan.settings;
        let measured = on_threads(plan.threads, || ladder(workload, settings, plan.threads, flush_bytes))?;
        let mut measured = measured.map_err(|problem| format!("{}: {problem}", workload.id()))?;
        if let Some(torch) = &mut torch {
            let answer = torch.measure(&workload.problem, settings.effort.seconds);
            measured.pytorch = answer.map_err(|problem| format!("{}: PyTorch: {problem}", workload.id()))?;
        }
        if workload.headline && plan.threads > 1 {
            scaling.extend(scale(workload, &measured, plan)?);
        }
        ladders.push(measured);
    }
    progress("", 1.0);
    let seconds = begun.elapsed().as_secs_f64();
    Ok(Report { format: FORMAT, settings: plan.settings.clone(), machine, ladders, scaling, seconds })
}

fn ladder(workload: &Workload, settings: &Settings, threads: usize, flush_bytes: usize) -> Result<Measured> {
    let mut measured = Measured::new(workload);
    let mut case = cases::case(&workload.problem);
    let active = Isa::active();
    let entries = case.rungs();
    let top = entries.iter().rposition(|entry| !entry.peer);
    for (rung, entry) in entries.iter().enumerate() {
        if let Some(reason) = reason_to_skip(entry, workload, settings.scalar_flops) {
            measured.skipped.push(Skipped { rung: entry.name.into(), reason });
            continue;
        }
        let mut figure = figure(&mut *case, rung, entry, active, threads, settings.effort)?;
        let is_top = Some(rung) == top;
        if is_top && measured.work.unit() == Unit::Bytes {
            figure.cold = Some(cold(&mut *case, rung, active, settings.effort, flush_bytes));
        }
        measured.figures.push(figure);
        if is_top && entry.simd && workload.headline && entries.len() > 1 {
            for isa in Isa::available().filter(|&isa| isa < active) {
                measured.figures.push(self::figure(&mut *case, rung, entry, isa, threads, settings.effort)?);
            }
        }
    }
    Ok(measured)
}

/// Checks a rung, then times it.
fn figure(case: &mut dyn Case, rung: usize, entry: &Entry, isa: Isa, threads: usize, effort: Effort) -> Result<Figure> {
    case.check(rung, isa)?;
    Ok(Figure {
        rung: entry.name.into(),
        idea: entry.idea.into(),
        isa: entry.simd.then(|| isa.to_string()),
        threads,
        peer: entry.peer,
        warm: measure(effort, || case.run(rung, isa)),
        cold: None,
    })
}

fn cold(case: &mut dyn Case, rung: usize, isa: Isa, effort: Effort, flush_bytes: usize) -> Timing {
    let mut flush = Flush::new(flush_bytes);
    measure_after(effort, || flush.run(), || case.run(rung, isa))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload;

    #[test]
    fn slow_rungs_are_left_out_by_their_flops_with_the_reason() {
        let all = workload::all();
        let large = all.iter().find(|w| w.id() == "matmul/gpt_large/mlp_up/forward").unwrap();
        let entry = |simd, peer| Entry { name: "x", idea: "", simd, peer };
        let reason = reason_to_skip(&entry(false, false), large, SCALAR_FLOPS).unwrap();
        assert_eq!(reason, "19.33 GFLOP, over the 2.10 of a rung without vectors");
        assert_eq!(reason_to_skip(&entry(true, false), large, SCALAR_FLOPS), None);
        assert_eq!(reason_to_skip(&entry(false, true), large, SCALAR_FLOPS), None);
        let small = all.iter().find(|w| w.id() == "matmul/gpt_small/proj/forward").unwrap();
        assert_eq!(reason_to_skip(&entry(false, false), small, QUICK_SCALAR_FLOPS), None);
    }
}
