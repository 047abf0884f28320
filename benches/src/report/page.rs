//! The page of a report: `report.md` of one run, and `docs/benchmarks.md` of all machines side by side.

use super::{data::Report, ladder, tables};
use std::fmt::Write;

/// How the figures are taken and what the columns mean.
const METHOD: &str = "\
## How it is measured

Every rung is checked against the oracle (the naive rung in `f64`) before it is timed. All rungs of a workload, the peers and PyTorch then take \
turns on the same data for several rounds, so that a slow stretch of a shared machine falls on all of them. A *time* is the median \
over the rounds of the median of a round. Work of more than half a second runs once. Whole programs take turns too, each side in a process \
of its own.

- *Of the limit* is the least time that the hardware allows, divided by the time. The least time is the larger of two: FLOPs \
over the measured peak of multiply-adds, and bytes over the measured bandwidth of the cache or memory that the data fits in. Each input and \
output counts once.
- *Beside* (in brackets) replaces that bandwidth by the one that probes of the same size reached in turn with the rungs. A value above \
100% means that the rungs had better rounds than the probes.
- *Over naive* and *over the rung below* are ratios of times. *Times PyTorch* is PyTorch's time over ours, so above 1 we are faster.
- *Cold* is a time with empty caches. The others are taken on data that was used just before.
- In a ladder, a rung in a row without an instruction set runs at the uppermost one of the machine. Further rows repeat the top rung at older ones.
- A peak is the best of several measurements, made before, between and after the workloads. The median of all of them stands in brackets.
";

/// The same for a CUDA card.
const METHOD_ON_A_CARD: &str = "\
## How it is measured

Every rung is checked against the oracle (the naive rung in `f64`) before it is timed. All rungs of a workload, the peers and PyTorch then take \
turns on the same data, which lies on the card. A *time* is that between two events on the card's own clock with many launches between them, \
divided by their number: the median over the rounds of the median of a round. Where a launch takes the host longer than the card, it is \
the host's time. Work of more than half a second runs once.

- *Of the limit* is the least time that the card allows, divided by the time. The least time is the larger of two: FLOPs \
over the peak of multiply-adds (of `f32`, or of bf16 on tensor cores by `mma.sync`), and bytes over the bandwidth of the L2 cache or the \
memory, all measured by probes in the same run. Each input and output counts once.
- *Over naive* and *over the rung below* are ratios of times. *Times PyTorch* is PyTorch's time over ours, so above 1 we are faster.
- *Cold* is the time of one launch with its data gone from the L2 cache.
- *best* is what the library runs, where it chooses among the rungs by the sizes.
- A peak is the better of two measurements, made before and after the workloads. The median of the first stands in brackets.
";

/// Which ladders a page shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ladders {
    /// The ladder of every workload.
    All,
    /// For each operation and direction the largest workload on which the fewest rungs were left out.
    Fullest,
}

/// A page of one report or several. `pictures` are the names of operations (or `scaling`) and the files of their pictures.
pub fn render(reports: &[&Report], ladders: Ladders, pictures: &[(String, String)]) -> String {
    let is_card = |report: &&Report| report.machine.card.is_some();
    let (title, method) = match reports.iter().any(is_card) {
        true => ("Benchmarks on CUDA", METHOD_ON_A_CARD),
        false => ("Benchmarks", METHOD),
    };
    let mut text = format!("# {title}\n\n{}\n{method}\n", tables::configuration(reports));
    let mut section = |title: &str, table: String| {
        if !table.is_empty() {
            let _ = write!(text, "## {title}\n\n{table}\n");
        }
    };
    if reports.iter().any(|report| report.ladders.iter().any(|measured| measured.problem.tokens().is_some())) {
        section("Whole programs", tables::programs(reports));
    }
    let means = tables::means(reports);
    if !means.is_empty() {
        section("Against others: how many times as fast the top rung is", means);
        section("Where others are faster", tables::behind(reports));
    }
    section("The top rung of each workload", tables::workloads(reports, &[]));
    section("The peaks of the machine", tables::machine(reports));
    let picture = |name: &str| pictures.iter().find(|(of, _)| of == name).map(|(_, file)| file);
    if let Some(file) = picture("scaling") {
        section("Threads", format!("![Speed-up over one thread]({file})\n"));
    }
    for operation in tables::operations(reports) {
        let shown = match ladders {
            Ladders::All => reports.iter().flat_map(|r| &r.ladders).filter(|m| m.operation == operation).collect(),
            Ladders::Fullest => ladder::shown(reports, &operation),
        };
        if shown.is_empty() {
            continue;
        }
        let _ = write!(text, "## {operation}\n\n");
        if let Some(file) = picture(&operation) {
            let _ = write!(text, "![Roofline of {operation}]({file})\n\n");
        }
        text.extend(shown.into_iter().map(|measured| ladder::ladder(reports, measured)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{
        super::data::{Measured, tests::example},
        *,
    };

    #[test]
    fn an_operation_has_one_section_wherever_its_workloads_stand() {
        let mut report = example();
        let of = |operation: &str| Measured { operation: operation.into(), ..report.ladders[0].clone() };
        report.ladders = vec![of("decode"), of("decode_bf16"), of("decode")];
        let text = render(&[&report], Ladders::All, &[("decode".into(), "roofline-decode.svg".into())]);
        assert_eq!(text.matches("\n## decode\n").count(), 1);
        assert!(text.contains("![Roofline of decode](roofline-decode.svg)"));
    }

    #[test]
    fn every_table_row_has_the_columns_of_its_header() {
        let (first, mut second) = (example(), example());
        second.settings.name = "other".into();
        for text in [render(&[&first], Ladders::All, &[]), render(&[&first, &second], Ladders::Fullest, &[])] {
            let mut columns = None;
            for line in text.lines() {
                let here = line.starts_with('|').then(|| line.matches('|').count());
                if let (Some(header), Some(here)) = (columns, here) {
                    assert_eq!(here, header, "{line}");
                }
                columns = here;
            }
        }
    }
}
