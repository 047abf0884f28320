//! The measurement on a CUDA card: every rung of every workload is checked, then all of them and PyTorch take turns, as on the CPU. Times
//! are those of the card's own clock.

use super::{
    data::{Figure, Measured, Report, Settings, Skipped},
    torch::Torch,
};
use crate::{
    Result,
    cases::cuda::{self, CudaCase},
    machine::card::{self, Extent, Flush},
    timing::{Effort, SLOW_SECONDS, Timing, Turns, median},
    workload::Workload,
};
use gradus_kernels::cuda::Gpu;
use std::time::Instant;

/// How long the launches between two events last at least: the clock of a card ticks about every half microsecond.
const GROUP_SECONDS: f64 = 1e-3;
/// The seconds of the measurement of the card before and after the workloads.
const SWEEP_SECONDS: f64 = 2.0;
/// PyTorch's calls before its first turn, in seconds.
const WARM_UP_SECONDS: f64 = 0.2;

/// What is measured on a card.
#[derive(Debug)]
pub struct Plan {
    /// The card.
    pub gpu: Gpu,
    /// The workloads.
    pub workloads: Vec<Workload>,
    /// How it is recorded.
    pub settings: Settings,
    /// How much the probes do.
    pub extent: Extent,
}

/// A rung in its turns.
struct Entrant {
    rung: usize,
    once: f64,
    turns: Turns,
}

/// Measures. `progress` gets a line before each workload: what, and how much of the work is done, from 0 to 1.
///
/// # Errors
/// One line where a rung computes something wrong, the card fails, or PyTorch cannot be started again.
pub fn run(plan: &Plan, mut torch: Option<Torch>, mut progress: impl FnMut(&str, f64)) -> Result<Report> {
    let begun = Instant::now();
    progress("the peaks of the card", 0.0);
    let mut machine = card::measure(&plan.gpu, SWEEP_SECONDS, plan.extent)?;
    let mut flush = Flush::new(&plan.gpu)?;
    let mut ladders = Vec::new();
    let workloads = || plan.workloads.iter().filter(|workload| cuda::has(&workload.problem));
    let total = workloads().count() as f64;
    for (done, workload) in workloads().enumerate() {
        progress(&workload.id(), done as f64 / total);
        let begun = Instant::now();
        let measured = measure(plan, workload, torch.as_mut(), &mut flush);
        let mut measured = measured.map_err(|problem| format!("{}: {problem}", workload.id()))?;
        measured.seconds = begun.elapsed().as_secs_f64();
        ladders.push(measured);
    }
    machine.best_of(&card::measure(&plan.gpu, SWEEP_SECONDS, plan.extent)?);
    progress("", 1.0);
    let seconds = begun.elapsed().as_secs_f64();
    Ok(Report { settings: plan.settings.clone(), machine, ladders, scaling: Vec::new(), seconds })
}

fn measure(plan: &Plan, workload: &Workload, torch: Option<&mut Torch>, flush: &mut Flush) -> Result<Measured> {
    let effort = plan.settings.effort;
    let mut measured = Measured::new(workload);
    let mut case = match cuda::case(&plan.gpu, &workload.problem) {
        Ok(case) => case,
        Err(reason) => {
            measured.skipped.push(Skipped { rung: "all rungs".into(), reason });
            return Ok(measured);
        }
    };
    let mut entrants = entrants(&mut *case, &mut measured.skipped)?;
    let (mut torch, mut theirs) = (torch, Turns::default());
    for _ in 0..effort.rounds {
        for Entrant { rung, once, turns } in entrants.iter_mut().filter(|entrant| entrant.turns.wants_another()) {
            turns.add(turn(&mut *case, *rung, *once, effort)?);
        }
        let Some(python) = torch.as_deref_mut().filter(|_| theirs.wants_another()) else { continue };
        match python.turn(&workload.problem, effort.turn(), WARM_UP_SECONDS) {
            Ok(Some(run)) => theirs.add(run.timing),
            Ok(None) => torch = None,
            Err(reason) => {
                measured.skipped.push(Skipped { rung: "PyTorch".into(), reason });
                *python = python.again()?;
                torch = None;
            }
        }
    }
    measured.pytorch = theirs.timing();
    let top = entrants.iter().rposition(|entrant| !case.rungs()[entrant.rung].peer);
    for (i, Entrant { rung, turns, .. }) in entrants.iter().enumerate() {
        let Some(warm) = turns.timing() else { continue };
        let entry = case.rungs()[*rung];
        let (name, idea, peer) = (entry.name.into(), entry.idea.into(), entry.peer);
        let mut figure = Figure { rung: name, idea, isa: None, threads: 1, peer, warm, cold: None, peak_mib: None };
        if Some(i) == top && workload.has_cold_time() {
            let mut times =
                (0..effort.least.max(3)).map(|_| flush.cold(&mut *case, *rung)).collect::<Result<Vec<_>>>()?;
            figure.cold = Some(timing(&mut times));
        }
        measured.figures.push(figure);
    }
    Ok(measured)
}

