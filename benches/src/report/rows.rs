//! A report in lines: for each workload its top rung, and the fastest of the others beside it.

use super::data::{Measured, Report};
use crate::workload::Unit;

/// The top rung of a workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The name of the workload.
    pub id: String,
    /// Its operation.
    pub operation: String,
    /// Its sizes.
    pub sizes: String,
    /// The uppermost of our rungs.
    pub rung: String,
    /// Its time.
    pub seconds: f64,
    /// 10⁹ of `unit` in a second.
    pub rate: f64,
    /// What the rate counts.
    pub unit: Unit,
    /// The least time that the machine allows, over the time.
    pub of_limit: f64,
    /// The same by the bandwidth measured in turn with it, where memory may bound it.
    pub of_limit_beside: Option<f64>,
    /// The time of the naive rung over this one's.
    pub over_naive: Option<f64>,
    /// PyTorch's time.
    pub pytorch: Option<f64>,
    /// The others' names and times, PyTorch among them.
    pub others: Vec<(String, f64)>,
}

impl Row {
    fn new(report: &Report, measured: &Measured) -> Option<Row> {
        let top = measured.top()?;
        let seconds = top.warm.median_s;
        let naive = measured.figures.iter().find(|figure| figure.rung == "naive");
        let pytorch = measured.pytorch.map(|timing| timing.median_s);
        let peers = measured.figures.iter().filter(|figure| figure.peer);
        let peers = peers.map(|figure| (figure.rung.clone(), figure.warm.median_s));
        Some(Row {
            id: measured.id(),
            operation: measured.operation.clone(),
            sizes: measured.problem.sizes(),
            rung: top.rung.clone(),
            seconds,
            rate: measured.rate(seconds),
            unit: measured.work.unit(),
            of_limit: report.machine.least_seconds(measured.work, measured.problem.precision()) / seconds,
            of_limit_beside: measured.limit_beside_s.map(|least| least / seconds),
            over_naive: naive.map(|naive| naive.warm.median_s / seconds),
            pytorch,
            others: pytorch.map(|seconds| ("PyTorch".into(), seconds)).into_iter().chain(peers).collect(),
        })
    }

    /// The fastest of the others.
    pub fn fastest_other(&self) -> Option<&(String, f64)> {
        self.others.iter().min_by(|a, b| a.1.total_cmp(&b.1))
    }
}

/// A row for each workload, and after the backward pass of attention one for both passes, which is what the goals and
/// papers speak of.
pub fn rows(report: &Report) -> Vec<Row> {
    let mut rows = Vec::new();
    for (i, measured) in report.ladders.iter().enumerate() {
        rows.extend(Row::new(report, measured));
        if let [.., forward, backward] = &report.ladders[..=i] {
            rows.extend(both_passes(report, forward, backward));
        }
    }
    rows
}

fn both_passes(report: &Report, forward: &Measured, backward: &Measured) -> Option<Row> {
    let same =
        matches!(forward.operation.as_str(), "attention" | "attention_bf16") && forward.operation == backward.operation;
    if !same || forward.name != backward.name || forward.direction != "forward" || backward.direction != "backward" {
        return None;
    }
    let [first, second] = [Row::new(report, forward)?, Row::new(report, backward)?];
    let mut both = backward.clone();
    both.work.flops += forward.work.flops;
    both.work.read += forward.work.read;
    both.work.written += forward.work.written;
    both.work.updated += forward.work.updated;
    let seconds = first.seconds + second.seconds;
    let pytorch = first.pytorch.zip(second.pytorch).map(|(a, b)| a + b);
    Some(Row {
        id: format!("{}/{}/both", both.operation, both.name),
        seconds,
        rate: both.rate(seconds),
        of_limit: report.machine.least_seconds(both.work, both.problem.precision()) / seconds,
        of_limit_beside: None,
        over_naive: None,
        pytorch,
        others: pytorch.map(|seconds| ("PyTorch".into(), seconds)).into_iter().collect(),
        ..second
    })
}

#[cfg(test)]
mod tests {
    use super::{super::data::tests::example, *};
    use crate::workload::{Pass, Problem, Workload};

    #[test]
    fn the_fastest_of_the_others_stands_beside() {
        let rows = rows(&example());
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].rung.as_str(), rows[0].rate, rows[0].of_limit), ("threads", 100.0, 0.5));
        assert_eq!(rows[0].fastest_other(), Some(&("faer".to_string(), 0.016)));
    }

    #[test]
    fn both_passes_of_attention_have_a_row() {
        let mut report = example();
        let figure = report.ladders[0].figures[1].clone();
        let measured = |pass, direction| {
            let problem = Problem::Attention { pass, b: 1, h: 1, t: 1000, d: 100 };
            let (name, headline) = ("T1000".into(), true);
            let workload = Workload { operation: "attention", name, direction, problem, headline };
            Measured { figures: vec![figure.clone()], ..Measured::new(&workload) }
        };
        report.ladders = vec![measured(Pass::Forward, "forward"), measured(Pass::Backward, "backward")];
        let rows = rows(&report);
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(ids, ["attention/T1000/forward", "attention/T1000/backward", "attention/T1000/both"]);
        assert_eq!((rows[2].seconds, rows[2].rate), (0.04, 0.7 / 0.04), "3.5 times the 0.2 GFLOP of the forward pass");
    }
}
