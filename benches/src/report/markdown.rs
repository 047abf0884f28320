//! `report.md`: the machine, a line for every workload, and a table for every ladder.

use super::{
    data::{Measured, Report},
    tables::{self, percent, time, times},
};
use crate::workload::Unit;
use std::fmt::Write;

/// What the figures are.
const METHOD: &str = "\
Every rung was checked against the oracle before it was timed. Then all rungs of a workload and PyTorch took turns on the \
same data, a few rounds of them. A time is the median of a turn, and of the turns the median; *least* is the fastest \
repetition of all. So a stretch in which the whole machine is slower, which a shared one has, falls on all alike. What takes \
longer than half a second was run once. Whole programs take turns too, each side in a process of its own.

The *limit* is the least time that the ceilings below allow: that of the FLOPs, or that of the bytes from where they lie; \
no probe of that level, and no two in turn, read and write as much in less. Of data that is larger \
than a cache a part stays in it, so between two levels the time of a byte is interpolated over 1/size. The rate counts nominal \
FLOPs or bytes; bytes are those of each input and output once.

A ceiling is the best that the machine did: of one measurement the fastest tenth of its rounds, and of all measurements, which \
were made before, between and after the workloads, the best. The median of all rounds stands in brackets: where it is far below, \
others were on the machine, or its cores shared a path to the memory, and a kernel in that moment could not reach \
the limit. *Limit beside* is the least time for the traffic of a workload that memory may bound, by probes that go through \
as much memory as it does, in turn with its rungs: the median of the rounds. The share of it stands in brackets; above 100% \
says that the kernel's turns fell into better moments than those of the probes.";

/// The whole report; `figures` are the names of the pictures beside it, by operation.
pub fn render(report: &Report, figures: &[(String, String)]) -> String {
    let mut text = format!(
        "# Benchmarks\n\n{}\n\
{}\n\n\
         ## The machine\n\n{}\n",
        tables::configuration(report),
        METHOD,
        tables::machine(report)
    );
    let mut section = |title: &str, table: String| {
        if !table.is_empty() {
            let _ = write!(text, "## {title}\n\n{table}\n");
        }
    };
    if report.ladders.iter().any(|measured| measured.problem.tokens().is_some()) {
        section("Whole programs", tables::programs(report));
    }
    section("The top rung of each workload", tables::workloads(report, &[]));
    let means = tables::means(report);
    if !means.is_empty() {
        section("Against others: how many times as fast the top rung is", means);
        section("Where others are faster", tables::behind(report));
    }
    if let Some((_, file)) = figures.iter().find(|(name, _)| name == "scaling") {
        section("Threads", format!("![The speed-up of more threads]({file})\n"));
    }
    for operation in operations(report) {
        let _ = write!(text, "## {operation}\n\n");
        if let Some((_, file)) = figures.iter().find(|(name, _)| *name == operation) {
            let _ = write!(text, "![Roofline of {operation}]({file})\n\n");
        }
        let of = report.ladders.iter().filter(|measured| measured.operation == operation);
        text.extend(of.map(|measured| ladder(report, measured)));
    }
    text
}

/// The operations of a report, each once, in the order in which they come first.
pub fn operations(report: &Report) -> Vec<String> {
    let mut operations: Vec<String> = Vec::new();
    for measured in &report.ladders {
        if !operations.contains(&measured.operation) {
            operations.push(measured.operation.clone());
        }
    }
    operations
}