/// Every rung that the card can run, checked.
fn entrants(case: &mut dyn CudaCase, skipped: &mut Vec<Skipped>) -> Result<Vec<Entrant>> {
    let mut entrants = Vec::new();
    for (rung, entry) in case.rungs().iter().enumerate() {
        if let Some(reason) = case.missing(rung) {
            skipped.push(Skipped { rung: entry.name.into(), reason });
            continue;
        }
        case.check(rung)?;
        let (once, mut turns) = (case.time(rung, 1)?, Turns::default());
        if once > SLOW_SECONDS {
            turns.add(Timing::once(once));
        }
        entrants.push(Entrant { rung, once, turns });
    }
    Ok(entrants)
}

/// One turn of a rung: groups of launches for the seconds of a turn, one at least.
fn turn(case: &mut dyn CudaCase, rung: usize, once: f64, effort: Effort) -> Result<Timing> {
    let group = (GROUP_SECONDS / once.max(1e-7)).ceil().clamp(1.0, 1000.0) as u64;
    case.time(rung, 1)?; // the others' turns have emptied the caches
    let (begun, mut times) = (Instant::now(), Vec::new());
    while times.is_empty() || begun.elapsed().as_secs_f64() < effort.turn() {
        times.push(case.time(rung, group)?);
    }
    Ok(timing(&mut times))
}

fn timing(times: &mut [f64]) -> Timing {
    let median_s = median(times); // sorts them
    Timing { median_s, minimum_s: times[0], repetitions: times.len() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cases::cuda::tests::gpu,
        report::page::{self, Ladders},
        workload::{Layout, Precision, Problem},
    };

    fn plan(gpu: &Gpu, problems: [(&'static str, Problem); 3]) -> Plan {
        let workload = |(operation, problem)| {
            let (name, direction, headline) = ("tiny".into(), "forward", true);
            Workload { operation, name, direction, problem, headline }
        };
        let effort = Effort { seconds: 0.0, least: 1, rounds: 1 };
        let (name, only, pytorch) = ("a card".into(), None, None);
        let settings = Settings { name, quick: true, only, effort, pytorch, peers: false };
        let extent = Extent { links: 2, bytes: 1 << 15, batch: 0.0 };
        Plan { gpu: gpu.clone(), workloads: problems.map(workload).into(), settings, extent }
    }

    /// What is written on a page; none of its figures is looked at, because they say nothing.
    #[test]
    fn a_report_of_a_card_has_every_rung_and_a_page() {
        let Some(gpu) = gpu() else { return };
        let matmul = Problem::Matmul { layout: Layout::NT, m: 33, k: 40, n: 70 };
        let softmax = Problem::Softmax { pass: crate::workload::Pass::Forward, rows: 5, c: 33 };
        let bf16 = Problem::MatmulBf16 { layout: Layout::NN, m: 33, k: 40, n: 70 };
        let report =
            run(&plan(&gpu, [("matmul", matmul), ("softmax", softmax), ("matmul_bf16", bf16)]), None, |_, _| ());
        let report = report.unwrap();
        let names = |i: usize| report.ladders[i].figures.iter().map(|f| f.rung.as_str()).collect::<Vec<_>>();
        let of_matmul: Vec<&str> = gradus_kernels::cuda::matmul::CUDA_RUNGS.iter().map(|rung| rung.name).collect();
        assert_eq!(names(0)[..of_matmul.len()], of_matmul);
        assert_eq!(*names(1).last().unwrap(), "best", "which rung of softmax is run depends on the sizes");
        assert_eq!(report.ladders[2].problem.precision(), Precision::Bf16);
        assert!(report.ladders.iter().all(|ladder| ladder.figures.iter().all(|figure| figure.warm.minimum_s > 0.0)));
        assert!(report.ladders[0].figures.last().unwrap().cold.is_some());
        let text = page::render(&[&report], Ladders::All, &[]);
        assert!(
            text.contains("multiply-adds of bf16, tensor cores by mma.sync") && text.contains("| DRAM write |"),
            "{text}"
        );
        assert!(text.contains("- **a card**: emulator, compute capability 8.0, 4 multiprocessors, L2 4 MiB"), "{text}");
        assert!(text.contains("the card's own clock") && !text.contains("instruction set"), "{text}");
        let path = tempfile::tempdir().unwrap();
        super::super::write_all(&report, path.path()).unwrap();
        let read = Report::load(&path.path().join("report.jsonl")).unwrap();
        assert_eq!(read.machine.card, report.machine.card);
    }
}
