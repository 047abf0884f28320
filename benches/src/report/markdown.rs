//! `report.md`: the machine, a line for every workload, and a table for every ladder.

use super::data::{Figure, Measured, Report};
use crate::{
    machine::{Access, Level, plural},
    workload::Unit,
};
use std::fmt::Write;

/// The whole report; `figures` are the names of the pictures beside it, by operation.
pub fn render(report: &Report, figures: &[(String, String)]) -> String {
    let mut text = String::new();
    head(&mut text, report);
    machine(&mut text, report);
    summary(&mut text, report);
    means(&mut text, report);
    if let Some((_, file)) = figures.iter().find(|(name, _)| name == "scaling") {
        let _ = write!(text, "## Threads\n\n![The speed-up of more threads]({file})\n\n");
    }
    for operation in operations(report) {
        let _ = write!(text, "## {operation}\n\n");
        if let Some((_, file)) = figures.iter().find(|(name, _)| *name == operation) {
            let _ = write!(text, "![Roofline of {operation}]({file})\n\n");
        }
        for measured in report.ladders.iter().filter(|measured| measured.operation == operation) {
            ladder(&mut text, report, measured);
        }
    }
    text
}

/// The operations of a report, each once, in its order.
pub fn operations(report: &Report) -> Vec<String> {
    let mut operations: Vec<String> = report.ladders.iter().map(|measured| measured.operation.clone()).collect();
    operations.dedup();
    operations
}

fn head(text: &mut String, report: &Report) {
    let (host, settings) = (&report.machine.host, &report.settings);
    let pytorch = settings.pytorch.as_ref().map_or(String::new(), |version| format!(", PyTorch {version}"));
    let _ = write!(
        text,
        "# Benchmarks\n\n\
         Commit {}, {} ({}), {}, {} on {} cores, {}{pytorch}. \
         Caches: L1 {} KiB and L2 {} KiB a core, L3 {} MiB. Taken in {:.0} s{}.\n\n\
         Times are medians over repetitions on the same data; every rung was checked against the oracle before. \
         The limit is the least time that the peaks below allow: that of the FLOPs, or that of the bytes from where they \
         lie. The rate counts nominal FLOPs or bytes; bytes are those of each input and output once.\n\n",
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
        if settings.quick { ", with --quick: few and short repetitions" } else { "" },
    );
}

fn machine(text: &mut String, report: &Report) {
    let machine = &report.machine;
    let mut counts: Vec<usize> = machine.arithmetic.iter().map(|a| a.threads).collect();
    counts.sort_unstable();
    counts.dedup();
    let columns = counts.iter().map(|&n| plural(n));
    let header =
        format!("| | {} |\n| --- |{}\n", columns.collect::<Vec<_>>().join(" | "), " ---: |".repeat(counts.len()));
    let _ = write!(text, "## The machine\n\n{header}");
    let mut row = |name: &str, unit: &str, of: &dyn Fn(usize) -> Option<f64>| {
        let values = counts.iter().map(|&n| of(n).map_or("–".into(), |x| format!("{x:.0} {unit}")));
        let _ = writeln!(text, "| {name} | {} |", values.collect::<Vec<_>>().join(" | "));
    };
    let mut isas: Vec<&str> = machine.arithmetic.iter().map(|a| a.isa.as_str()).collect();
    isas.sort_unstable();
    isas.dedup();
    for isa in isas {
        let of = |n| machine.arithmetic.iter().find(|a| a.isa == isa && a.threads == n).map(|a| a.gflops);
        row(&format!("multiply-adds, {isa}"), "GFLOP/s", &of);
    }
    for level in Level::ALL {
        for access in Access::ALL {
            let at = |n| move |b: &&crate::machine::Bandwidth| b.level == level && b.access == access && b.threads == n;
            let of = |n| machine.bandwidth.iter().find(at(n)).map(|b| b.gigabytes);
            if counts.iter().any(|&n| of(n).is_some()) {
                row(&format!("{} {}", level.name(), access.name()), "GB/s", &of);
            }
        }
    }
    text.push('\n');
}

fn summary(text: &mut String, report: &Report) {
    let _ = write!(
        text,
        "## The best rung of each workload\n\n\
         | workload | sizes | best rung | time | rate | of the limit | over naive | PyTorch | times PyTorch |\n\
         | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
    );
    for (i, measured) in report.ladders.iter().enumerate() {
        let Some(best) = measured.best() else { continue };
        let seconds = best.warm.median_s;
        let naive = measured.figures.iter().find(|figure| figure.rung == "naive");
        let over_naive = naive.map(|naive| naive.warm.median_s / seconds);
        let pytorch = measured.pytorch.map(|timing| timing.median_s);
        line(text, report, measured, &measured.id(), &best.rung, seconds, over_naive, pytorch, measured.work.unit());
        both_passes(text, report, &report.ladders[..=i]);
    }
    text.push('\n');
}

fn line(
    text: &mut String,
    report: &Report,
    measured: &Measured,
    id: &str,
    rung: &str,
    seconds: f64,
    over_naive: Option<f64>,
    pytorch: Option<f64>,
    unit: Unit,
) {
    let _ = writeln!(
        text,
        "| {id} | {} | {rung} | {} | {:.1} {} | {:.0}% | {} | {} | {} |",
        measured.problem.sizes(),
        time(seconds),
        measured.rate(seconds),
        unit.name(),
        100.0 * report.machine.least_seconds(measured.work) / seconds,
        over_naive.map_or("–".into(), |ratio| format!("{ratio:.1}×")),
        pytorch.map_or("–".into(), time),
        pytorch.map_or("–".into(), |pytorch| format!("{:.2}×", pytorch / seconds)),
    );
}

