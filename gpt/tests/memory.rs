//! The memory that a run says it will take is within 15% of what it then takes, in every mode and for models of very
//! different shapes.

#![cfg(target_os = "linux")] // which counts the peak

mod common;

use common::{Done, Place, succeeds};
use std::fs;

/// What the run said in its line `memory about N MiB`, and its peak.
fn memory(place: &Place, name: &str, flags: &str) -> [f64; 2] {
    let flags = format!("{flags} --steps 3 --warmup 0 --eval-every 2 --eval-batches 1 --final-eval 1 --threads 2");
    let (out, err) = succeeds(place.train(name, &flags));
    let line = err.lines().find_map(|line| line.strip_prefix("memory about ")).expect("a line on memory");
    let (mib, _) = line.split_once(" MiB: ").expect("a number of MiB");
    [mib.parse().unwrap(), Done::read(&out).memory]
}

#[track_caller]
fn foretold(place: &Place, name: &str, flags: &str) -> f64 {
    let [said, peak] = memory(place, name, flags);
    println!("{name}: said {said} MiB, peak {peak} MiB");
    assert!((said / peak - 1.0).abs() < 0.15, "{name}: said {said} MiB, peak {peak} MiB");
    peak
}

#[test]
fn the_memory_of_a_run_is_foretold() {
    let place = Place::new();
    let verse = fs::read_to_string(place.text()).unwrap();
    fs::write(place.text(), verse.repeat(5)).unwrap(); // 11,000 characters: a validation part of more than one long context
    let small = "--layers 4 --heads 4 --width 64 --context 64 --batch 16 --grad-accum 1 --dropout 0";
    let deep = "--layers 8 --heads 4 --width 96 --context 64 --batch 24 --grad-accum 2 --dropout 0.1";
    foretold(&place, "small", small);
    let [none, cheap, blocks] =
        ["none", "cheap", "blocks"].map(|mode| foretold(&place, mode, &format!("{deep} --recompute {mode}")));
    assert!(none > 1.2 * cheap && cheap > 1.2 * blocks, "{none} {cheap} {blocks}");
    foretold(&place, "wide", "--layers 1 --heads 8 --width 512 --context 32 --batch 16 --grad-accum 1 --bias");
    foretold(&place, "bf16", &format!("{small} --precision bf16"));
    foretold(&place, "long", "--layers 2 --heads 2 --width 64 --context 768 --batch 2 --grad-accum 1 --dropout 0");
    let characters: String = (0x4e00..0x4e00 + 6000).filter_map(char::from_u32).collect();
    fs::write(place.text(), characters.repeat(2)).unwrap();
    foretold(&place, "characters", "--layers 2 --heads 4 --width 64 --context 64 --batch 4 --grad-accum 1 --dropout 0");
}
