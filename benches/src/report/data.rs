//! What a report holds, and how `report.jsonl` keeps it: times, and the work that they were taken for.
//!
//! The file has one line for the settings, one for the machine, one for the thread scaling, and one for each workload, so
//! that two reports can be compared with `diff`. Whatever follows from the times (rates, ratios, shares of the limit) is
//! computed when it is shown and stored nowhere.

use crate::{
    Result,
    cases::Entry,
    machine::Machine,
    timing::{Effort, Timing},
    workload::{Problem, Work, Workload},
};
use gradus_kernels::Isa;
use serde::{Deserialize, Serialize};
use std::{fs, path::Path};

/// The version of the layout of `report.jsonl`.
pub const FORMAT: u32 = 2;

/// One run of the benchmarks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// How it was run.
    pub settings: Settings,
    /// The machine, and its peaks in this run.
    pub machine: Machine,
    /// Every workload that was measured.
    pub ladders: Vec<Measured>,
    /// Times on fewer and more threads.
    pub scaling: Vec<Scaling>,
    /// How long all of it took.
    pub seconds: f64,
}

/// One line of `report.jsonl`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Report { format: u32, seconds: f64, settings: Settings },
    Machine(Machine),
    Scaling(Vec<Scaling>),
    Workload(Measured),
}

/// How a run was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// What the machine is called in tables.
    pub name: String,
    /// Whether only the workloads that stand for their operation were run, and shortly.
    pub quick: bool,
    /// What the names of the workloads had to contain.
    pub only: Option<String>,
    /// How much each figure was worth.
    pub effort: Effort,
    /// The version of PyTorch that ran beside.
    pub pytorch: Option<String>,
    /// Whether other people's kernels were compiled in.
    pub peers: bool,
}

/// A workload, and the rungs on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The operation.
    pub operation: String,
    /// Where the shape comes from.
    pub name: String,
    /// Which function of the operation.
    pub direction: String,
    /// Whether it stands for its operation.
    pub headline: bool,
    /// What was computed.
    pub problem: Problem,
    /// Its nominal work.
    pub work: Work,
    /// The rungs, from the bottom up; then the top one at other instruction sets; then peers.
    pub figures: Vec<Figure>,
    /// The rungs that were left out, with the reason.
    pub skipped: Vec<Skipped>,
    /// PyTorch's time.
    pub pytorch: Option<Timing>,
    /// The most memory that PyTorch ever held, in MiB, where it had a process to itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pytorch_peak_mib: Option<f64>,
    /// The least time for the traffic by a bandwidth that was measured in turn with the rungs, where memory may bound them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_beside_s: Option<f64>,
    /// How long the workload took altogether, with its checks; zero in older reports.
    #[serde(default)]
    pub seconds: f64,
}

/// A rung and its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Its name.
    pub rung: String,
    /// What it adds to the rung below.
    pub idea: String,
    /// The instruction set; none where the rung leaves it to the compiler.
    pub isa: Option<String>,
    /// The threads that it had, used or not.
    pub threads: usize,
    /// Whether it is somebody else's.
    pub peer: bool,
    /// Its time, repeated on the same data.
    pub warm: Timing,
    /// Its time with everything gone from the caches before each repetition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cold: Option<Timing>,
    /// The most memory that its process ever held, in MiB, where it had one to itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_mib: Option<f64>,
}

/// A rung that was left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Skipped {
    /// Its name.
    pub rung: String,
    /// Why.
    pub reason: String,
}

/// The top rung on other numbers of threads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scaling {
    /// The workload.
    pub id: String,
    /// The rung.
    pub rung: String,
    /// Threads and times.
    pub points: Vec<(usize, Timing)>,
}

impl Figure {
    /// A rung and its time in the caches' best case.
    pub fn new(entry: &Entry, isa: Isa, threads: usize, warm: Timing) -> Figure {
        Figure {
            rung: entry.name.into(),
            idea: entry.idea.into(),
            isa: entry.simd.then(|| entry.level(isa)),
            threads,
            peer: entry.peer,
            warm,
            cold: None,
            peak_mib: None,
        }
    }
}

