//! What a report holds, as `report.json` has it: times, and the work that they were taken for.

use super::derived::Derived;
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

/// The version of the layout of `report.json`.
pub const FORMAT: u32 = 1;

/// One run of the benchmarks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
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

/// How a run was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
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
    /// What follows from its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub derived: Option<Derived>,
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
            derived: None,
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

    /// 10⁹ FLOPs or bytes in a second.
    pub fn rate(&self, seconds: f64) -> f64 {
        self.work.amount() as f64 / seconds / 1e9
    }
}

impl Report {
    /// Reads `report.json`.
    ///
    /// # Errors
    /// One line where there is no such file, or it is no report.
    pub fn load(path: &Path) -> Result<Report> {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let report: Report =
            serde_json::from_str(&text).map_err(|error| format!("{} is no report: {error}", path.display()))?;
        if report.format != FORMAT {
            return Err(format!(
                "{}: its format is {}, and this program reads {FORMAT}",
                path.display(),
                report.format
            ));
        }
        Ok(report)
    }

    /// Its text in `report.json`.
    ///
    /// # Errors
    /// Never for a report of finite times.
    pub fn json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|error| format!("report.json: {error}"))
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
            derived: None,
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
            format: FORMAT,
            settings: Settings {
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
            seconds: 1.0 / 3.0,
        }
    }

    #[test]
    fn a_report_comes_back_from_its_file_to_the_last_bit() {
        let (report, folder) = (example(), tempfile::tempdir().unwrap());
        let path = folder.path().join("report.json");
        fs::write(&path, report.json().unwrap()).unwrap();
        assert_eq!(Report::load(&path).unwrap(), report);
        fs::write(&path, report.json().unwrap().replace("\"format\": 1", "\"format\": 9")).unwrap();
        assert!(Report::load(&path).unwrap_err().ends_with("its format is 9, and this program reads 1"));
        fs::write(&path, "{}").unwrap();
        assert!(Report::load(&path).unwrap_err().contains("is no report: missing field"));
        assert!(Report::load(&folder.path().join("none")).unwrap_err().contains("No such file"));
    }

    #[test]
    fn a_report_from_before_the_ceilings_were_measured_again_is_read() {
        let mut json: serde_json::Value = serde_json::from_str(&example().json().unwrap()).unwrap();
        let remove = |value: &mut serde_json::Value, key: &str| {
            assert!(value.as_object_mut().unwrap().remove(key).is_some(), "{key}");
        };
        remove(&mut json["machine"], "sweeps");
        remove(&mut json["machine"]["arithmetic"][0], "median");
        remove(&mut json["machine"]["bandwidth"][0], "median");
        remove(&mut json["settings"]["effort"], "rounds");
        remove(&mut json["ladders"][0], "seconds");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        fs::write(&path, json.to_string()).unwrap();
        let report = Report::load(&path).unwrap();
        assert_eq!((report.machine.sweeps, report.machine.bandwidth[0].median), (0, 0.0));
        assert_eq!(report.ladders[0].figures, example().ladders[0].figures);
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