/// The ladder of a workload, under a heading.
pub fn ladder(report: &Report, measured: &Measured) -> String {
    let work = measured.work;
    let amount = match work.unit() {
        Unit::Flops => format!("{} FLOPs, {:.0} for each byte", engineering(work.flops as f64), work.intensity()),
        Unit::Bytes => format!("{} bytes", engineering(work.bytes() as f64)),
    };
    let least = report.machine.least_seconds(work, measured.problem.precision());
    let mut text = format!("### {}\n\n{}: {amount}; limit {}", measured.id(), measured.problem.sizes(), time(least));
    if let Some(beside) = measured.limit_beside_s {
        let _ = write!(text, "; limit beside {}", time(beside));
    }
    if let Some(pytorch) = measured.pytorch {
        let seconds = pytorch.median_s;
        let _ = write!(text, "; PyTorch {}, {:.1} {}", time(seconds), measured.rate(seconds), work.unit().name());
    }
    let _ = write!(
        text,
        "\n\n| rung | instruction set | time | least | cold | {} | of the limit | over the rung below | times PyTorch | what it adds |\n\
         | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n",
        work.unit().name()
    );
    let mut names = std::collections::HashSet::new();
    for (figure, step) in measured.figures.iter().zip(measured.steps()) {
        let seconds = figure.warm.median_s;
        let _ = writeln!(
            text,
            "| {}{} | {} | {} | {} | {} | {:.1} | {} | {} | {} | {} |",
            figure.rung,
            if figure.peer { " (peer)" } else { "" },
            figure.isa.as_deref().unwrap_or("–"),
            time(seconds),
            time(figure.warm.minimum_s),
            figure.cold.map_or("–".into(), |cold| time(cold.median_s)),
            measured.rate(seconds),
            percent(least / seconds),
            times(step),
            times(measured.pytorch.map(|pytorch| pytorch.median_s / seconds)),
            if names.insert(&figure.rung) { &figure.idea } else { "the same at an older instruction set" },
        );
    }
    for skipped in &measured.skipped {
        let _ = writeln!(text, "| {} | – | skipped: {} | | | | | | | |", skipped.rung, skipped.reason);
    }
    text.push('\n');
    text
}

/// A number with its power of thousand: 12.3 M.
fn engineering(x: f64) -> String {
    let (value, unit) = match x {
        x if x < 1e6 => (x / 1e3, "k"),
        x if x < 1e9 => (x / 1e6, "M"),
        x => (x / 1e9, "G"),
    };
    format!("{value:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::{super::data, *};

    #[test]
    fn an_operation_has_one_section_wherever_its_workloads_stand() {
        let mut report = data::tests::example();
        let of = |operation: &str| data::Measured { operation: operation.into(), ..report.ladders[0].clone() };
        report.ladders = vec![of("decode"), of("decode_bf16"), of("decode")];
        assert_eq!(operations(&report), ["decode", "decode_bf16"]);
    }

    #[test]
    fn the_tables_hold_every_rung_with_its_ratios() {
        let report = data::tests::example();
        let text = render(&report, &[("matmul".into(), "roofline-matmul.svg".into())]);
        let row = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(
            row("| threads |"),
            "| threads | avx512 | 20.0 ms | 18.0 ms | 25.0 ms | 100.0 | 50% | 25.00× | 1.67× | the idea of threads |"
        );
        assert!(row("| blocked |").ends_with("| – | 0.07× | the idea of blocked |"));
        assert!(row("| faer (peer) |").contains("| – | 2.08× |"));
        assert!(row("| naive |").contains("skipped: 2.0 GFLOP"));
        assert!(row("| matmul/square/1000/nt |").contains("| 20.0 ms | 100.0 GFLOP/s | 50% | – | 33.3 ms | 1.67× |"));
        assert_eq!(row("| matmul | PyTorch |"), "| matmul | PyTorch | 1 | 1.67× | 1.67× |");
        assert_eq!(row("| matmul | faer |"), "| matmul | faer | 1 | 0.80× | 0.80× |");
        assert_eq!(row("| multiply-adds, avx512 |"), "| multiply-adds, avx512 | 100 GFLOP/s | 200 GFLOP/s |");
        assert_eq!(row("| DRAM triad |"), "| DRAM triad | – | 50 GB/s (25) |");
        assert!(text.contains("![Roofline of matmul](roofline-matmul.svg)"));
    }

    #[test]
    fn every_table_row_has_the_columns_of_its_header() {
        let text = render(&data::tests::example(), &[]);
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
