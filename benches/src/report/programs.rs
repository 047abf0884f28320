//! Whole programs: our process and PyTorch's in turn, a few rounds of each.
//!
//! A program takes all of the machine, so whoever else is on it shows more than in a kernel. Both processes are there from
//! the beginning to the end, and while one has its turn the other sleeps: the median of rounds that alternate keeps a
//! slow stretch of the machine out of the ratio, and the best repetition of each says what it is without one.

use super::{
    alone::{Alone, Run, WARM_UP_SECONDS},
    beside::Beside,
    data::{Figure, Measured, Skipped},
    plan::Plan,
    torch::Torch,
};
use crate::{
    Result, cases,
    workload::{Precision, Workload},
};
use gradus_kernels::Isa;

/// Rounds of a program whose repetitions are short; a slow one has two.
const ROUNDS: usize = 5;
/// What is slow.
const SLOW_SECONDS: f64 = 1.0;
/// The length of a turn, and of one with `--quick`.
const TURN_SECONDS: [f64; 2] = [0.5, 0.3];

/// Measures a program, and PyTorch's in a fresh process of the same Python.
///
/// # Errors
/// One line where ours fails; where PyTorch does, that is recorded.
pub(super) fn measure(
    workload: &Workload,
    plan: &Plan,
    torch: Option<&Torch>,
    mut beside: Beside<'_>,
) -> Result<Measured> {
    let quick = plan.settings.quick;
    let seconds = TURN_SECONDS[usize::from(quick)];
    let few = quick || workload.problem.precision() == Precision::Bf16;
    let rounds = if few { ROUNDS - 2 } else { ROUNDS };
    let mut measured = Measured::new(workload);
    let mut skip = |reason| measured.skipped.push(Skipped { rung: "PyTorch".into(), reason });
    let mut alone = Alone::start(&workload.id(), plan.threads)?;
    let mut python = torch.and_then(|torch| torch.again().map_err(&mut skip).ok());
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        beside.turn();
        ours.push(alone.turn(seconds)?);
        match python.as_mut().map(|python| python.turn(&workload.problem, seconds, WARM_UP_SECONDS)) {
            Some(Ok(run)) => theirs.extend(run),
            Some(Err(reason)) => {
                skip(reason);
                python = None;
            }
            None => {}
        }
        if round > 0 && ours[0].timing.median_s > SLOW_SECONDS {
            break;
        }
    }
    alone.finish()?;
    measured.limit_beside_s = beside.limit();
    let entry = cases::rungs(&workload.problem)[0];
    let Run { timing, peak_mib } = Run::of_runs(&ours);
    measured.figures.push(Figure { peak_mib, ..Figure::new(&entry, Isa::active(), plan.threads, timing) });
    if !theirs.is_empty() {
        let run = Run::of_runs(&theirs);
        (measured.pytorch, measured.pytorch_peak_mib) = (Some(run.timing), run.peak_mib);
    }
    Ok(measured)
}
