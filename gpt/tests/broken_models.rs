//! Model folders that were torn, mixed up or filled by other programs, and disks that are full: one line, an exit code,
//! and nothing that was good before is lost.

mod common;

use common::{Place, contains, refused, succeeds};
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

/// A model of 10 steps of 20, trained once; each test breaks a copy of its own.
fn copy(name: &str) -> (&'static Place, String) {
    static PLACE: OnceLock<Place> = OnceLock::new();
    let place = PLACE.get_or_init(|| {
        let place = Place::new();
        succeeds(place.train("run", "--steps 20 --stop-at 10"));
        place
    });
    fs::create_dir_all(place.path(name)).unwrap();
    for entry in fs::read_dir(place.path("run")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), place.path(name).join(entry.file_name())).unwrap();
    }
    (place, name.to_string())
}

/// What every command that needs the weights says to this folder: the same line.
fn all_refuse(place: &Place, name: &str) -> String {
    let text = place.text();
    let eval = ["--data", text.to_str().unwrap()];
    let error = refused(place.with_model(name, "sample", &["--tokens", "3"]), 1);
    assert_eq!(refused(place.with_model(name, "eval", &eval), 1), error);
    assert_eq!(refused(place.with_model(name, "inspect", &[]), 1), error);
    assert_eq!(refused(place.resume(name, ""), 1), error);
    error
}

fn edit(dir: &Path, file: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let path = dir.join(file);
    fs::write(&path, change(fs::read(&path).unwrap())).unwrap();
}

#[test]
fn truncated_weights() {
    let (place, name) = copy("truncated");
    let whole = place.model_bytes(&name);
    for length in [0, 1, 7, 8, 200, whole.len() / 2, whole.len() - 1] {
        edit(&place.path(&name), "model.safetensors", |_| whole[..length].to_vec());
        contains(&all_refuse(place, &name), &["model.safetensors is damaged or not a file of gradus"]);
    }
    edit(&place.path(&name), "model.safetensors", |_| whole);
    succeeds(place.with_model(&name, "sample", &["--tokens", "3"]));
}

#[test]
fn foreign_weights() {
    let (place, name) = copy("foreign");
    let view =
        |shape: Vec<usize>, bytes| safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, bytes).unwrap();
    let other = safetensors::serialize([("transformer.wte.weight", view(vec![1], &[0; 4]))], None).unwrap();
    edit(&place.path(&name), "model.safetensors", |_| other);
    contains(&all_refuse(place, &name), &["model.safetensors", "parameter", "token_embedding.weight"]);
    edit(&place.path(&name), "model.safetensors", |_| b"PK\x03\x04 a zip file".to_vec());
    contains(&all_refuse(place, &name), &["model.safetensors is damaged or not a file of gradus"]);
    edit(&place.path(&name), "model.safetensors", |_| vec![0xff; 4096]);
    contains(&all_refuse(place, &name), &["model.safetensors is damaged or not a file of gradus"]);
}

#[test]
fn weights_that_are_not_finite() {
    let (place, name) = copy("nan");
    edit(&place.path(&name), "model.safetensors", |mut bytes| {
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        bytes
    });
    contains(&all_refuse(place, &name), &["model.safetensors", "not finite"]);
}

