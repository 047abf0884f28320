//! Two builds of this program in turn, workload by workload: did a change make anything slower?
//!
//! Each build measures its own top rung in a process of its own ([`Alone`]). The two processes take turns of a fraction
//! of a second, and who begins changes from round to round, so that a slow stretch of the machine falls on both. What counts
//! is the median over the rounds of the ratio of their times.

use super::{
    alone::{Alone, Run},
    chosen,
    format::{geometric_mean, time},
    progress::Progress,
};
use crate::{Result, timing::median, workload::Workload};
use std::{collections::HashSet, path::PathBuf, process::Command};

/// Seconds of a turn.
const TURN_SECONDS: f64 = 0.15;

/// The flags of `in-turn`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The other build: a gradus-benches of the commit before
    before: PathBuf,
    /// Only the workloads that stand for their operation
    #[arg(long)]
    quick: bool,
    /// Only the workloads whose name contains this
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Threads; all cores unless given
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// How often both take a turn
    #[arg(long, value_name = "N", default_value = "7", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
}

/// What two builds took for one workload, in seconds: the median of the turns of each, and of their ratios.
struct Compared {
    id: String,
    seconds: [f64; 2],
    faster: f64,
}

/// Measures all workloads that both builds have, prints a line for each, and the geometric mean.
///
/// # Errors
/// One line where a program cannot be started or ends early, or where no workload is in both.
pub fn command(arguments: &Arguments) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.threads.unwrap_or(cores);
    let known = workloads_of(&arguments.before)?;
    let (both, ours): (Vec<Workload>, Vec<Workload>) =
        chosen(arguments.quick, arguments.only.as_deref())?.into_iter().partition(|w| known.contains(&w.id()));
    if both.is_empty() {
        return Err(format!("{}: no workload is in both builds", arguments.before.display()));
    }
    let mut progress = Progress::new();
    let mut all = Vec::new();
    println!("| workload | before | now | times as fast |\n| --- | ---: | ---: | ---: |");
    for (i, workload) in both.iter().enumerate() {
        progress.show(&workload.id(), i as f64 / both.len() as f64);
        let compared = compare(&workload.id(), arguments, threads)?;
        let [before, now] = compared.seconds.map(time);
        println!("| {} | {before} | {now} | {:.3} |", compared.id, compared.faster);
        all.push(compared.faster);
    }
    progress.done();
    ours.iter().for_each(|workload| println!("only in this build: {}", workload.id()));
    let mean = geometric_mean(&all).unwrap_or(1.0);
    println!("{} workloads, geometric mean {mean:.3} times as fast", all.len());
    Ok(())
}

fn compare(id: &str, arguments: &Arguments, threads: usize) -> Result<Compared> {
    let this = super::alone::this_program()?;
    let mut sides = [Alone::of(&arguments.before, id, threads)?, Alone::of(&this, id, threads)?];
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..arguments.rounds as usize {
        for side in [round % 2, 1 - round % 2] {
            let Run { timing, .. } = sides[side].turn(TURN_SECONDS).map_err(|problem| format!("{id}: {problem}"))?;
            times[side].push(timing.median_s);
        }
    }
    let mut ratios: Vec<f64> = times[0].iter().zip(&times[1]).map(|(before, now)| before / now).collect();
    sides.iter_mut().try_for_each(|side| side.finish().map_err(|problem| format!("{id}: {problem}")))?;
    Ok(Compared { id: id.into(), seconds: times.map(|mut times| median(&mut times)), faster: median(&mut ratios) })
}

/// The names that `PROGRAM list` prints.
fn workloads_of(program: &PathBuf) -> Result<HashSet<String>> {
    let output = Command::new(program).arg("list").output();
    let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
    if !output.status.success() {
        return Err(format!("{}: this is no gradus-benches", program.display()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(|line| line.split_whitespace().next().map(Into::into)).collect())
}
