//! A ladder as a table: the rungs of one workload on each machine, from the bottom up, with what each adds.

use super::{
    data::{Figure, Measured, Report},
    format::{engineering, percent, time, times},
    tables::{NONE, Table, same, workloads_of},
};
use crate::workload::Unit;
use std::fmt::Write;

/// For each direction of an operation the workload on which its ladder is shown: the largest of those on which the fewest
/// rungs were left out for being too slow.
pub fn shown<'a>(reports: &[&'a Report], operation: &str) -> Vec<&'a Measured> {
    let of: Vec<&Measured> = workloads_of(reports).into_iter().filter(|m| m.operation == operation).collect();
    let mut directions: Vec<&str> = Vec::new();
    of.iter().for_each(|m| {
        if !directions.contains(&m.direction.as_str()) {
            directions.push(&m.direction)
        }
    });
    let fullest = |direction| {
        let of = of.iter().copied().filter(|m| m.direction == direction && m.problem.tokens().is_none());
        of.max_by_key(|m| (std::cmp::Reverse(m.skipped.len()), m.headline, m.work.amount()))
    };
    directions.into_iter().filter_map(fullest).collect()
}

/// The ladder of a workload, under a heading. A rung without a name of an instruction set runs at the uppermost that the
/// machine has; those below it repeat the top rung at older ones.
pub fn ladder(reports: &[&Report], wanted: &Measured) -> String {
    let work = wanted.work;
    let amount = match work.unit() {
        Unit::Flops => format!("{} FLOPs, {:.0} for each byte", engineering(work.flops as f64), work.intensity()),
        Unit::Bytes => format!("{} bytes", engineering(work.bytes() as f64)),
    };
    let each = ["time", "cold", work.unit().name(), "of the limit", "over the rung below", "times PyTorch"];
    let mut table = Table::new(reports, &["rung"], &each, &["what it adds"]);
    let of: Vec<(&Report, &Measured)> =
        reports.iter().filter_map(|report| Some((*report, same(report, wanted)?))).collect();
    for label in labels(of.iter().map(|(_, measured)| *measured)) {
        let mut cells = vec![label.clone()];
        let mut idea = NONE.to_string();
        for report in reports {
            let measured = same(report, wanted);
            let found = measured.and_then(|m| Some((m, labelled(m).into_iter().position(|(name, _)| name == label)?)));
            let place = found.map(|(measured, place)| {
                idea.clone_from(&measured.figures[place].idea);
                figure_cells(report, measured, place)
            });
            cells.extend(place.unwrap_or([NONE; 6].map(Into::into)));
        }
        cells.push(idea);
        table.row(cells);
    }
    let mut text = format!("### {}\n\n{}: {amount}\n\n{}", wanted.id(), wanted.problem.sizes(), table.text);
    for (report, measured) in of {
        let left_out: Vec<String> = measured.skipped.iter().map(|s| format!("{} ({})", s.rung, s.reason)).collect();
        if !left_out.is_empty() {
            let _ = write!(text, "\nLeft out on {}: {}.\n", report.settings.name, left_out.join("; "));
        }
    }
    text + "\n"
}

/// Each figure with its label: the rung, the mark of a peer, and the instruction set where the rung stands there before.
fn labelled(measured: &Measured) -> Vec<(String, &Figure)> {
    let mut seen = std::collections::HashSet::new();
    let label = |figure: &Figure| {
        let again = !seen.insert(figure.rung.clone());
        match &figure.isa {
            _ if figure.peer => format!("{} (peer)", figure.rung),
            Some(isa) if again => format!("{} ({isa})", figure.rung),
            _ => figure.rung.clone(),
        }
    };
    let labels: Vec<String> = measured.figures.iter().map(label).collect();
    labels.into_iter().zip(&measured.figures).collect()
}

/// The labels of all machines, each once: the rungs in order, then older instruction sets, then peers.
fn labels<'a>(all: impl Iterator<Item = &'a Measured>) -> Vec<String> {
    let mut labels: Vec<(u8, String)> = Vec::new();
    for (label, figure) in all.flat_map(labelled) {
        let kind = if figure.peer { 2 } else { u8::from(label != figure.rung) };
        if !labels.iter().any(|(_, known)| *known == label) {
            labels.push((kind, label));
        }
    }
    labels.sort_by_key(|(kind, _)| *kind);
    labels.into_iter().map(|(_, label)| label).collect()
}

fn figure_cells(report: &Report, measured: &Measured, place: usize) -> [String; 6] {
    let figure = &measured.figures[place];
    let seconds = figure.warm.median_s;
    let least = report.machine.least_seconds(measured.work, measured.problem.precision());
    [
        time(seconds),
        figure.cold.map_or(NONE.into(), |cold| time(cold.median_s)),
        format!("{:.1}", measured.rate(seconds)),
        percent(least / seconds),
        times(measured.steps()[place]),
        times(measured.pytorch.map(|pytorch| pytorch.median_s / seconds)),
    ]
}

#[cfg(test)]
mod tests {
    use super::{super::data::tests::example, *};

    fn row<'a>(text: &'a str, start: &str) -> &'a str {
        text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no row {start} in\n{text}"))
    }

    #[test]
    fn a_ladder_has_every_rung_then_older_instruction_sets_then_peers() {
        let mut report = example();
        let older = Figure { isa: Some("avx2".into()), cold: None, ..report.ladders[0].figures[1].clone() };
        report.ladders[0].figures.push(older);
        let text = ladder(&[&report], &report.ladders[0]);
        let expected = "| threads | 20.0 ms | 25.0 ms | 100.0 | 50% | 25.00× | 1.67× | the idea of threads |";
        assert_eq!(row(&text, "| threads |"), expected);
        assert!(row(&text, "| blocked |").ends_with("| – | 0.07× | the idea of blocked |"));
        let order: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next()).collect();
        assert_eq!(order, ["rung", "---", "blocked", "threads", "threads (avx2)", "faer (peer)"]);
        assert!(text.contains("Left out on this machine: naive (2.0 GFLOP, over the budget)."));
    }

    #[test]
    fn the_ladder_that_is_shown_is_the_fullest_and_largest() {
        let mut report = example();
        let mut full = report.ladders[0].clone();
        full.skipped.clear();
        full.name = "square/500".into();
        report.ladders.push(full.clone());
        full.name = "square/250".into();
        full.work.flops /= 2;
        report.ladders.push(full);
        let ids: Vec<String> = shown(&[&report], "matmul").iter().map(|measured| measured.id()).collect();
        assert_eq!(ids, ["matmul/square/500/nt"]);
        assert!(shown(&[&report], "mat").is_empty());
    }
}