#[test]
fn a_config_whose_sizes_do_not_match_the_weights() {
    let (place, name) = copy("sizes");
    let original = fs::read(place.path(&name).join("config.json")).unwrap();
    let with = |from: &str, to: &str| {
        let text = String::from_utf8(original.clone()).unwrap();
        assert!(text.contains(from), "{from} in {text}");
        edit(&place.path(&name), "config.json", |_| text.replacen(from, to, 1).into_bytes());
        all_refuse(place, &name)
    };
    let saved_with =
        |saved: &str, found: &str| format!("these weights were saved with {saved}, but config.json says {found}");
    contains(&with("\"width\": 16", "\"width\": 32"), &[&saved_with("width 16", "width 32")]);
    contains(&with("\"context\": 16", "\"context\": 8"), &[&saved_with("context 16", "context 8")]);
    contains(&with("\"layers\": 1", "\"layers\": 2"), &[&saved_with("layers 1", "layers 2")]);
    contains(&with("\"bias\": false", "\"bias\": true"), &[&saved_with("bias false", "bias true")]);
    // All shapes fit, and it would be another model: heads that divide the width, and characters in place of others.
    contains(&with("\"heads\": 2", "\"heads\": 4"), &[&saved_with("heads 2", "heads 4")]);
    contains(&with("\"heads\": 2", "\"heads\": 1"), &[&saved_with("heads 2", "heads 1")]);
    edit(&place.path(&name), "config.json", |_| {
        String::from_utf8(original.clone()).unwrap().replacen("tuwy", "tuwz", 1).into_bytes()
    });
    let error = refused(place.with_model(&name, "sample", &["--tokens", "3"]), 1);
    contains(&error, &["these weights were saved with tokenizer "]);
    contains(&with("\"heads\": 2", "\"heads\": 3"), &["config.json", "heads 3: does not divide the width 16"]);
    contains(&with("\"heads\": 2", "\"heads\": 0"), &["config.json", "heads 0"]);
    contains(
        &with("\"vocab_size\": 41", "\"vocab_size\": 42"),
        &["the tokenizer (char) does not fit the model: vocab_size is 42, but the vocabulary has 41 tokens"],
    );
    contains(&with("\"width\": 16", "\"width\": 1e99"), &["config.json is damaged"]);
    contains(&with("\"width\": 16", "\"width\": 18446744073709551615"), &["config.json"]);
}

/// Weights of other programs, and of older versions, do not say what they were saved with: then their shapes have to fit.
#[test]
fn shapes_that_do_not_match_the_config() {
    let (place, name) = copy("shapes");
    let path = place.path(&name).join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let old = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let metadata = std::collections::HashMap::from([("step".to_string(), "10".to_string())]);
    fs::write(&path, safetensors::serialize(old.tensors(), Some(metadata)).unwrap()).unwrap();
    succeeds(place.with_model(&name, "sample", &["--tokens", "3"]));
    let original = fs::read(place.path(&name).join("config.json")).unwrap();
    let with = |from: &str, to: &str| {
        let text = String::from_utf8(original.clone()).unwrap();
        edit(&place.path(&name), "config.json", |_| text.replacen(from, to, 1).into_bytes());
        all_refuse(place, &name)
    };
    contains(
        &with("\"width\": 16", "\"width\": 32"),
        &["token_embedding.weight has shape [41, 16], but config.json asks for [41, 32]"],
    );
    contains(
        &with("\"context\": 16", "\"context\": 8"),
        &["position_embedding.weight has shape [16, 16], but config.json asks for [8, 16]"],
    );
    contains(&with("\"layers\": 1", "\"layers\": 2"), &["blocks.1.", "parameter"]);
    contains(&with("\"bias\": false", "\"bias\": true"), &["bias", "parameter"]);
}

/// A config with fewer blocks than the weights have would silently leave half of a model out.
#[test]
fn weights_that_the_config_does_not_ask_for() {
    let place = Place::new();
    succeeds(place.train("deep", "--steps 1 --warmup 0 --layers 2"));
    edit(&place.path("deep"), "config.json", |bytes| {
        String::from_utf8(bytes).unwrap().replacen("\"layers\": 2", "\"layers\": 1", 1).into_bytes()
    });
    contains(&all_refuse(&place, "deep"), &["model.safetensors", "saved with layers 2, but config.json says layers 1"]);
}