impl Measured {
    /// A workload without figures.
    pub fn new(workload: &Workload) -> Measured {
        Measured {
            operation: workload.operation.into(),
            name: workload.name.clone(),
            direction: workload.direction.into(),
            headline: workload.headline,
            problem: workload.problem,
            work: workload.problem.work(),
            figures: Vec::new(),
            skipped: Vec::new(),
            pytorch: None,
            pytorch_peak_mib: None,
            limit_beside_s: None,
            seconds: 0.0,
        }
    }

    /// `matmul/gpt_small/qkv/forward`
    pub fn id(&self) -> String {
        format!("{}/{}/{}", self.operation, self.name, self.direction)
    }

    /// The uppermost of our rungs, which the library runs, at the instruction set of the run.
    ///
    /// Not the fastest: of rungs that do the same on these sizes that would be whichever had the better moments.
    pub fn top(&self) -> Option<&Figure> {
        let mut names = std::collections::HashSet::new();
        self.figures.iter().filter(|figure| !figure.peer && names.insert(&figure.rung)).last()
    }

    /// For each figure how many times as fast it is as the rung below. None for the first rung, for a peer, and for a rung
    /// that is repeated at an older instruction set.
    pub fn steps(&self) -> Vec<Option<f64>> {
        let mut below: Option<&Figure> = None;
        let step = |figure| {
            let figure: &Figure = figure;
            if figure.peer || below.is_some_and(|below| below.rung == figure.rung) {
                return None;
            }
            below.replace(figure).map(|below| below.warm.median_s / figure.warm.median_s)
        };
        self.figures.iter().map(step).collect()
    }

    /// 10⁹ FLOPs or bytes in a second.
    pub fn rate(&self, seconds: f64) -> f64 {
        self.work.amount() as f64 / seconds / 1e9
    }
}

impl Report {
    /// Reads a report.
    ///
    /// # Errors
    /// One line where there is no such file, or it is no report.
    pub fn load(path: &Path) -> Result<Report> {
        let name = path.display();
        let text = fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
        let first = text.lines().next().unwrap_or_default();
        let format = serde_json::from_str::<serde_json::Value>(first).ok().and_then(|v| v["report"]["format"].as_u64());
        match format {
            Some(format) if format != u64::from(FORMAT) => {
                Err(format!("{name}: its format is {format}, and this program reads {FORMAT}"))
            }
            _ => Report::parse(&text).map_err(|problem| format!("{name} is no report: {problem}")),
        }
    }

    fn parse(text: &str) -> Result<Report> {
        let (mut head, mut machine, mut scaling, mut ladders) = (None, None, Vec::new(), Vec::new());
        for (number, line) in text.lines().enumerate() {
            match serde_json::from_str(line).map_err(|error| format!("line {}: {error}", number + 1))? {
                Line::Report { seconds, settings, .. } => head = Some((seconds, settings)),
                Line::Machine(found) => machine = Some(found),
                Line::Scaling(found) => scaling = found,
                Line::Workload(found) => ladders.push(found),
            }
        }
        let (seconds, settings) = head.ok_or("its line with the settings is missing")?;
        let machine = machine.ok_or("its line with the machine is missing")?;
        Ok(Report { settings, machine, ladders, scaling, seconds })
    }

    /// Its text in `report.jsonl`, every number rounded to four significant digits.
    ///
    /// # Errors
    /// Never for a report of finite times.
    pub fn lines(&self) -> Result<String> {
        let head = Line::Report { format: FORMAT, seconds: self.seconds, settings: self.settings.clone() };
        let rest = [Line::Machine(self.machine.clone()), Line::Scaling(self.scaling.clone())];
        let workloads = self.ladders.iter().cloned().map(Line::Workload);
        let mut text = String::new();
        for line in std::iter::once(head).chain(rest).chain(workloads) {
            let mut value = serde_json::to_value(line).map_err(|error| format!("report.jsonl: {error}"))?;
            round(&mut value);
            text += &value.to_string();
            text.push('\n');
        }
        Ok(text)
    }
}

/// The significant digits of a stored number. Times scatter by more than a hundredth from run to run.
const DIGITS: usize = 4;

