//! `gradus play`: what it prints, what it draws, and what it says to nonsense. Every case runs the binary.

mod common;

use common::{contains, gradus, refused, succeeds, texts};
use std::{fs, path::Path, process::Command};

fn play(folder: &Path, flags: &str) -> Command {
    let mut command = gradus(&format!("play {flags}"));
    command.current_dir(folder);
    command
}

#[test]
fn a_network_is_trained_shown_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let (out, err) = succeeds(play(folder.path(), "--settings gauss --points 60 --epochs 30"));
    assert_eq!(err, "");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(
        lines[0],
        "gauss: 60 points, noise 0, 30 to train on; inputs x,y; hidden none; 3 parameters; penalty none 0, lr 0.1, batch 10"
    );
    assert!(lines[1].starts_with("epoch 0/30, train loss "), "{out}");
    assert!(lines[11].starts_with("epoch 30/30, train loss 0.00"), "{out}");
    assert!(lines[12].starts_with('┌') && lines[37].starts_with('└'), "{out}");
    // Yes is on the right above, no on the left below.
    assert!(lines[13].ends_with("██│") && lines[36].starts_with("│  "), "{out}");
    assert!(lines[38].starts_with("done: epoch 30/30") && lines[38].ends_with("out/play.svg"), "{out}");
    assert_eq!(lines.len(), 39);
    assert!(!out.contains('\u{1b}'), "{out}");
    let svg = fs::read_to_string(folder.path().join("out/play.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.matches("<circle").count() == 120);
    let again = succeeds(play(folder.path(), "--settings gauss --points 60 --epochs 30")).0;
    assert_eq!(out, again, "its own picture may be replaced, and the numbers are the same");
}

#[test]
fn the_same_numbers_on_every_instruction_set() {
    let folder = tempfile::tempdir().unwrap();
    let mut printed = ["portable", "avx2"].map(|isa| {
        let mut command = play(folder.path(), "--settings spiral --epochs 3 --out a.svg");
        command.env("GRADUS_ISA", isa);
        let output = command.output().unwrap();
        (output.status.success(), texts(&output).0)
    });
    printed.sort();
    assert!(printed[1].0, "{printed:?}");
    assert!(!printed[0].0 || printed[0].1 == printed[1].1, "{printed:?}");
}

#[test]
fn nonsense_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    for (flags, code, parts) in [
        ("--settings nothing", 2, &["'nothing' for '--settings", "give one of circle, xor, gauss"][..]),
        ("--data ring", 2, &["'ring' for '--data", "give one of circle, xor"]),
        ("--features x,z", 2, &["--features", "give one of x, y, x2"]),
        ("--features x,x", 2, &["features x,x: must name each feature once"]),
        ("--hidden 4;2", 2, &["--hidden", "such as 4,2, or none"]),
        ("--hidden 9", 2, &["hidden 9: must be from 1 to 8 units"]),
        ("--hidden 1,1,1,1,1,1,1", 2, &["at most 6 layers"]),
        ("--activation gelu", 2, &["give one of relu, tanh, sigmoid, linear"]),
        ("--penalty l3", 2, &["give one of none, l1, l2"]),
        ("--penalty l2 --penalty-rate -1", 2, &["penalty-rate -1: must be from 0 to 10"]),
        ("--noise 0.7", 2, &["noise 0.7: must be from 0 to 0.5"]),
        ("--train-share 1", 2, &["train-share 1: must leave at least one point"]),
        ("--points 1", 2, &["points 1: must be from 2 to 5000"]),
        ("--lr 0", 2, &["lr 0: must be above 0"]),
        ("--lr NaN", 2, &["'NaN' for '--lr", "finite number"]),
        ("--batch 0", 2, &["batch 0: must be at least 1"]),
        ("--epochs -1", 2, &["--epochs", "whole number"]),
        ("--out .", 2, &["out .: is a folder"]),
        ("--data plane --hidden none --lr 10", 1, &["the loss is not finite", "smaller --lr"]),
    ] {
        contains(&refused(play(folder.path(), flags), code), parts);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is written");
}

#[test]
fn a_file_of_others_is_in_the_way() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("out")).unwrap();
    fs::write(folder.path().join("out/play.svg"), "<svg>mine</svg>").unwrap();
    contains(&refused(play(folder.path(), "--epochs 0"), 1), &["play.svg is in the way", "choose another --out"]);
    assert_eq!(fs::read_to_string(folder.path().join("out/play.svg")).unwrap(), "<svg>mine</svg>");
}