#[test]
fn a_config_that_is_missing_or_something_else() {
    let (place, name) = copy("config");
    for (content, says) in [
        (&b"{}"[..], "config.json is damaged or not a file of gradus"),
        (b"", "config.json is damaged or not a file of gradus"),
        (b"\xff\xfe", "not UTF-8"),
        (br#"{"architectures": ["GPT2LMHeadModel"]}"#, "config.json is damaged or not a file of gradus"),
    ] {
        edit(&place.path(&name), "config.json", |_| content.to_vec());
        contains(&all_refuse(place, &name), &[says]);
    }
    fs::remove_file(place.path(&name).join("config.json")).unwrap();
    contains(&all_refuse(place, &name), &["no model in ", "config.json is missing"]);
}

#[test]
fn weights_that_are_missing() {
    let (place, name) = copy("weights");
    fs::remove_file(place.path(&name).join("model.safetensors")).unwrap();
    contains(&all_refuse(place, &name), &["no model in ", "model.safetensors is missing"]);
}

#[test]
fn an_optimiser_state_that_is_missing_or_torn_stops_resuming_only() {
    let (place, name) = copy("moments");
    let dir = place.path(&name);
    edit(&dir, "optimizer-10.safetensors", |bytes| bytes[..bytes.len() - 3].to_vec());
    contains(&refused(place.resume(&name, ""), 1), &["optimizer-10.safetensors is damaged"]);
    fs::remove_file(dir.join("optimizer-10.safetensors")).unwrap();
    contains(&refused(place.resume(&name, ""), 1), &["the state of the optimiser at its step 10", "is missing"]);
    succeeds(place.with_model(&name, "sample", &["--tokens", "3"]));
}

#[test]
fn metrics_of_another_program() {
    let (place, name) = copy("metrics");
    edit(&place.path(&name), "metrics.jsonl", |_| b"epoch,loss\n1,2.5\n2,2.4\n".to_vec());
    contains(&refused(place.resume(&name, ""), 1), &["metrics.jsonl is damaged or not a file of gradus: line 1"]);
    // A last line that was cut off is what a crash leaves: it is dropped.
    let (place, name) = copy("cut-metrics");
    edit(&place.path(&name), "metrics.jsonl", |bytes| bytes[..bytes.len() - 9].to_vec());
    succeeds(place.resume(&name, ""));
}

#[test]
fn pictures_and_folders_that_cannot_be_written() {
    let (place, name) = copy("unwritable");
    let below_a_file = place.text().join("picture.svg");
    let error = refused(place.with_model(&name, "inspect", &["--out", below_a_file.to_str().unwrap()]), 1);
    contains(&error, &["cannot write", "text.txt/picture.svg"]);
    fs::create_dir(place.path(&name).join("metrics.jsonl.gradus.tmp")).unwrap(); // in the way of the metrics
    contains(&refused(place.resume(&name, ""), 1), &["cannot ", "metrics.jsonl"]);
}

#[cfg(target_os = "linux")]
#[test]
fn standard_output_on_a_full_disk() {
    let (place, name) = copy("full");
    for (command, flags) in [("sample", &["--tokens", "3"][..]), ("inspect", &[])] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = place.with_model(&name, command, flags);
        command.stdout(full);
        contains(&refused(command, 1), &["cannot write to standard output", "No space left on device"]);
    }
}

/// A limit on the size of files is the next best thing to a full disk that needs no privileges: a save fails half way.
#[cfg(unix)]
#[test]
fn a_save_that_fails_says_so_and_keeps_the_checkpoint_before() {
    let (place, name) = copy("limit");
    let before = place.model_bytes(&name);
    let limited = |command: std::process::Command| {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$0\" \"$@\""]);
        shell.arg(command.get_program()).args(command.get_args());
        shell
    };
    contains(&refused(limited(place.resume(&name, "")), 1), &["cannot write", ".safetensors", "large"]);
    assert!(place.model_bytes(&name) == before, "the checkpoint before is as it was");
    contains(&refused(limited(place.train("limited", "--steps 3 --warmup 0")), 1), &["cannot write", "large"]);

    succeeds(place.resume(&name, ""));
    succeeds(place.train("undisturbed", "--steps 20"));
    assert!(place.model_bytes(&name) == place.model_bytes("undisturbed"), "it goes on as if nothing had happened");
}
