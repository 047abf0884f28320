//! `--precision bf16` through the binary: trained, stopped, resumed, refused, and read again in half the memory.

mod common;

use common::{Done, Place, contains, refused, succeeds};
use std::fs;

#[test]
fn stopped_and_resumed_in_bf16_it_is_the_same_run_bit_for_bit() {
    let place = Place::new();
    let (out, err) = succeeds(place.train("whole", "--steps 60 --precision bf16 --threads 1"));
    contains(&err, &["precision bf16"]);
    assert!(Done::read(&out).val_loss < 2.5, "{out}");
    succeeds(place.train("parts", "--steps 60 --stop-at 31 --precision bf16 --threads 2"));
    succeeds(place.resume("parts", "--threads 3")); // the precision is remembered
    assert!(place.model_bytes("whole") == place.model_bytes("parts"), "the weights differ");
    succeeds(place.train("exact", "--steps 60"));
    assert!(place.model_bytes("whole") != place.model_bytes("exact"), "in f32 the bits are others");
}

#[test]
fn a_precision_that_contradicts_the_saved_one_is_refused_by_name() {
    let place = Place::new();
    succeeds(place.train("run", "--steps 4 --warmup 0 --precision bf16"));
    let error = refused(place.resume("run", "--steps 6 --precision f32"), 2);
    contains(&error, &["--precision f32", "bf16"]);
    succeeds(place.resume("run", "--steps 6 --precision bf16"));
    let mut wrong = place.train("other", "--steps 4");
    wrong.args(["--precision", "f16"]);
    let output = wrong.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    contains(&String::from_utf8_lossy(&output.stderr), &["'f16'", "--precision", "f32, bf16"]);
}

#[test]
fn a_configuration_from_before_there_was_a_choice_is_f32() {
    let place = Place::new();
    succeeds(place.train("run", "--steps 4 --warmup 0"));
    let path = place.path("run").join("config.json");
    let text = fs::read_to_string(&path).unwrap();
    let line = "    \"precision\": \"f32\",\n";
    assert!(text.contains(line), "{text}");
    fs::write(&path, text.replace(line, "")).unwrap();
    succeeds(place.resume("run", "--steps 6 --precision f32"));
    assert_eq!(fs::read_to_string(&path).unwrap().matches(line).count(), 1);
    let (out, _) = succeeds(place.with_model("run", "inspect", &[]));
    contains(out.lines().next().unwrap(), &["precision f32"]);
    let error = refused(place.resume("run", "--steps 8 --precision bf16"), 2);
    contains(&error, &["--precision bf16", "f32"]);
}

#[test]
fn a_trained_model_is_read_in_bf16() {
    let place = Place::new();
    succeeds(place.train("run", "--steps 60 --precision bf16"));
    let (out, _) = succeeds(place.with_model("run", "inspect", &[]));
    contains(out.lines().next().unwrap(), &["precision bf16"]);
    let eval = |precision: &[&str]| -> f64 {
        let text = place.text();
        let flags = [&["--data", text.to_str().unwrap()], precision].concat();
        let (out, _) = succeeds(place.with_model("run", "eval", &flags));
        out.strip_prefix("loss ").unwrap().split(',').next().unwrap().parse().unwrap()
    };
    let (exact, half) = (eval(&[]), eval(&["--precision", "bf16"]));
    assert_eq!(eval(&["--precision", "f32"]), exact);
    assert!((exact - half).abs() < 0.02, "{exact} and {half}");
    let sample = |flags: &[&str]| {
        let flags = [&["--greedy", "--tokens", "40", "--prompt", "Twinkle", "--precision", "bf16"], flags].concat();
        succeeds(place.with_model("run", "sample", &flags)).0
    };
    let text = sample(&["--threads", "1"]);
    assert_eq!(text.chars().count(), 48);
    assert_eq!(text, sample(&["--threads", "3"]));
}
