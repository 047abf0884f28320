//! The program, run as a person runs it.

use gradus_benches::report::{compare, data::Report};
use std::{path::Path, process::Command};

fn program(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_gradus-benches")).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn path(folder: &Path) -> &str {
    folder.to_str().unwrap()
}

#[test]
fn a_short_report_of_one_operation_is_written_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    let (code, out, err) = program(&["report", "--quick", "--only", "softmax", "--out", path(&first)]);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("2 workloads in ") && err.contains("softmax/gpt_large/scores/backward"), "{out}{err}");

    let report = Report::load(&first.join("report.json")).unwrap();
    let rungs = |i: usize| {
        let ours = report.ladders[i].figures.iter().map(|figure| figure.rung.as_str());
        let mut names: Vec<&str> = ours.collect();
        names.dedup(); // the top rung stands there at every instruction set
        names
    };
    let registry: Vec<&str> = gradus_kernels::softmax::FORWARD_RUNGS.iter().map(|rung| rung.name).collect();
    assert_eq!(rungs(0), registry);
    let registry: Vec<&str> = gradus_kernels::softmax::BACKWARD_RUNGS.iter().map(|rung| rung.name).collect();
    assert_eq!(rungs(1), registry);
    assert!(report.ladders.iter().all(|m| m.figures.iter().all(|f| f.warm.minimum_s > 0.0)));

    let text = std::fs::read_to_string(first.join("report.md")).unwrap();
    assert!(text.contains("### softmax/gpt_large/scores/forward"));
    assert!(std::fs::read_to_string(first.join("roofline-softmax.svg")).unwrap().starts_with("<svg "));

    assert!(compare::ratios(&report, &report).iter().all(|ratio| ratio.faster() == 1.0));
    let earlier = first.join("report.json");
    let arguments = ["report", "--quick", "--only", "softmax/gpt_large/scores/backward", "--threads", "1", "--against"];
    let (code, out, err) = program(&[&arguments[..], &[path(&earlier), "--out", path(&second)]].concat());
    assert_eq!(code, 0, "{err}");
    let expected = if report.machine.threads == 1 { "times as fast" } else { "no figure is in both reports" };
    assert!(out.contains(expected), "figures of other thread counts are not compared: {out}");
}

#[test]
fn wrong_flags_are_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let out = path(folder.path());
    let blocked = folder.path().join("file");
    std::fs::write(&blocked, "").unwrap();
    let none = folder.path().join("none.json");
    let cases: [(&[&str], &str); 8] = [
        (&["report", "--quik"], "error: unexpected argument '--quik' found"),
        (&["report", "--threads", "0", "--out", out], "error: --threads 0: must be at least 1 and at most 4096"),
        (&["report", "--threads", "x"], "error: invalid value 'x' for '--threads <N>'"),
        (&["report", "--only", "soft max", "--out", out], "error: --only soft max: no workload has that in its name"),
        (&["report", "--quick", "--only", "T4096", "--out", out], "error: --only T4096: --quick has no workload"),
        (&["report", "--against", path(&none), "--out", out], "none.json: No such file"),
        (&["report", "--torch", "/no/python", "--out", out], "error: --torch /no/python: No such file"),
        (&["report", "--out", path(&blocked)], "file/report.md: "),
    ];
    for (arguments, expected) in cases {
        let (code, _, err) = program(arguments);
        assert!(code == 1 || code == 2, "{arguments:?}: {code}");
        assert!(err.contains(expected), "{arguments:?}: {err}");
        assert_eq!(err.lines().count(), 1, "{arguments:?}: {err}");
    }
}

#[test]
fn the_list_names_every_workload() {
    let (code, out, _) = program(&["list"]);
    assert_eq!(code, 0);
    assert_eq!(out.lines().count(), gradus_benches::workload::all().len());
    assert!(out.contains("matmul/gpt_small/qkv/forward"));
}
