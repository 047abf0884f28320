//! The tables of a report, for `report.md` and for whoever quotes it.

use super::{
    data::{Measured, Report},
    rows::{Row, rows},
};
use crate::{
    machine::{Access, Arithmetic, Level, plural},
    workload::Precision,
};
use std::fmt::Write;

/// Commit, processor, threads and compiler, in a paragraph.
pub fn configuration(report: &Report) -> String {
    let (host, settings) = (&report.machine.host, &report.settings);
    let pytorch = settings.pytorch.as_ref().map_or(String::new(), |version| format!(", PyTorch {version}"));
    let quick = if settings.quick { ", with --quick: few and short repetitions" } else { "" };
    format!(
        "Commit {}, {} ({}), {}, {} on {} cores, {}, f32 and bf16{pytorch}. \
         Caches: L1 {} KiB and L2 {} KiB a core, L3 {} MiB. Taken in {:.0} s{quick}.\n",
        host.commit,
        host.rustc,
        host.flags,
        host.cpu,
        plural(report.machine.threads),
        host.cores,
        report.machine.isa,
        host.caches.l1 >> 10,
        host.caches.l2 >> 10,
        host.caches.l3 >> 20,
        report.seconds,
    )
}

/// The peaks of the machine: at best, and in brackets in the median.
pub fn machine(report: &Report) -> String {
    let machine = &report.machine;
    let mut counts: Vec<usize> = machine.arithmetic.iter().map(|a| a.threads).collect();
    counts.sort_unstable();
    counts.dedup();
    let columns: Vec<String> = counts.iter().map(|&n| plural(n)).collect();
    let mut text = format!("| | {} |\n| --- |{}\n", columns.join(" | "), " ---: |".repeat(counts.len()));
    let mut row = |name: &str, unit: &str, of: &dyn Fn(usize) -> Option<(f64, f64)>| {
        let cell = |(best, median): (f64, f64)| {
            if median > 0.0 { format!("{best:.0} {unit} ({median:.0})") } else { format!("{best:.0} {unit}") }
        };
        let values = counts.iter().map(|&n| of(n).map_or("–".into(), cell));
        let _ = writeln!(text, "| {name} | {} |", values.collect::<Vec<_>>().join(" | "));
    };
    let name = |a: &Arithmetic| match a.precision {
        Precision::F32 => format!("multiply-adds, {}", a.isa),
        Precision::Bf16 => format!("multiply-adds of bf16, {}", a.isa),
    };
    let mut names: Vec<String> = machine.arithmetic.iter().map(name).collect();
    names.sort_unstable();
    names.dedup();
    for wanted in names {
        let of =
            |n| machine.arithmetic.iter().find(|&a| name(a) == wanted && a.threads == n).map(|a| (a.gflops, a.median));
        row(&wanted, "GFLOP/s", &of);
    }
    for level in Level::ALL {
        for access in Access::ALL {
            let at = |n| move |b: &&crate::machine::Bandwidth| b.level == level && b.access == access && b.threads == n;
            let of = |n| machine.bandwidth.iter().find(at(n)).map(|b| (b.gigabytes, b.median));
            if counts.iter().any(|&n| of(n).is_some()) {
                row(&format!("{} {}", level.name(), access.name()), "GB/s", &of);
            }
        }
    }
    text
}

/// The share of the limit, and in brackets that of the limit beside.
fn share(of_limit: f64, beside: Option<f64>) -> String {
    percent(of_limit) + &beside.map_or(String::new(), |beside| format!(" ({})", percent(beside)))
}

