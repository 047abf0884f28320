//! What the program says when it is given nonsense: one line that names the thing at fault, a code that is not 0, and
//! never a panic. Every case runs the binary.

use assert_cmd::Command;
use gradus_gpt::{
    checkpoint::{Checkpoint, NamedArray},
    config::{FORMAT, RunConfig},
    files::Disk,
    model::Gpt,
    preset::Preset,
    tokenizer::{Tokenizer, TokenizerKind},
};
use gradus_nn::{Init, Module};
use std::{fs, path::Path};
use tempfile::TempDir;

fn gradus() -> Command {
    Command::new(env!("CARGO_BIN_EXE_gradus"))
}

/// Runs `gradus`, and returns its error, which is one line: what it says after `error: ` in its last line.
fn refused(arguments: &[&str], code: i32) -> String {
    let output = gradus().args(arguments).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    assert_eq!(errors.matches("error: ").count(), 1, "{arguments:?}: one error: {errors}");
    let error = errors[errors.find("error: ").unwrap() + 7..].trim_end();
    assert_eq!(error.lines().count(), 1, "{error}");
    error.to_string()
}

fn contains(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "{part:?} is missing in {error:?}");
    }
}

/// A folder with a text of 2200 characters to train on.
fn folder() -> (TempDir, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let (text, out) = (path("text.txt"), path("run"));
    fs::write(&text, "to be, or not to be!\n".repeat(105)).unwrap();
    (folder, text, out)
}

/// Writes a model into `dir` that knows `abc`, a space and a line break.
fn write_model(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    let (mut model, train, _) = Preset::Small.settings();
    let tokenizer = Tokenizer::new(TokenizerKind::Char, "abc \n");
    (model.vocab_size, model.width) = (tokenizer.vocab_size(), 16);
    let gpt = Gpt::new(&model, &mut Init::new(0));
    let weights: Vec<_> =
        gpt.named_parameters().into_iter().map(|(name, parameter)| (name, parameter.value())).collect();
    let arrays: Vec<_> =
        weights.iter().map(|(name, t)| NamedArray { name, shape: t.shape(), data: t.as_host_slice() }).collect();
    let run = RunConfig { format: FORMAT, model, train, tokenizer };
    run.save(&Disk, dir).unwrap();
    Checkpoint { step: 0, meaning: &run.meaning(), model: &arrays, optimizer: &[] }.save(&Disk, dir).unwrap();
}

#[test]
fn texts_that_cannot_be_learnt() {
    let (folder, _, out) = folder();
    let with = |content: &[u8]| {
        let path = folder.path().join("bad.txt");
        fs::write(&path, content).unwrap();
        refused(&["train", "--data", path.to_str().unwrap(), "--out", &out], 1)
    };
    contains(&with(b""), &["bad.txt is empty"]);
    contains(
        &with(b"hello"),
        &["bad.txt is too short", "training part has 4 tokens", "context of 64 needs at least 65"],
    );
    contains(&with(&[b'a'; 600]), &["validation part has 60 tokens"]);
    contains(&with(b"good so far \xff\xfe"), &["bad.txt is not UTF-8 text", "byte 12"]);
    contains(&with("é".as_bytes().split_last().unwrap().1), &["byte 0"]);
    contains(&refused(&["train", "--data", "no/such/file.txt"], 1), &["cannot read", "no/such/file.txt"]);
    contains(&refused(&["train", "--data", folder.path().to_str().unwrap()], 1), &["cannot read"]);
    assert!(!Path::new(&out).exists(), "nothing is written for a text that cannot be learnt");
}

