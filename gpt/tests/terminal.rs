//! What a terminal is sent. `script` (of util-linux) makes a pseudo terminal; without it these tests say so and end.
#![cfg(target_os = "linux")]

mod common;

use common::{Place, contains, succeeds};
use gradus_gpt::shell;
use std::fs;
use std::process::{Command, Stdio};

/// All that `command` writes to a terminal with this environment, in which `TERM` is unset; `None` without `script`.
#[track_caller]
fn on_a_terminal(command: &Command, environment: &[(&str, &str)]) -> Option<String> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line: Vec<String> = words.map(|word| shell::word(word.to_str().unwrap())).collect();
    let mut script = Command::new("script");
    script.args(["-qec", &line.join(" "), "/dev/null"]).stdin(Stdio::null());
    script.env_remove("TERM").env_remove("NO_COLOR").envs(environment.iter().copied());
    match script.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("not tested: there is no `script` on this machine");
            None
        }
        output => {
            let output = output.unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{line:?}: {text}");
            Some(text)
        }
    }
}

#[test]
fn a_terminal_that_can_move_its_cursor_gets_a_bar_and_others_get_lines() {
    let place = Place::new();
    let train = |name: &str, environment: &[(&str, &str)]| on_a_terminal(&place.train(name, "--steps 60"), environment);
    let Some(bar) = train("bar", &[("TERM", "xterm-256color")]) else { return };
    assert!(bar.contains('━') && bar.contains("\u{1b}[36m") && !bar.contains("step 25/60"), "{bar:?}");
    let plain = train("plain", &[("TERM", "xterm-256color"), ("NO_COLOR", "1")]).unwrap();
    assert!(plain.contains('━') && !plain.contains("\u{1b}[36m"), "{plain:?}");
    for (name, environment) in [("dumb", &[("TERM", "dumb")][..]), ("none", &[])] {
        let lines = train(name, environment).unwrap();
        contains(&lines, &["step 25/60  train loss ", "step 50/60  train loss ", "done: step 60"]);
        assert!(!lines.contains('━') && !lines.contains('\u{1b}'), "{lines:?}");
    }
}

#[test]
fn control_characters_are_shown_on_a_terminal_and_sent_to_a_pipe() {
    let place = Place::new();
    fs::write(place.text(), "\u{1b}[31mred\u{1b}[0m \u{7}bell\r\n".repeat(100)).unwrap();
    succeeds(place.train("run", "--steps 40"));
    for flags in [&["--greedy", "--tokens", "60"][..], &["--probabilities", "--tokens", "20"]] {
        let sample = || place.with_model("run", "sample", flags);
        let (raw, _) = succeeds(sample());
        assert!(raw.contains('\u{1b}'), "this test needs a sample with an escape: {raw:?}");
        let Some(shown) = on_a_terminal(&sample(), &[("TERM", "xterm")]) else { return };
        assert!(!shown.contains(['\u{1b}', '\u{7}']), "{shown:?}");
        contains(&shown, &[r"\u{1b}"]);
    }
}
