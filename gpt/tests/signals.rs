//! Signals and limits of the system, against real processes: a run that is stopped has saved, says so in its exit status
//! and its last line, and leaves ignored what it was started to ignore.
#![cfg(unix)]

mod common;

use common::{Done, Place, Running, contains, metrics, refused, succeeds};
use std::{fs, path::Path, process::Command};

/// No machine comes to the end of it.
const ENDLESS: &str = "--steps 1000000";

/// The step of the last whole line of the metrics.
fn last_step(dir: &Path) -> u64 {
    let text = fs::read_to_string(dir.join("metrics.jsonl")).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let line = whole.lines().last().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    line.map_or(0, |line| line["step"].as_u64().unwrap())
}

/// The command with no signal ignored: whoever runs the tests may ignore some (`nohup`, a script's background job), and
/// children inherit that. Where the system does not say so, or ignores none, it is the command itself.
fn hearing(command: &Command) -> Command {
    const ASKING_TO_STOP: u64 = 0b0100_0000_0000_0011; // bit n − 1 for signal n: SIGHUP 1, SIGINT 2, SIGTERM 15
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.map_or(0, |mask| u64::from_str_radix(mask.trim(), 16).unwrap());
    let mut hearing = Command::new(command.get_program());
    if ignored & ASKING_TO_STOP != 0 {
        hearing = Command::new("env");
        hearing.arg("--default-signal=HUP,INT,TERM").arg(command.get_program());
    }
    hearing.args(command.get_args());
    hearing
}

fn start(command: Command) -> Running {
    Running::start(hearing(&command))
}

/// `command` in a shell that runs `script` with it as "$@".
fn shell(script: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(command.get_program()).args(command.get_args());
    shell
}

/// That a run, stopped by a signal with this exit status, has saved the weights of an undisturbed one.
#[track_caller]
fn ends_stopped(place: &Place, run: Running, status: i32) -> u64 {
    let (code, out, err) = run.finish();
    assert_eq!(code, Some(status), "{out}\n{err}");
    assert!(!err.contains("panicked") && !err.contains("error"), "{err}");
    assert!(!out.contains("done:") && out.lines().last().unwrap().starts_with("stopped: step "), "{out}");
    let step = Done::read(&out).step;
    contains(&err, &[&format!("stopped after step {step} and saved; go on with `gradus train --resume --out ")]);
    assert!((10..1_000_000).contains(&step), "{step}");

    let end = step + 7;
    let (out, _) = succeeds(place.resume("run", &format!("--stop-at {end}")));
    assert_eq!(Done::read(&out).step, end);
    succeeds(place.train("whole", &format!("{ENDLESS} --stop-at {end}")));
    assert!(place.model_bytes("run") == place.model_bytes("whole"), "the run that was stopped went on elsewhere");
    step
}

#[test]
fn each_signal_stops_after_the_step_saves_and_has_its_exit_status() {
    for (signal, status) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let place = Place::new();
        let mut run = start(place.train("run", ENDLESS));
        run.wait_until("the tenth step", || last_step(&place.path("run")) >= 10);
        run.signal(signal);
        assert!(run.says("stopping after this step; once more stops at once"));
        ends_stopped(&place, run, status);
    }
}

/// Both signals arrive within one step, which takes minutes. A run that waited for its end would say that it stopped
/// after step 1.
#[test]
fn a_second_signal_stops_at_once() {
    for attempt in 0.. {
        let place = Place::new();
        let mut run = start(place.train("run", "--steps 5 --width 64 --grad-accum 1000000"));
        run.wait_until("the first save", || place.path("run").join("model.safetensors").exists());
        run.signal("INT");
        assert!(run.says("once more stops at once"));
        run.signal("TERM");
        let (code, _, err) = run.finish();
        if !err.contains("stopped after step 0") {
            assert_eq!(code, Some(143), "{err}");
            assert!(!err.contains("stopped after"), "{err}");
            break;
        }
        assert!(attempt < 100, "the first step never begins"); // the signal came before it
    }
}

