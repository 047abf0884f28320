//! The tables of one report, or of the reports of several machines side by side.
//!
//! Every table takes a list of reports. What describes the work (name, sizes) stands once, and each machine has columns of
//! its own to the right of it.

use super::{
    data::{Measured, Report},
    format::{geometric_mean, memory, share, thousands, time, times},
    rows::{Row, rows},
};
use crate::{
    machine::{Access, Arithmetic, Level, plural},
    workload::Precision,
};
use std::fmt::Write;

pub(super) const NONE: &str = "–";

/// Commit, processor, threads and compiler of each report, a line each.
pub fn configuration(reports: &[&Report]) -> String {
    let line = |report: &&Report| {
        let (host, settings) = (&report.machine.host, &report.settings);
        let pytorch = settings.pytorch.as_ref().map_or(String::new(), |version| format!(", PyTorch {version}"));
        let quick = if settings.quick { ", with --quick: few and short repetitions" } else { "" };
        if let Some(card) = &report.machine.card {
            return format!(
                "- **{}**: {}, compute capability {}, {} multiprocessors, L2 {} MiB, memory {} MiB; host {}. Commit {}, {} \
                 ({}){pytorch}. Taken in {:.0} s{quick}.\n",
                settings.name,
                card.name,
                card.capability,
                card.multiprocessors,
                host.caches.l2 >> 20,
                card.memory >> 20,
                host.cpu,
                host.commit,
                host.rustc,
                host.flags,
                report.seconds,
            );
        }
        format!(
            "- **{}**: {}, {} on {} cores, {}; L1 {} KiB and L2 {} KiB a core, L3 {} MiB. Commit {}, {} ({}){pytorch}. \
             Taken in {:.0} s{quick}.\n",
            settings.name,
            host.cpu,
            plural(report.machine.threads),
            host.cores,
            report.machine.isa,
            host.caches.l1 >> 10,
            host.caches.l2 >> 10,
            host.caches.l3 >> 20,
            host.commit,
            host.rustc,
            host.flags,
            report.seconds,
        )
    };
    reports.iter().map(line).collect()
}

/// A table whose first columns are shared and whose others stand once for each report.
pub(super) struct Table {
    pub(super) text: String,
}

impl Table {
    pub(super) fn new(reports: &[&Report], shared: &[&str], each: &[&str], last: &[&str]) -> Table {
        let mut names: Vec<String> = shared.iter().map(|name| name.to_string()).collect();
        for report in reports {
            let of = if reports.len() > 1 { format!("{}: ", report.settings.name) } else { String::new() };
            names.extend(each.iter().map(|name| format!("{of}{name}")));
        }
        names.extend(last.iter().map(|name| name.to_string()));
        let numbers = reports.len() * each.len();
        let rule = [" --- |".repeat(shared.len()), " ---: |".repeat(numbers), " --- |".repeat(last.len())].concat();
        Table { text: format!("| {} |\n|{rule}\n", names.join(" | ")) }
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        let _ = writeln!(self.text, "| {} |", cells.join(" | "));
    }
}