#[test]
fn sizes_and_numbers_that_make_no_sense() {
    let (_folder, text, out) = folder();
    let with = |flags: &str| {
        let mut arguments = vec!["train", "--data", &text, "--out", &out];
        arguments.extend(flags.split(' '));
        refused(&arguments, 2)
    };
    contains(&with("--heads 3"), &["heads 3: does not divide the width 128"]);
    for zero in
        ["layers", "heads", "width", "context", "batch", "grad-accum", "eval-every", "eval-batches", "log-every"]
    {
        contains(&with(&format!("--{zero} 0")), &[&format!("{zero} 0: must be at least 1")]);
    }
    for flag in ["layers", "heads", "width", "context", "batch", "steps", "warmup", "seed", "threads", "stop-at"] {
        contains(&with(&format!("--{flag} -1")), &["'-1'", &format!("--{flag}"), "whole number"]);
        contains(&with(&format!("--{flag} 99999999999999999999999")), &[&format!("--{flag}"), "whole number"]);
    }
    for flag in ["lr", "min-lr", "weight-decay", "dropout", "clip", "beta1", "beta2"] {
        contains(&with(&format!("--{flag} -0.5")), &[&format!("{flag} -0.5: must be")]);
        contains(&with(&format!("--{flag} NaN")), &["'NaN'", &format!("--{flag}"), "finite number"]);
        contains(&with(&format!("--{flag} inf")), &["'inf'", &format!("--{flag}")]);
    }
    contains(&with("--dropout 1"), &["dropout 1: must be at least 0 and below 1"]);
    contains(&with("--lr 0.001 --min-lr 0.1"), &["min-lr 0.1: must not be above the learning rate"]);
    contains(&with("--beta2 0.99999999999"), &["beta2 0.99999999999: must be at least 0 and below 1", "1 in f32"]);
    contains(&with("--lr 1e39"), &["lr 1000", "must be a finite number", "inf in f32"]);
    contains(&with("--weight-decay 1e39"), &["weight-decay 1000", "must be a finite number", "inf in f32"]);
    contains(&with("--steps 10 --warmup 11"), &["warmup 11: is more than the 10 steps"]);
    contains(&with("--steps 10 --stop-at 11"), &["stop-at 11: is after the last step, 10"]);
    contains(&with("--threads 0"), &["threads 0: must be from 1 to 1024"]);
    contains(&with("--width 18446744073709551615"), &["width 18446744073709551615: must be at most"]);
    contains(&with("--width 1048576 --heads 1"), &["memory of about", "GiB", "choose smaller"]);
    contains(&with("--batch 16777216"), &["memory of about"]);
    contains(&with("--context 1000000000000"), &["context 1000000000000: must be at most"]);
    contains(&with("--nonsense 1"), &["unexpected argument '--nonsense'"]);
    contains(&with("--preset huge"), &["huge", "demo, small, large"]);
    assert!(!Path::new(&out).exists(), "nothing is written for settings that make no sense");
}

#[test]
fn folders_that_cannot_be_written() {
    let (_folder, text, _) = folder();
    let below_a_file = format!("{text}/run");
    contains(&refused(&["train", "--data", &text, "--out", &below_a_file], 1), &["cannot create", &below_a_file]);
    contains(&refused(&["train", "--data", &text, "--out", &text], 1), &["cannot", &text]);
    if cfg!(target_os = "linux") {
        contains(&refused(&["train", "--data", &text, "--out", "/proc/run"], 1), &["cannot create /proc/run"]);
    }
}

#[test]
fn models_that_are_not_there() {
    let (folder, text, out) = folder();
    let empty = folder.path().to_str().unwrap();
    for arguments in [
        &["sample", "--model", empty][..],
        &["eval", "--model", empty, "--data", &text],
        &["inspect", "--model", empty],
        &["train", "--data", &text, "--out", empty, "--resume"],
        &["train", "--data", &text, "--out", &out, "--resume"],
    ] {
        contains(&refused(arguments, 1), &["no model in", "is missing", "gradus train"]);
    }
    contains(&refused(&["sample"], 2), &["--model <DIR>"]);
}

