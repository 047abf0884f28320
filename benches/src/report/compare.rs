//! This run against an earlier one: how many times as fast every figure has become.

use super::{
    data::{Figure, Report},
    format::{geometric_mean, time},
};
use std::fmt::Write;

/// A figure that both reports have.
#[derive(Clone, Debug, PartialEq)]
pub struct Ratio {
    /// The workload.
    pub id: String,
    /// The rung, and the instruction set where it has one.
    pub rung: String,
    /// Seconds then and now.
    pub seconds: [f64; 2],
}

impl Ratio {
    /// Above 1 where the figure has become faster.
    pub fn faster(&self) -> f64 {
        self.seconds[0] / self.seconds[1]
    }
}

/// Every figure that both have, in the order of the new one.
pub fn ratios(old: &Report, new: &Report) -> Vec<Ratio> {
    let same = |a: &Figure, b: &Figure| a.rung == b.rung && a.isa == b.isa && a.threads == b.threads;
    let mut ratios = Vec::new();
    for measured in &new.ladders {
        let Some(before) = old.ladders.iter().find(|m| m.id() == measured.id() && m.problem == measured.problem) else {
            continue;
        };
        for figure in &measured.figures {
            let Some(then) = before.figures.iter().find(|then| same(then, figure)) else { continue };
            let isa = figure.isa.as_ref().map_or(String::new(), |isa| format!(" ({isa})"));
            let seconds = [then.warm.median_s, figure.warm.median_s];
            ratios.push(Ratio { id: measured.id(), rung: figure.rung.clone() + &isa, seconds });
        }
    }
    ratios
}

/// The comparison as text.
pub fn render(old: &Report, new: &Report) -> String {
    let ratios = ratios(old, new);
    if ratios.is_empty() {
        return "no figure is in both reports\n".into();
    }
    let mut text =
        String::from("| workload | rung | before | now | times as fast |\n| --- | --- | ---: | ---: | ---: |\n");
    for ratio in &ratios {
        let [then, now] = ratio.seconds.map(time);
        let _ = writeln!(text, "| {} | {} | {then} | {now} | {:.2}× |", ratio.id, ratio.rung, ratio.faster());
    }
    let all: Vec<f64> = ratios.iter().map(Ratio::faster).collect();
    let mean = geometric_mean(&all).unwrap_or(1.0);
    let commits = [&old.machine.host.commit, &new.machine.host.commit];
    let _ = writeln!(text, "\n{} figures of {} against {}: {mean:.2}×", all.len(), commits[1], commits[0]);
    if old.machine.host.cpu != new.machine.host.cpu {
        let _ = writeln!(text, "the machines differ: {} and {}", old.machine.host.cpu, new.machine.host.cpu);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{super::data::tests::example, *};

    #[test]
    fn a_report_against_itself_gives_ratios_of_one() {
        let report = example();
        let ratios = ratios(&report, &report);
        assert_eq!(ratios.len(), 3);
        assert!(ratios.iter().all(|ratio| ratio.faster() == 1.0));
        assert!(
            render(&report, &report)
                .contains("| matmul/square/1000/nt | threads (avx512) | 20.0 ms | 20.0 ms | 1.00× |")
        );
    }

    #[test]
    fn half_the_time_is_twice_as_fast_and_other_figures_do_not_count() {
        let (old, mut new) = (example(), example());
        new.ladders[0].figures[1].warm.median_s /= 2.0;
        new.ladders[0].figures[0].rung = "renamed".into();
        let faster: Vec<f64> = ratios(&old, &new).iter().map(Ratio::faster).collect();
        assert_eq!(faster, [2.0, 1.0]);
        new.ladders.clear();
        assert_eq!(render(&old, &new), "no figure is in both reports\n");
    }
}
