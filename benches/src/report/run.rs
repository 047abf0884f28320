//! The measurement itself: every rung of every workload is checked, then all of them and PyTorch take turns, a few rounds
//! of them, so that a slow second of the machine falls on all. Where memory may bound the work, its bandwidth has a turn
//! too, and every now and then the machine is measured again.

use super::{
    beside::Beside,
    data::{Figure, Measured, Report, Scaling, Skipped},
    plan::{Plan, on_threads, pool},
    programs,
    torch::Torch,
};
use crate::{
    Result,
    budget::{Budget, Pace},
    cases::{self, Case, Entry},
    machine::Gauge,
    timing::{Effort, Flush, SLOW_SECONDS, Timing, Turns, measure_after, spinning, turn},
    workload::{Precision, Unit, Workload},
};
use gradus_kernels::Isa;
use std::time::Instant;

/// How long the machine is measured for in between; where caches are very large, once through each takes longer than that.
const SWEEP_SECONDS: f64 = 0.15;
/// How long the last measurement of the machine stands at least.
const SWEEP_EVERY_SECONDS: f64 = 12.0;

/// Measures. `progress` gets a line before each part of the work: what, and how much of it is done, from 0 to 1.
///
/// # Errors
/// One line where a rung computes something wrong, or PyTorch fails.
pub fn run(plan: &Plan, mut torch: Option<Torch>, mut progress: impl FnMut(&str, f64)) -> Result<Report> {
    let begun = Instant::now();
    let quick = plan.settings.quick;
    let mut gauge = Gauge::new(plan.threads);
    gauge.sweep_all(if quick { 3.0 } else { 8.0 }, |what| progress(what, 0.0));
    let mut ladders = Ladders {
        threads: plan.threads,
        effort: plan.settings.effort,
        flush_bytes: gauge.host().caches.l3,
        pace: Pace::new(if quick { Budget::SHORT } else { Budget::WHOLE }),
    };
    let (mut all, mut scaling) = (Vec::new(), Vec::new());
    let total: f64 = plan.workloads.iter().map(share).sum();
    let (mut done, mut swept) = (0.0, Instant::now());
    for workload in &plan.workloads {
        progress(&workload.id(), done / total);
        done += share(workload);
        let begun = Instant::now();
        let work = workload.problem.work();
        let beside = Beside::new(&mut gauge, work);
        let measured = match workload.problem.tokens() {
            Some(_) => programs::measure(workload, plan, torch.as_ref(), beside),
            None => ladders.measure(workload, torch.as_mut(), beside, effort(workload, plan)),
        };
        let mut measured = measured.map_err(|problem| format!("{}: {problem}", workload.id()))?;
        if work.unit() == Unit::Bytes && swept.elapsed().as_secs_f64() > SWEEP_EVERY_SECONDS {
            gauge.sweep(SWEEP_SECONDS);
            swept = Instant::now();
        }
        if workload.headline && plan.threads > 1 {
            scaling.extend(scale(workload, &measured, plan)?);
        }
        measured.seconds = begun.elapsed().as_secs_f64();
        all.push(measured);
    }
    gauge.sweep(SWEEP_SECONDS);
    progress("", 1.0);
    let machine = gauge.machine();
    let seconds = begun.elapsed().as_secs_f64();
    let settings = plan.settings.clone();
    let report = Report { settings, machine, ladders: all, scaling, seconds };
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

/// A rung at an instruction set, in its turns.
struct Entrant {
    rung: usize,
    entry: Entry,
    isa: Isa,
    once: f64,
    turns: Turns,
}

impl Ladders {
    fn measure(
        &mut self,
        workload: &Workload,
        torch: Option<&mut Torch>,
        beside: Beside<'_>,
        effort: Effort,
    ) -> Result<Measured> {
        self.effort = effort;
        on_threads(self.threads, || self.ladder(workload, torch, beside))?
    }

    fn ladder(
        &mut self,
        workload: &Workload,
        mut torch: Option<&mut Torch>,
        mut beside: Beside<'_>,
    ) -> Result<Measured> {
        let mut measured = Measured::new(workload);
        let mut case = cases::case(&workload.problem);
        let mut entrants = self.entrants(workload, &mut *case, &mut measured.skipped)?;
        let (seconds, mut theirs) = (self.effort.turn(), Turns::default());
        for _ in 0..self.effort.rounds {
            for Entrant { rung, entry, isa, once, turns } in entrants.iter_mut().filter(|e| e.turns.wants_another()) {
                turns.add(spinning(entry.peer, || turn(seconds, *once, || case.run(*rung, *isa))));
            }
            beside.turn();
            let Some(python) = torch.as_deref_mut().filter(|_| theirs.wants_another()) else { continue };
            match python.turn(&workload.problem, seconds, 0.0) {
                Ok(Some(run)) => theirs.add(run.timing),
                Ok(None) => torch = None,
                Err(problem) => {
                    // One case that it cannot do should not cost all the others.
                    measured.skipped.push(Skipped { rung: "PyTorch".into(), reason: problem });
                    *python = python.again()?;
                    torch = None;
                }
            }
        }
        measured.pytorch = theirs.timing();
        measured.limit_beside_s = beside.limit();
        let top = entrants.iter().rposition(|entrant| !entrant.entry.peer && entrant.isa == Isa::active());
        for (i, Entrant { rung, entry, isa, turns, .. }) in entrants.iter().enumerate() {
            let Some(timing) = turns.timing() else { continue };
            let mut figure = Figure::new(entry, *isa, self.threads, timing);
            if *isa == Isa::active() {
                self.pace.record(entry, workload, timing.median_s);
            }
            if Some(i) == top && workload.has_cold_time() {
                figure.cold = Some(self.cold(&mut *case, *rung, *isa));
            }
            measured.figures.push(figure);
        }
        Ok(measured)
    }

    /// Every rung that is not left out, checked: the top one also at the older instruction sets.
    fn entrants(&self, workload: &Workload, case: &mut dyn Case, skipped: &mut Vec<Skipped>) -> Result<Vec<Entrant>> {
        let (entries, active) = (case.rungs(), Isa::active());
        let top = entries.iter().rposition(|entry| !entry.peer);
        let mut entrants = Vec::new();
        for (rung, entry) in entries.iter().enumerate() {
            if let Some(reason) = self.pace.reason_to_skip(entry, workload) {
                skipped.push(Skipped { rung: entry.name.into(), reason });
                continue;
            }
            let at_all = Some(rung) == top && entry.simd && workload.headline && entries.len() > 1;
            let older = Isa::available().filter(|&isa| at_all && isa < active);
            for isa in [active].into_iter().chain(older) {
                let (once, mut turns) = (case.check(rung, isa)?, Turns::default());
                if once > SLOW_SECONDS {
                    turns.add(Timing::once(once)); // the run that was checked is enough
                }
                entrants.push(Entrant { rung, entry: *entry, isa, once, turns });
            }
        }
        Ok(entrants)
    }

    fn cold(&self, case: &mut dyn Case, rung: usize, isa: Isa) -> Timing {
        let mut flush = Flush::new(self.flush_bytes);
        spinning(false, || measure_after(self.effort, || flush.run(), || case.run(rung, isa)))
    }
}

/// The top rung on 1, 2, 4 … threads, below the number of the run, and on that, in turns.
fn scale(workload: &Workload, measured: &Measured, plan: &Plan) -> Result<Option<Scaling>> {
    let Some(top) = measured.top() else { return Ok(None) };
    let below = std::iter::successors(Some(1), |threads| Some(2 * threads)).take_while(|&n| n < plan.threads);
    let sides = below.chain([plan.threads]).map(|threads| Ok((threads, pool(threads)?, Turns::default())));
    let mut sides = sides.collect::<Result<Vec<_>>>()?;
    let (effort, isa) = (plan.settings.effort, Isa::active());
    let mut case = on_threads(plan.threads, || cases::case(&workload.problem))?;
    let rung = case.rungs().iter().position(|entry| entry.name == top.rung).unwrap_or(0);
    for _ in 0..effort.rounds.max(1) {
        for (_, pool, turns) in sides.iter_mut().filter(|side| side.2.wants_another()) {
            let case = &mut case;
            let turn = || turn(effort.turn(), top.warm.median_s, || case.run(rung, isa));
            turns.add(pool.install(|| spinning(false, turn)));
        }
    }
    let points = sides.iter().filter_map(|(threads, _, turns)| Some((*threads, turns.timing()?))).collect();
    Ok(Some(Scaling { id: workload.id(), rung: top.rung.clone(), points }))
}