/// The peaks of the machines: at best, and in brackets in the median.
pub fn machine(reports: &[&Report]) -> String {
    let name = |a: &Arithmetic| match a.precision {
        Precision::F32 => format!("multiply-adds, {}", a.isa),
        Precision::Bf16 => format!("multiply-adds of bf16, {}", a.isa),
    };
    let cell = |(best, median): (f64, f64), unit: &str| {
        if median > 0.0 { format!("{best:.0} {unit} ({median:.0})") } else { format!("{best:.0} {unit}") }
    };
    let mut columns: Vec<(&Report, usize)> = Vec::new();
    for report in reports {
        let mut counts: Vec<usize> = report.machine.arithmetic.iter().map(|a| a.threads).collect();
        counts.sort_unstable();
        counts.dedup();
        columns.extend(counts.into_iter().map(|threads| (*report, threads)));
    }
    let heading = |(report, threads): &(&Report, usize)| {
        let of = if reports.len() > 1 { format!("{}: ", report.settings.name) } else { String::new() };
        of + &report.machine.card.as_ref().map_or_else(|| plural(*threads), |_| "the card".into())
    };
    let headings: Vec<String> = columns.iter().map(heading).collect();
    let mut table =
        Table { text: format!("| | {} |\n| --- |{}\n", headings.join(" | "), " ---: |".repeat(columns.len())) };
    let mut row = |name: &str, of: &dyn Fn(&Report, usize) -> Option<String>| {
        let cells: Vec<String> =
            columns.iter().map(|(report, threads)| of(report, *threads).unwrap_or(NONE.into())).collect();
        if cells.iter().any(|cell| cell != NONE) {
            table.row([vec![name.to_string()], cells].concat());
        }
    };
    let mut names: Vec<String> = reports.iter().flat_map(|report| report.machine.arithmetic.iter().map(name)).collect();
    names.sort_unstable();
    names.dedup();
    for wanted in names {
        row(&wanted, &|report, threads| {
            let found = report.machine.arithmetic.iter().find(|a| name(a) == wanted && a.threads == threads)?;
            Some(cell((found.gflops, found.median), "GFLOP/s"))
        });
    }
    for (level, access) in Level::ALL.into_iter().flat_map(|level| Access::ALL.map(|access| (level, access))) {
        row(&format!("{} {}", level.name(), access.name()), &|report, threads| {
            let mut all = report.machine.bandwidth.iter();
            let found = all.find(|b| b.level == level && b.access == access && b.threads == threads)?;
            Some(cell((found.gigabytes, found.median), "GB/s"))
        });
    }
    table.text
}

/// The workloads of all reports, each once, in the order of the first report that has them.
pub(super) fn workloads_of<'a>(reports: &[&'a Report]) -> Vec<&'a Measured> {
    let mut seen = std::collections::HashSet::new();
    reports.iter().flat_map(|report| &report.ladders).filter(|measured| seen.insert(measured.id())).collect()
}

/// The same workload in another report, if it is there with the same sizes.
pub(super) fn same<'a>(report: &'a Report, wanted: &Measured) -> Option<&'a Measured> {
    report.ladders.iter().find(|measured| measured.id() == wanted.id() && measured.problem == wanted.problem)
}

/// Training steps and tokens, with the memory of both sides.
pub fn programs(reports: &[&Report]) -> String {
    let each = ["time", "rate", "of the limit (beside)", "memory", "PyTorch's memory", "times PyTorch"];
    let mut table = Table::new(reports, &["program", "sizes"], &each, &[]);
    for program in workloads_of(reports).into_iter().filter(|measured| measured.problem.tokens().is_some()) {
        let mut cells = vec![program.id(), program.problem.sizes()];
        for report in reports {
            cells.extend(program_cells(report, program).unwrap_or([NONE; 6].map(Into::into)));
        }
        table.row(cells);
    }
    table.text
}

fn program_cells(report: &Report, program: &Measured) -> Option<[String; 6]> {
    let measured = same(report, program)?;
    let figure = measured.top()?;
    let seconds = figure.warm.median_s;
    let least = report.machine.least_seconds(measured.work, measured.problem.precision());
    Some([
        time(seconds),
        thousands(measured.problem.tokens()? as f64 / seconds) + " tokens/s",
        share(least / seconds, measured.limit_beside_s.map(|least| least / seconds)),
        figure.peak_mib.map_or(NONE.into(), memory),
        measured.pytorch_peak_mib.map_or(NONE.into(), memory),
        times(measured.pytorch.map(|theirs| theirs.median_s / seconds)),
    ])
}

/// The top rung of each workload that has one of the patterns in its name; of every workload where there are none.
pub fn workloads(reports: &[&Report], patterns: &[&str]) -> String {
    let each = ["time", "rate", "of the limit (beside)", "over naive", "times PyTorch"];
    let mut table = Table::new(reports, &["workload", "sizes"], &each, &[]);
    let all: Vec<Vec<Row>> = reports.iter().map(|report| rows(report)).collect();
    let mut seen = std::collections::HashSet::new();
    let chosen = |row: &&Row| patterns.is_empty() || patterns.iter().any(|pattern| row.id.contains(pattern));
    for wanted in all.iter().flatten().filter(chosen).filter(|row| seen.insert(&row.id)) {
        let mut cells = vec![wanted.id.clone(), wanted.sizes.clone()];
        for rows in &all {
            let row = rows.iter().find(|row| row.id == wanted.id && row.sizes == wanted.sizes);
            cells.extend(row.map_or([NONE; 5].map(Into::into), workload_cells));
        }
        table.row(cells);
    }
    table.text
}