#[test]
fn models_that_are_damaged_or_foreign() {
    let (folder, text, _) = folder();
    let dir = folder.path().join("model");
    let name = dir.to_str().unwrap().to_string();
    let damage = |file: &str, change: &dyn Fn(&[u8]) -> Vec<u8>| {
        let _ = fs::remove_dir_all(&dir); // what was damaged is not replaced
        write_model(&dir);
        let path = dir.join(file);
        let good = fs::read(&path).unwrap();
        fs::write(&path, change(&good)).unwrap();
        refused(&["inspect", "--model", &name], 1)
    };
    for length in [0, 1, 8, 40] {
        contains(&damage("model.safetensors", &|good| good[..length].to_vec()), &["model.safetensors is damaged"]);
        contains(&damage("config.json", &|good| good[..length].to_vec()), &["config.json is damaged"]);
    }
    let short = damage("model.safetensors", &|good| good[..good.len() - 1].to_vec());
    contains(&short, &["it is shorter or longer than its header says"]);
    contains(
        &damage("model.safetensors", &|_| b"PK\x03\x04 a zip file, or anything else".to_vec()),
        &["damaged or not a file"],
    );
    contains(
        &damage("config.json", &|_| br#"{"hidden_size": 768}"#.to_vec()),
        &["config.json is damaged or not a file"],
    );
    contains(&damage("config.json", &|_| vec![0xff; 9]), &["not UTF-8"]);
    let edit = |from: &'static str, to: &'static str| {
        move |good: &[u8]| String::from_utf8_lossy(good).replace(from, to).into_bytes()
    };
    contains(
        &damage("config.json", &edit("\"heads\": 4", "\"heads\": 5")),
        &["config.json", "heads 5: does not divide"],
    );
    contains(&damage("config.json", &edit("\"heads\": 4", "\"heads\": 0")), &["config.json", "heads 0"]);
    contains(&damage("config.json", &edit("\"layers\": 4", "\"layers\": -4")), &["config.json"]);
    contains(&damage("config.json", &edit("\"vocab_size\": 5", "\"vocab_size\": 6")), &["the vocabulary has 5 tokens"]);
    contains(&damage("config.json", &edit("\\n abc", "abca")), &["the vocabulary is not in order"]);
    contains(&damage("config.json", &edit("\"lr\": 0.001", "\"lr\": 1e999")), &["config.json is damaged"]);
    contains(&refused(&["sample", "--model", &text], 1), &["cannot read", "text.txt/config.json"]);
}

#[test]
fn a_text_of_one_token_has_no_loss() {
    let (folder, text, _) = folder();
    let dir = folder.path().join("model");
    write_model(&dir);
    fs::write(&text, "a").unwrap();
    let error = refused(&["eval", "--model", dir.to_str().unwrap(), "--data", &text], 1);
    contains(&error, &["text.txt is too short: a loss needs at least two tokens", "give a longer text"]);
    assert!(!error.contains("--"), "`eval` has no flag that would help: {error}");
}

#[cfg(unix)]
#[test]
fn a_file_name_with_line_breaks_and_escapes_stays_on_one_line() {
    let error = refused(&["train", "--data", "no\nsuch\u{1b}[2J.txt"], 1);
    contains(&error, &["cannot read", r"no\nsuch\u{1b}[2J.txt: No such file", "; check the path"]);
    contains(&refused(&["sample", "--model", "my run"], 1), &["`gradus train --out 'my run'`"]);
}

#[test]
fn prompts_and_texts_with_unknown_characters() {
    let (folder, text, _) = folder();
    let dir = folder.path().join("model");
    write_model(&dir);
    let model = dir.to_str().unwrap();
    let error = refused(&["sample", "--model", model, "--prompt", "a 天"], 1);
    contains(&error, &["does not know the character '天'", "5 characters such as abc"]);
    contains(&refused(&["eval", "--model", model, "--data", &text], 1), &["does not know the character 't'"]);
}

#[test]
fn sampling_that_makes_no_sense() {
    let (folder, ..) = folder();
    let dir = folder.path().join("model");
    write_model(&dir);
    let with = |flags: &[&str]| refused(&[&["sample", "--model", dir.to_str().unwrap()], flags].concat(), 2);
    contains(&with(&["--temperature", "-1"]), &["temperature -1: must be a finite number of 0 or more"]);
    contains(&with(&["--temperature", "NaN"]), &["'NaN'", "--temperature"]);
    contains(&with(&["--top-k", "0"]), &["top-k 0: must be at least 1"]);
    contains(&with(&["--top-p", "0"]), &["top-p 0: must be above 0"]);
    contains(&with(&["--top-p", "1.01"]), &["top-p 1.01"]);
    contains(&with(&["--tokens", "-5"]), &["'-5'", "--tokens"]);
    contains(&with(&["--threads", "5000"]), &["threads 5000"]);
}

#[test]
fn a_resumed_run_refuses_what_contradicts_it() {
    let (folder, ..) = folder();
    let dir = folder.path().join("model");
    write_model(&dir);
    let with = |flags: &[&str]| refused(&[&["train", "--resume", "--out", dir.to_str().unwrap()], flags].concat(), 2);
    contains(&with(&["--layers", "2"]), &["--layers 2 contradicts the saved run, which has 4"]);
    contains(&with(&["--lr", "0.5"]), &["--lr 0.5 contradicts the saved run, which has 0.001"]);
    contains(&with(&["--seed", "7", "--threads", "2"]), &["--seed 7 contradicts", "1337"]);
    contains(&with(&["--tokenizer", "byte"]), &["--tokenizer byte contradicts", "char"]);
    contains(&with(&["--stop-at", "2001"]), &["stop-at 2001: is after the last step, 2000"]);
}

#[test]
fn a_resumed_run_refuses_another_text() {
    let (folder, text, out) = folder();
    let dir = Path::new(&out);
    write_model(dir);
    let mut run = RunConfig::load(dir).unwrap();
    run.train.data.path = Some(folder.path().join("text.txt"));
    run.train.data.fingerprint = "2205 bytes, 0000000000000000".into();
    run.save(&Disk, dir).unwrap();
    let error = refused(&["train", "--resume", "--out", &out, "--data", &text], 1);
    contains(&error, &["text.txt has changed since the run began", "2205 bytes"]);
}

/// What `gradus` says with the variable set to nothing, as a script does whose own variable is unset.
fn empty_isa() -> String {
    let output = gradus().env("GRADUS_ISA", "").args(["inspect", "--model", "x"]).output().unwrap();
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn an_instruction_set_that_is_none() {
    let output = gradus().env("GRADUS_ISA", "sse9").args(["inspect", "--model", "x"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        errors,
        "error: GRADUS_ISA=sse9: no such instruction set; unset the variable, or set it to portable, avx2, avx512, \
         avx512bf16 or amx\n"
    );
    contains(&empty_isa(), &["no model in x"]);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let (folder, ..) = folder();
    let dir = folder.path().join("model");
    write_model(&dir);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let child = std::process::Command::new(env!("CARGO_BIN_EXE_gradus"))
        .args(["inspect", "--model", dir.to_str().unwrap()])
        .stdout(writer)
        .stderr(std::process::Stdio::piped())
        .spawn();
    let output = child.unwrap().wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn help_says_what_the_program_does_and_names_every_command_and_flag() {
    let help = |arguments: &[&str]| String::from_utf8(gradus().args(arguments).output().unwrap().stdout).unwrap();
    let whole = help(&["--help"]);
    assert!(whole.starts_with("Train a GPT language model on a text file"), "{whole}");
    contains(&whole, &["train", "sample", "eval", "inspect", "play", "gradus train --data book.txt"]);
    assert!(help(&["-h"]).starts_with("Train a GPT language model on a text file"));
    contains(&help(&["train", "--help"]), &["--stop-at", "--grad-accum", "--weight-decay", "[default: out/PRESET]"]);
    contains(&help(&["--version"]), &["gradus 0."]);
    for command in ["train", "sample", "eval", "inspect", "play"] {
        let text = help(&[command, "--help"]);
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        assert!(text.lines().all(|line| line.matches("[default: ").count() <= 1), "{text}");
    }
}