/// After a backward pass of attention: the line of both passes, which is what the goals and papers speak of.
fn both_passes(text: &mut String, report: &Report, so_far: &[Measured]) {
    let [.., forward, backward] = so_far else { return };
    let same = forward.operation == "attention" && forward.name == backward.name;
    if !same || forward.direction != "forward" || backward.direction != "backward" {
        return;
    }
    let (Some(a), Some(b)) = (forward.best(), backward.best()) else { return };
    let (mut both, seconds) = (backward.clone(), a.warm.median_s + b.warm.median_s);
    both.work.flops += forward.work.flops;
    both.work.read += forward.work.read;
    both.work.written += forward.work.written;
    let pytorch = forward.pytorch.zip(backward.pytorch).map(|(a, b)| a.median_s + b.median_s);
    let id = format!("{}/{}/both", both.operation, both.name);
    line(text, report, &both, &id, &b.rung, seconds, None, pytorch, both.work.unit());
}

/// The geometric mean of the rates of an operation, ours and each peer's, over the workloads that both have.
fn means(text: &mut String, report: &Report) {
    let mut lines = String::new();
    for operation in operations(report) {
        let of = |measured: &&Measured| measured.operation == operation;
        let mut others: Vec<&str> = vec!["PyTorch"];
        for figure in report.ladders.iter().filter(of).flat_map(|m| &m.figures).filter(|figure| figure.peer) {
            if !others.contains(&figure.rung.as_str()) {
                others.push(&figure.rung);
            }
        }
        for other in others {
            let pairs = report.ladders.iter().filter(of).filter_map(|measured| {
                let theirs = match other {
                    "PyTorch" => measured.pytorch?,
                    name => measured.figures.iter().find(|figure| figure.peer && figure.rung == name)?.warm,
                };
                Some((theirs.median_s, measured.best()?.warm.median_s))
            });
            let ratios: Vec<f64> = pairs.map(|(theirs, ours)| theirs / ours).collect();
            let (Some(mean), count) = (geometric_mean(&ratios), ratios.len()) else { continue };
            let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
            let _ = writeln!(lines, "| {operation} | {other} | {count} | {mean:.2}× | {least:.2}× |");
        }
    }
    if !lines.is_empty() {
        let _ = write!(
            text,
            "## Against others\n\nHow many times as fast the best rung is as they are.\n\n\
             | operation | against | workloads | geometric mean | least |\n| --- | --- | ---: | ---: | ---: |\n{lines}\n"
        );
    }
}

/// exp of the mean logarithm; none of nothing.
pub fn geometric_mean(values: &[f64]) -> Option<f64> {
    let sum: f64 = values.iter().map(|x| x.ln()).sum();
    (!values.is_empty()).then(|| (sum / values.len() as f64).exp())
}

fn ladder(text: &mut String, report: &Report, measured: &Measured) {
    let work = measured.work;
    let amount = match work.unit() {
        Unit::Flops => format!("{} FLOPs, {:.0} for each byte", engineering(work.flops as f64), work.intensity()),
        Unit::Bytes => format!("{} bytes", engineering(work.bytes() as f64)),
    };
    let least = report.machine.least_seconds(work);
    let _ = write!(text, "### {}\n\n{}: {amount}; limit {}", measured.id(), measured.problem.sizes(), time(least));
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
    let mut below: Option<&Figure> = None;
    for figure in &measured.figures {
        let seconds = figure.warm.median_s;
        let is_step = !figure.peer && below.is_none_or(|below| below.rung != figure.rung);
        let step = below.filter(|_| is_step).map(|below| format!("{:.2}×", below.warm.median_s / seconds));
        let _ = writeln!(
            text,
            "| {}{} | {} | {} | {} | {} | {:.1} | {:.0}% | {} | {} | {} |",
            figure.rung,
            if figure.peer { " (peer)" } else { "" },
            figure.isa.as_deref().unwrap_or("–"),
            time(seconds),
            time(figure.warm.minimum_s),
            figure.cold.map_or("–".into(), |cold| time(cold.median_s)),
            measured.rate(seconds),
            100.0 * least / seconds,
            step.unwrap_or_else(|| "–".into()),
            measured.pytorch.map_or("–".into(), |pytorch| format!("{:.2}×", pytorch.median_s / seconds)),
            if is_step || figure.peer { &figure.idea } else { "the same at an older instruction set" },
        );
        if is_step {
            below = Some(figure);
        }
    }
    for skipped in &measured.skipped {
        let _ = writeln!(text, "| {} | – | skipped: {} | | | | | | | |", skipped.rung, skipped.reason);
    }
    text.push('\n');
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
        assert_eq!(row("| DRAM triad |"), "| DRAM triad | – | 50 GB/s |");
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

    #[test]
    fn times_have_three_digits() {
        assert_eq!([3e-9, 1.234e-5, 0.1234, 12.34].map(time), ["3.00 ns", "12.3 µs", "123 ms", "12.3 s"]);
        assert_eq!(geometric_mean(&[1.0, 4.0]), Some(2.0));
        assert_eq!(geometric_mean(&[]), None);
    }
}