/// Training steps and tokens, with their memory: of both sides the median and the best time.
pub fn programs(report: &Report) -> String {
    let mut text = String::from(
        "| program | sizes | time | best | rate | of the limit (beside) | memory | PyTorch | its best | its rate | its memory | times PyTorch | best over best |\n\
         | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    let none = || "–".to_string();
    for measured in report.ladders.iter().filter(|measured| measured.problem.tokens().is_some()) {
        let Some(figure) = measured.top() else { continue };
        let (ours, theirs) = (figure.warm, measured.pytorch);
        let rate = |seconds: f64| {
            measured.problem.tokens().map_or_else(none, |tokens| thousands(tokens as f64 / seconds) + " tokens/s")
        };
        let least = report.machine.least_seconds(measured.work, measured.problem.precision());
        let cells = [
            measured.id(),
            measured.problem.sizes(),
            time(ours.median_s),
            time(ours.minimum_s),
            rate(ours.median_s),
            share(least / ours.median_s, measured.limit_beside_s.map(|least| least / ours.median_s)),
            figure.peak_mib.map_or_else(none, memory),
            theirs.map_or_else(none, |theirs| time(theirs.median_s)),
            theirs.map_or_else(none, |theirs| time(theirs.minimum_s)),
            theirs.map_or_else(none, |theirs| rate(theirs.median_s)),
            measured.pytorch_peak_mib.map_or_else(none, memory),
            times(theirs.map(|theirs| theirs.median_s / ours.median_s)),
            times(theirs.map(|theirs| theirs.minimum_s / ours.minimum_s)),
        ];
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

/// The top rung of each workload that has one of the patterns in its name; of every workload where there are none.
pub fn workloads(report: &Report, patterns: &[&str]) -> String {
    let chosen = |row: &Row| patterns.is_empty() || patterns.iter().any(|pattern| row.id.contains(pattern));
    let mut text = String::from(
        "| workload | sizes | top rung | time | rate | of the limit (beside) | over naive | PyTorch | times PyTorch |\n\
         | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for row in rows(report).iter().filter(|row| chosen(row)) {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {:.1} {} | {} | {} | {} | {} |",
            row.id,
            row.sizes,
            row.rung,
            time(row.seconds),
            row.rate,
            row.unit.name(),
            share(row.of_limit, row.of_limit_beside),
            row.over_naive.map_or("–".into(), |ratio| format!("{ratio:.1}×")),
            row.pytorch.map_or("–".into(), time),
            times(row.pytorch.map(|pytorch| pytorch / row.seconds)),
        );
    }
    text
}

/// The geometric mean of how many times as fast we are as each of the others, over the workloads that both have; empty
/// where there are no others.
pub fn means(report: &Report) -> String {
    let rows = rows(report);
    let mut lines = String::new();
    for operation in super::markdown::operations(report) {
        // Both passes of attention are in the two that they consist of.
        let of: Vec<&Row> =
            rows.iter().filter(|row| row.operation == operation && !row.id.ends_with("/both")).collect();
        let mut names: Vec<&str> = of.iter().flat_map(|row| row.others.iter().map(|(name, _)| name.as_str())).collect();
        let mut seen = std::collections::HashSet::new();
        names.retain(|&name| seen.insert(name));
        for name in names {
            let theirs =
                |row: &&&Row| row.others.iter().find(|other| other.0 == name).map(|other| other.1 / row.seconds);
            let ratios: Vec<f64> = of.iter().filter_map(|row| theirs(&row)).collect();
            let (Some(mean), count) = (geometric_mean(&ratios), ratios.len()) else { continue };
            let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
            let _ = writeln!(lines, "| {operation} | {name} | {count} | {mean:.2}× | {least:.2}× |");
        }
    }
    if lines.is_empty() {
        return lines;
    }
    format!("| operation | against | workloads | geometric mean | least |\n| --- | --- | ---: | ---: | ---: |\n{lines}")
}

/// The workloads on which one of the others is faster, the worst first.
pub fn behind(report: &Report) -> String {
    let mut behind: Vec<(f64, Row)> = rows(report)
        .into_iter()
        .filter_map(|row| Some((row.fastest_other()?.1 / row.seconds, row)))
        .filter(|(ratio, _)| *ratio < 0.995) // as fast, to two digits, is not behind
        .collect();
    behind.sort_by(|a, b| a.0.total_cmp(&b.0));
    if behind.is_empty() {
        return "On no workload of this report.\n".into();
    }
    let mut text = String::from(
        "| workload | sizes | time | who is faster | its time | times as fast as it |\n| --- | --- | ---: | --- | ---: | ---: |\n",
    );
    for (ratio, row) in &behind {
        let Some((name, seconds)) = row.fastest_other() else { continue };
        let (sizes, ours, theirs) = (&row.sizes, time(row.seconds), time(*seconds));
        let _ = writeln!(text, "| {} | {sizes} | {ours} | {name} | {theirs} | {ratio:.2}× |", row.id);
    }
    text
}

/// For every direction of these operations, or of all where none is named, one ladder: of the largest workload on which no
/// rung was left out, if there is one.
pub fn ladders(report: &Report, operations: &[&str]) -> String {
    let mut text = String::new();
    let mut done: Vec<(&str, &str)> = Vec::new();
    let chosen = |measured: &&Measured| {
        let named = operations.is_empty() || operations.contains(&measured.operation.as_str());
        named && measured.problem.tokens().is_none()
    };
    for measured in report.ladders.iter().filter(chosen) {
        let key = (measured.operation.as_str(), measured.direction.as_str());
        if !done.contains(&key) {
            done.push(key);
        }
    }
    for key in done {
        let of = report.ladders.iter().filter(|m| (m.operation.as_str(), m.direction.as_str()) == key);
        let fullest = of.max_by_key(|m| (std::cmp::Reverse(m.skipped.len()), m.headline, m.work.amount()));
        if let Some(measured) = fullest {
            text += &super::markdown::ladder(report, measured);
            text += &elsewhere(report, measured);
        }
    }
    text
}

/// The step over the rung below from which on a rung has bought something.
const STEP: f64 = 1.02;

/// A line with the rungs that buy nothing on this workload, and the one on which each buys most.
fn elsewhere(report: &Report, shown: &Measured) -> String {
    let of = |other: &&Measured| other.operation == shown.operation && other.direction == shown.direction;
    let others: Vec<&Measured> = report.ladders.iter().filter(of).collect();
    let largest = |rung: &str| {
        let steps =
            others.iter().flat_map(|other| other.figures.iter().zip(other.steps()).map(move |step| (other, step)));
        let steps = steps.filter(|(_, (figure, _))| figure.rung == rung);
        let steps = steps.filter_map(|(other, (_, step))| Some((step.filter(|&step| step >= STEP)?, other)));
        steps.max_by(|a, b| a.0.total_cmp(&b.0))
    };
    let here = shown.figures.iter().zip(shown.steps()).filter(|(_, step)| step.is_some_and(|step| step < STEP));
    let found = here.filter_map(|(figure, _)| {
        let (step, other) = largest(&figure.rung)?;
        Some(format!("`{}` {} on {}", figure.rung, times(Some(step)), other.id()))
    });
    let found: Vec<String> = found.collect();
    if found.is_empty() { String::new() } else { format!("What buys more elsewhere: {}.\n\n", found.join(", ")) }
}

/// exp of the mean logarithm; none of nothing.
pub fn geometric_mean(values: &[f64]) -> Option<f64> {
    let sum: f64 = values.iter().map(|x| x.ln()).sum();
    (!values.is_empty()).then(|| (sum / values.len() as f64).exp())
}

/// A time with three digits and its unit.
pub fn time(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s < 1e-6 => (s * 1e9, "ns"),
        s if s < 1e-3 => (s * 1e6, "µs"),
        s if s < 1.0 => (s * 1e3, "ms"),
        s => (s, "s"),
    };
    let decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.decimals$} {unit}")
}