#[test]
fn nohup_lets_a_run_outlive_its_terminal() {
    let place = Place::new();
    let train = place.train("run", ENDLESS);
    let mut nohup = Command::new("nohup");
    nohup.arg(train.get_program()).args(train.get_args());
    let mut run = start(nohup);
    run.wait_until("the tenth step", || last_step(&place.path("run")) >= 10);
    let before = last_step(&place.path("run"));
    run.signal("HUP");
    run.wait_until("a hundred steps more", || last_step(&place.path("run")) >= before + 100);
    run.signal("TERM");
    assert!(ends_stopped(&place, run, 143) >= before + 100);
}

#[test]
fn a_background_job_of_a_script_leaves_ctrl_c_to_others() {
    let place = Place::new();
    let pid_file = place.path("pid");
    let script = format!("\"$@\" & echo $! >'{}'; wait $!", pid_file.display());
    let mut run = start(shell(&script, &place.train("run", ENDLESS)));
    run.wait_until("the tenth step", || last_step(&place.path("run")) >= 10);
    let pid = fs::read_to_string(pid_file).unwrap().trim().to_string();
    let _end = KillOnDrop(pid.clone());
    let before = last_step(&place.path("run"));
    kill(&pid, "INT");
    run.wait_until("a hundred steps more", || last_step(&place.path("run")) >= before + 100);
    kill(&pid, "TERM");
    assert!(ends_stopped(&place, run, 143) >= before + 100);
}

fn kill(pid: &str, signal: &str) -> bool {
    Command::new("kill").args([&format!("-{signal}"), pid]).output().unwrap().status.success()
}

/// A process that is not a child of the test ends with it too.
struct KillOnDrop(String);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        kill(&self.0, "KILL");
    }
}

#[test]
fn a_file_size_limit_is_an_error_and_the_last_checkpoint_stays() {
    let place = Place::new();
    succeeds(place.train("run", "--steps 40 --stop-at 20"));
    let before = place.model_bytes("run");
    // 4 to 8 KiB, as the shell counts: config.json fits, the weights do not.
    let resume = place.resume("run", "");
    let error = refused(shell("ulimit -f 8; exec \"$@\"", &resume), 1);
    contains(&error, &["cannot write", "run/", "too large"]);
    assert!(place.model_bytes("run") == before);
    succeeds(resume);
    succeeds(place.train("whole", "--steps 40"));
    assert!(place.model_bytes("run") == place.model_bytes("whole"));
}

/// A text whose validation part has 400,000 tokens.
fn long_text(place: &Place) {
    let text = fs::read_to_string(place.text()).unwrap();
    fs::write(place.text(), text.repeat(4_000_000 / text.chars().count() + 1)).unwrap();
}

#[test]
fn ctrl_c_during_the_last_validation_loses_nothing() {
    let place = Place::new();
    long_text(&place);
    let mut run = start(place.train("run", "--steps 3 --warmup 0 --width 64 --batch 1 --final-eval all"));
    assert!(run.says("validation on 400,"));
    run.signal("INT");
    let (code, out, err) = run.finish();
    assert_eq!(code, Some(130), "{out}\n{err}");
    assert!(out.lines().last().unwrap().starts_with("stopped: step 3, "), "{out}");
    assert!(Done::read(&out).val_tokens < 400_000, "an estimate, and not the whole: {out}");
    let last = metrics(&place.path("run")).pop().unwrap();
    assert!(last["step"] == 3 && last["val_loss"].is_null(), "{last}");
    let before = place.model_bytes("run");

    let (out, err) = succeeds(place.resume("run", "--final-eval 1000"));
    let done = Done::read(&out);
    assert!(out.lines().last().unwrap().starts_with("done: step 3, "), "{out}");
    assert_eq!(done.val_tokens, 1008, "whole windows of 16: {out}");
    contains(&err, &["validation on 1,000 of 400,", "; --final-eval all takes all of them"]);
    assert!(place.model_bytes("run") == before);
}
