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

    let report = Report::load(&first.join("report.jsonl")).unwrap();
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
    let earlier = first.join("report.jsonl");
    let arguments = ["report", "--quick", "--only", "softmax/gpt_large/scores/backward", "--threads", "1", "--against"];
    let (code, out, err) = program(&[&arguments[..], &[path(&earlier), "--out", path(&second)]].concat());
    assert_eq!(code, 0, "{err}");
    let expected = if report.machine.threads == 1 { "times as fast" } else { "no figure is in both reports" };
    assert!(out.contains(expected), "figures of other thread counts are not compared: {out}");
}

#[test]
fn a_build_against_itself_is_about_as_fast() {
    let this = env!("CARGO_BIN_EXE_gradus-benches");
    let (code, out, err) =
        program(&["in-turn", this, "--only", "softmax/gpt_small", "--threads", "1", "--rounds", "3"]);
    assert_eq!(code, 0, "{err}");
    let ratios: Vec<f64> = out.lines().filter(|line| line.starts_with("| softmax/")).map(last_number).collect();
    assert!(!ratios.is_empty() && ratios.iter().all(|ratio| (0.1..10.0).contains(ratio)), "{out}");
    assert!(out.contains(&format!("{} workloads, geometric mean ", ratios.len())), "{out}");
}

/// Of a row of a table.
fn last_number(row: &str) -> f64 {
    row.trim_end_matches(" |").rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn wrong_flags_are_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let out = path(folder.path());
    let blocked = folder.path().join("file");
    std::fs::write(&blocked, "").unwrap();
    let none = folder.path().join("none.jsonl");
    let broken = folder.path().join("broken.jsonl");
    std::fs::write(&broken, "{\"report\": {\"format\": 2, ").unwrap();
    let without_torch = folder.path().join("python");
    script(&without_torch, r#"echo '{"error": "PyTorch cannot be imported: No module named torch"}'"#);
    let cases: [(&[&str], &str); 15] = [
        (&["report", "--quik"], "error: unexpected argument '--quik' found"),
        (&["report", "--threads", "0", "--out", out], "error: --threads 0: must be at least 1 and at most 4096"),
        (&["report", "--threads", "x"], "error: invalid value 'x' for '--threads <N>'"),
        (&["report", "--only", "soft max", "--out", out], "error: --only soft max: no workload has that in its name"),
        (&["report", "--quick", "--only", "T4096", "--out", out], "error: --only T4096: --quick has no workload"),
        (&["report", "--against", path(&none), "--out", out], "none.jsonl: No such file"),
        (&["report", "--torch", "/no/python", "--out", out], "error: --torch /no/python: No such file"),
        (&["report", "--torch", "true", "--out", out], "error: --torch true: this is no Python that runs PyTorch"),
        (
            &["report", "--torch", path(&without_torch), "--out", out],
            "/python: PyTorch cannot be imported: No module named torch",
        ),
        (&["report", "--out", path(&blocked)], "/file: "),
        (&["report", "--against", path(&broken), "--out", out], "/broken.jsonl is no report: "),
        (&["alone", "none", "--threads", "1"], "none: there is no such workload"),
        (&["publish", path(&none)], "none.jsonl: No such file"),
        (&["in-turn", path(&none)], "none.jsonl: No such file"),
        (&["in-turn", "false"], "error: false: this is no gradus-benches"),
    ];
    for (arguments, expected) in cases {
        let (code, _, err) = program(arguments);
        assert!(code == 1 || code == 2, "{arguments:?}: {code}");
        assert!(err.contains(expected), "{arguments:?}: {err}");
        assert_eq!(err.lines().count(), 1, "{arguments:?}: {err}");
    }
}

fn script(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_run_that_fails_leaves_the_earlier_report_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["report.jsonl", "report.md"] {
        std::fs::write(folder.path().join(file), "earlier").unwrap();
    }
    let (code, _, _) = program(&["report", "--torch", "true", "--out", path(folder.path())]);
    assert_eq!(code, 1);
    for file in ["report.jsonl", "report.md"] {
        assert_eq!(std::fs::read_to_string(folder.path().join(file)).unwrap(), "earlier");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left there");
}

#[test]
fn a_program_is_measured_in_a_process_of_its_own_beside_a_pytorch_that_fails() {
    let folder = tempfile::tempdir().unwrap();
    let (out, python) = (folder.path().join("out"), folder.path().join("python"));
    script(&python, r#"echo '{"version": "0"}'; read line; echo '{"error": "out of memory"}'"#);
    let only = ["report", "--quick", "--only", "generate", "--torch", path(&python), "--out", path(&out)];
    let (code, _, err) = program(&only);
    assert_eq!(code, 0, "{err}");
    let report = Report::load(&out.join("report.jsonl")).unwrap();
    let figure = &report.ladders[0].figures[0];
    assert!(figure.warm.median_s > 0.0 && figure.peak_mib.is_none_or(|mib| mib > 43.0), "{figure:?}");
    assert_eq!(report.ladders[0].pytorch, None);
    assert_eq!(report.ladders[0].skipped[0].reason, "out of memory");
}

#[test]
fn the_list_names_every_workload() {
    let (code, out, _) = program(&["list"]);
    assert_eq!(code, 0);
    assert_eq!(out.lines().count(), gradus_benches::workload::all().len());
    assert!(out.contains("matmul/gpt_small/qkv/forward"));
}

#[cfg(feature = "cuda")]
mod cuda {
    use super::{Command, path};

    /// What `report --device cuda` says with this driver library, and that it leaves no folder.
    fn refused(driver: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("report");
        let mut command = Command::new(env!("CARGO_BIN_EXE_gradus-benches"));
        command.args(["report", "--device", "cuda", "--quick", "--out", path(&out)]).env("GRADUS_CUDA_DRIVER", driver);
        let output = command.output().unwrap();
        assert_eq!((output.status.code(), output.stdout.len(), out.exists()), (Some(1), 0, false));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(text.lines().count(), 1, "{text}");
        text
    }

    #[test]
    fn a_missing_driver_is_one_line() {
        let text = refused("/no/such/driver");
        assert!(text.starts_with("error: --device cuda:0: there is no CUDA driver on this machine ("), "{text}");
    }

    #[test]
    fn the_emulator_is_not_measured() {
        let Some(library) = gradus_emulator::build(gradus_emulator::Sanitizer::None) else { return };
        let text = refused(path(&library));
        assert!(text.contains("is the emulator, whose times say nothing about a card: nothing is measured"), "{text}");
    }
}