fn workload_cells(row: &Row) -> [String; 5] {
    [
        time(row.seconds),
        format!("{:.1} {}", row.rate, row.unit.name()),
        share(row.of_limit, row.of_limit_beside),
        row.over_naive.map_or(NONE.into(), |ratio| format!("{ratio:.1}×")),
        times(row.pytorch.map(|pytorch| pytorch / row.seconds)),
    ]
}

/// For each operation and each peer: how many times as fast the top rung is, as a geometric mean over the workloads that both
/// have, with the least; empty where there are no peers.
pub fn means(reports: &[&Report]) -> String {
    let mut table = Table::new(reports, &["operation", "against"], &["mean", "least", "workloads"], &[]);
    let all: Vec<Vec<Row>> = reports.iter().map(|report| rows(report)).collect();
    // The row of both passes of attention consists of the two rows of its passes.
    let counted = |row: &&Row| !row.id.ends_with("/both");
    let mut pairs: Vec<(String, String)> = Vec::new();
    for operation in operations(reports) {
        for row in all.iter().flatten().filter(counted).filter(|row| row.operation == operation) {
            let of = row.others.iter().map(|(name, _)| (operation.clone(), name.clone()));
            of.for_each(|pair| {
                if !pairs.contains(&pair) {
                    pairs.push(pair)
                }
            });
        }
    }
    if pairs.is_empty() {
        return String::new();
    }
    for (operation, name) in pairs {
        let mut cells = vec![operation.clone(), name.clone()];
        for rows in &all {
            let of = rows.iter().filter(counted).filter(|row| row.operation == operation);
            let theirs = of.filter_map(|row| Some((row.others.iter().find(|other| other.0 == name)?.1, row.seconds)));
            let ratios: Vec<f64> = theirs.map(|(theirs, ours)| theirs / ours).collect();
            let least = ratios.iter().copied().reduce(f64::min);
            let count = if ratios.is_empty() { NONE.into() } else { ratios.len().to_string() };
            cells.extend([times(geometric_mean(&ratios)), times(least), count]);
        }
        table.row(cells);
    }
    table.text
}

/// The workloads on which a peer is faster, the worst first.
pub fn behind(reports: &[&Report]) -> String {
    let mut table = Table::new(
        &[],
        &["machine", "workload", "sizes", "time", "who is faster", "its time", "times as fast"],
        &[],
        &[],
    );
    for report in reports {
        let all = rows(report);
        let ratio = |row: &Row| row.fastest_other().map(|other| other.1 / row.seconds);
        let mut behind: Vec<(f64, &Row)> = all.iter().filter_map(|row| Some((ratio(row)?, row))).collect();
        behind.retain(|(ratio, _)| *ratio < 0.995); // as fast, to two digits, is not behind
        behind.sort_by(|a, b| a.0.total_cmp(&b.0));
        if behind.is_empty() {
            let nowhere = "on no workload of this report".to_string();
            table.row([vec![report.settings.name.clone(), nowhere], vec![NONE.to_string(); 5]].concat());
        }
        for (ratio, row) in behind {
            let Some((name, seconds)) = row.fastest_other() else { continue };
            let (ours, theirs) = (time(row.seconds), time(*seconds));
            let machine = report.settings.name.clone();
            table.row(vec![machine, row.id.clone(), row.sizes.clone(), ours, name.clone(), theirs, times(Some(ratio))]);
        }
    }
    table.text
}

/// The operations of the reports, each once, in the order in which they come first.
pub fn operations(reports: &[&Report]) -> Vec<String> {
    let mut operations: Vec<String> = Vec::new();
    for measured in reports.iter().flat_map(|report| &report.ladders) {
        if !operations.contains(&measured.operation) {
            operations.push(measured.operation.clone());
        }
    }
    operations
}