fn round(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Array(values) => values.iter_mut().for_each(round),
        serde_json::Value::Object(fields) => fields.values_mut().for_each(round),
        serde_json::Value::Number(number) if number.is_f64() => {
            let rounded = number.as_f64().and_then(|x| format!("{x:.*e}", DIGITS - 1).parse().ok());
            if let Some(rounded) = rounded.and_then(serde_json::Number::from_f64) {
                *number = rounded;
            }
        }
        _ => {}
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        machine,
        workload::{Layout, Problem},
    };

    fn timing(seconds: f64) -> Timing {
        Timing { median_s: seconds, minimum_s: seconds * 0.9, repetitions: 5 }
    }

    /// A report with one ladder of two rungs, a peer and PyTorch.
    pub fn example() -> Report {
        let figure = |rung: &str, isa: Option<&str>, peer, seconds| Figure {
            rung: rung.into(),
            idea: format!("the idea of {rung}"),
            isa: isa.map(Into::into),
            threads: 2,
            peer,
            warm: timing(seconds),
            cold: None,
            peak_mib: None,
        };
        let problem = Problem::Matmul { layout: Layout::NT, m: 1000, k: 1000, n: 1000 };
        let workload =
            Workload { operation: "matmul", name: "square/1000".into(), direction: "nt", problem, headline: true };
        let mut measured = Measured::new(&workload);
        measured.figures = vec![
            figure("blocked", None, false, 0.5),
            Figure { cold: Some(timing(0.025)), ..figure("threads", Some("avx512"), false, 0.02) },
            figure("faer", Some("avx512"), true, 0.016),
        ];
        measured.skipped = vec![Skipped { rung: "naive".into(), reason: "2.0 GFLOP, over the budget".into() }];
        measured.pytorch = Some(timing(0.1 / 3.0));
        Report {
            settings: Settings {
                name: "this machine".into(),
                quick: true,
                only: None,
                effort: Effort { seconds: 0.1, least: 3, rounds: 3 },
                pytorch: Some("2.9.1".into()),
                peers: true,
            },
            machine: machine::tests::example(),
            ladders: vec![measured],
            scaling: vec![Scaling {
                id: "matmul/square/1000/nt".into(),
                rung: "threads".into(),
                points: vec![(1, timing(0.04)), (2, timing(0.02))],
            }],
            seconds: 661.25,
        }
    }

    #[test]
    fn a_report_comes_back_from_its_file_with_four_digits() {
        let (report, folder) = (example(), tempfile::tempdir().unwrap());
        let path = folder.path().join("report.jsonl");
        let text = report.lines().unwrap();
        assert_eq!(text.lines().count(), 4, "settings, machine, scaling and one workload");
        fs::write(&path, &text).unwrap();
        let read = Report::load(&path).unwrap();
        assert_eq!(read.lines().unwrap(), text, "what was rounded once stays as it is");
        assert_eq!((read.seconds, read.ladders[0].pytorch.map(|timing| timing.median_s)), (661.2, Some(0.03333)));
        let without_times =
            |report: &Report| (report.settings.clone(), report.machine.clone(), report.ladders[0].problem);
        assert_eq!(without_times(&read), without_times(&report));
        let problem = |text: String| {
            fs::write(&path, text).unwrap();
            Report::load(&path).unwrap_err()
        };
        assert!(
            problem(text.replace("\"format\":2", "\"format\":9"))
                .ends_with("its format is 9, and this program reads 2")
        );
        assert!(problem(text.lines().skip(1).collect::<Vec<_>>().join("\n")).ends_with("with the settings is missing"));
        assert!(problem("{}".into()).contains("is no report: line 1: "));
        assert!(Report::load(&folder.path().join("none")).unwrap_err().contains("No such file"));
    }

    #[test]
    fn a_step_compares_with_the_rung_below_and_not_with_peers() {
        assert_eq!(example().ladders[0].steps(), [None, Some(25.0), None]);
    }

    #[test]
    fn the_top_is_ours_and_neither_a_faster_rung_nor_an_older_instruction_set() {
        let measured = &mut example().ladders[0];
        let older = Figure { isa: Some("avx2".into()), warm: timing(0.015), ..measured.figures[1].clone() };
        measured.figures.insert(2, older);
        measured.figures[0].warm = timing(0.01);
        let top = measured.top().unwrap();
        assert_eq!((top.rung.as_str(), top.isa.as_deref()), ("threads", Some("avx512")));
        assert_eq!(measured.rate(0.02), 100.0);
    }
}