/// 29,700
fn thousands(x: f64) -> String {
    let digits = format!("{x:.0}");
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn memory(mib: f64) -> String {
    if mib < 1024.0 { format!("{mib:.0} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}

/// 61%
pub(super) fn percent(share: f64) -> String {
    format!("{:.0}%", 100.0 * share)
}

/// 1.67×, or a dash.
pub(super) fn times(ratio: Option<f64>) -> String {
    ratio.map_or("–".into(), |ratio| format!("{ratio:.2}×"))
}

#[cfg(test)]
mod tests {
    use super::{super::data::tests::example, *};
    use crate::{
        timing::Timing,
        workload::{Gpt, Problem, Workload},
    };

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
        let text = programs(&report);
        let row = "| training_step/x/f32 | L4 H4 C128 T64 V65 B12, dropout 0.2 | 20.0 ms | 18.0 ms | 38,400 tokens/s | 96% \
                   | 52 MiB | 500 ms | 450 ms | 1,536 tokens/s | 2.0 GiB | 25.00× | 25.00× |";
        assert_eq!(text.lines().nth(2), Some(row), "{text}");
        assert_eq!(text.lines().count(), 3);
    }

    #[test]
    fn whoever_is_faster_is_named() {
        let mut report = example();
        let row = "| matmul/square/1000/nt | NT 1000×1000×1000 (M×K×N) | 20.0 ms | faer | 16.0 ms | 0.80× |";
        assert_eq!(behind(&report).lines().nth(2), Some(row));
        report.ladders[0].figures.retain(|figure| !figure.peer);
        assert_eq!(behind(&report), "On no workload of this report.\n");
    }

    #[test]
    fn only_the_workloads_that_are_asked_for() {
        let mut report = example();
        assert!(workloads(&report, &[]).contains("| 100.0 GFLOP/s | 50% |"));
        report.ladders[0].limit_beside_s = Some(0.015);
        assert!(workloads(&report, &[]).contains("| 100.0 GFLOP/s | 50% (75%) |"));
        assert_eq!(workloads(&report, &["square", "none"]).lines().count(), 3);
        assert_eq!(workloads(&report, &["none"]).lines().count(), 2);
    }

    #[test]
    fn the_ladder_of_a_direction_is_the_fullest_and_largest() {
        let mut report = example();
        let mut full = report.ladders[0].clone();
        full.skipped.clear();
        full.name = "square/500".into();
        report.ladders.push(full.clone());
        full.name = "square/250".into();
        full.work.flops /= 2;
        report.ladders.push(full);
        let titles: Vec<String> =
            ladders(&report, &[]).lines().filter(|l| l.starts_with('#')).map(Into::into).collect();
        assert_eq!(titles, ["### matmul/square/500/nt"]);
        assert_eq!(ladders(&report, &["matmul"]), ladders(&report, &[]));
        assert_eq!(ladders(&report, &["mat"]), "");
    }

    #[test]
    fn a_rung_that_buys_nothing_here_is_shown_where_it_does() {
        let mut report = example();
        assert!(!ladders(&report, &[]).contains("elsewhere"));
        let mut small = report.ladders[0].clone();
        small.name = "square/500".into();
        small.work.flops /= 8;
        report.ladders.push(small);
        report.ladders[0].figures[1].warm = report.ladders[0].figures[0].warm;
        assert!(
            ladders(&report, &[]).contains("What buys more elsewhere: `threads` 25.00× on matmul/square/500/nt.\n")
        );
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([3e-9, 1.234e-5, 0.1234, 12.34].map(time), ["3.00 ns", "12.3 µs", "123 ms", "12.3 s"]);
        assert_eq!([7.0, 869.4, 29_700.2, 1_234_567.0].map(thousands), ["7", "869", "29,700", "1,234,567"]);
        assert_eq!(geometric_mean(&[1.0, 4.0]), Some(2.0));
        assert_eq!(geometric_mean(&[]), None);
    }
}