#[cfg(test)]
mod tests {
    use super::{super::data::tests::example, *};
    use crate::{
        timing::Timing,
        workload::{Gpt, Problem, Workload},
    };

    fn row<'a>(text: &'a str, start: &str) -> &'a str {
        text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no row {start} in\n{text}"))
    }

    #[test]
    fn programs_have_tokens_and_memory() {
        let mut report = example();
        let gpt = Gpt { layers: 4, heads: 4, width: 128, context: 64, vocab: 65, bias: false };
        let problem = Problem::TrainingStep { gpt, batch: 12, dropout: 0.2, precision: Precision::F32 };
        let workload =
            Workload { operation: "training_step", name: "x".into(), direction: "f32", problem, headline: true };
        let mut measured = Measured::new(&workload);
        measured.figures = vec![report.ladders[0].figures[1].clone()];
        measured.figures[0].peak_mib = Some(51.6);
        measured.pytorch = Some(Timing { median_s: 0.5, minimum_s: 0.45, repetitions: 2 });
        measured.pytorch_peak_mib = Some(2048.0);
        report.ladders.push(measured);
        let text = programs(&[&report]);
        let expected = "| training_step/x/f32 | L4 H4 C128 T64 V65 B12, dropout 0.2 | 20.0 ms | 38,400 tokens/s | 96% \
                        | 52 MiB | 2.0 GiB | 25.00× |";
        assert_eq!(text.lines().nth(2), Some(expected), "{text}");
        assert_eq!(text.lines().count(), 3);
    }

    #[test]
    fn whoever_is_faster_is_named() {
        let mut report = example();
        let expected =
            "| this machine | matmul/square/1000/nt | NT 1000×1000×1000 (M×K×N) | 20.0 ms | faer | 16.0 ms | 0.80× |";
        assert_eq!(behind(&[&report]).lines().nth(2), Some(expected));
        report.ladders[0].figures.retain(|figure| !figure.peer);
        assert!(behind(&[&report]).contains("| this machine | on no workload of this report |"));
    }

    #[test]
    fn only_the_workloads_that_are_asked_for() {
        let mut report = example();
        assert!(workloads(&[&report], &[]).contains("| 20.0 ms | 100.0 GFLOP/s | 50% | – | 1.67× |"));
        report.ladders[0].limit_beside_s = Some(0.015);
        assert!(workloads(&[&report], &[]).contains("| 100.0 GFLOP/s | 50% (75%) |"));
        assert_eq!(workloads(&[&report], &["square", "none"]).lines().count(), 3);
        assert_eq!(workloads(&[&report], &["none"]).lines().count(), 2);
    }

    #[test]
    fn a_second_machine_has_columns_of_its_own() {
        let (first, mut second) = (example(), example());
        second.settings.name = "other".into();
        second.ladders[0].figures[1].warm.median_s = 0.01;
        let text = workloads(&[&first, &second], &[]);
        assert!(row(&text, "| workload |").contains("| this machine: time |") && text.contains("| other: time |"));
        let expected = "| 20.0 ms | 100.0 GFLOP/s | 50% | – | 1.67× | 10.0 ms | 200.0 GFLOP/s | 100% | – | 3.33× |";
        assert!(row(&text, "| matmul/").ends_with(expected), "{text}");
        second.ladders.clear();
        assert!(row(&workloads(&[&first, &second], &[]), "| matmul/").ends_with("| 1.67× | – | – | – | – | – |"));
        assert_eq!(
            row(&means(&[&first, &second]), "| matmul | faer |"),
            "| matmul | faer | 0.80× | 0.80× | 1 | – | – | – |"
        );
    }

    #[test]
    fn peaks_stand_beside_each_other() {
        let text = machine(&[&example()]);
        assert_eq!(row(&text, "| multiply-adds, avx512 |"), "| multiply-adds, avx512 | 100 GFLOP/s | 200 GFLOP/s |");
        assert_eq!(row(&text, "| DRAM triad |"), "| DRAM triad | – | 50 GB/s (25) |");
    }
}
