//! Whole programs: our process and PyTorch's in turn, a few rounds of each.
//!
//! A program takes all of the machine, so whoever else is on it shows more than in a kernel. The median of rounds that
//! alternate keeps a minute of somebody else's work out of the ratio.

use super::{
    alone::{self, Run, WARM_UP_SECONDS},
    data::{Figure, Measured, Skipped},
    run::Plan,
    torch::Torch,
};
use crate::{
    Result, cases,
    timing::Effort,
    workload::{Precision, Workload},
};
use gradus_kernels::Isa;

/// Rounds of a program whose repetitions are short; a slow one has one.
const ROUNDS: usize = 3;
/// What is slow.
const SLOW_SECONDS: f64 = 1.0;

/// Measures a program, and PyTorch's in fresh processes of the same Python.
///
/// # Errors
/// One line where ours fails; where PyTorch does, that is recorded.
pub fn measure(workload: &Workload, plan: &Plan, torch: Option<&Torch>) -> Result<Measured> {
    let quick = plan.settings.quick;
    let effort = Effort { seconds: if quick { 1.0 } else { 1.5 }, least: 2 };
    let mut measured = Measured::new(workload);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let rounds = if workload.problem.precision() == Precision::Bf16 { ROUNDS - 1 } else { ROUNDS };
    for _ in 0..if quick { 1 } else { rounds } {
        ours.push(alone::measure(&workload.id(), plan.threads, effort)?);
        match torch.map(|torch| torch.again()?.measure(&workload.problem, effort, WARM_UP_SECONDS)) {
            Some(Ok(run)) => theirs.extend(run),
            Some(Err(reason)) => measured.skipped.push(Skipped { rung: "PyTorch".into(), reason }),
            None => {}
        }
        if ours[0].timing.median_s > SLOW_SECONDS {
            break;
        }
    }
    let entry = cases::rungs(&workload.problem)[0];
    let Run { timing, peak_mib } = Run::of_runs(&ours);
    measured.figures.push(Figure { peak_mib, ..Figure::new(&entry, Isa::active(), plan.threads, timing) });
    if !theirs.is_empty() {
        let run = Run::of_runs(&theirs);
        (measured.pytorch, measured.pytorch_peak_mib) = (Some(run.timing), run.peak_mib);
    }
    Ok(measured)
}
