//! Whose files are whose, and where an earlier run goes. Crashes at every point of the move are in `tests/durability.rs`.

use super::*;
use crate::{
    checkpoint::{Checkpoint, LOSS_PLOT, NamedArray},
    config::{self, FORMAT, RunConfig},
    files::Disk,
    metrics,
    preset::Preset,
    tokenizer::{Tokenizer, TokenizerKind},
};
use std::fs;
use tempfile::TempDir;

fn run() -> RunConfig {
    let (mut model, train, _) = Preset::Small.settings();
    let tokenizer = Tokenizer::new(TokenizerKind::Char, "abc\n");
    model.vocab_size = 4;
    RunConfig { format: FORMAT, model, train, tokenizer }
}

const METRIC: &str =
    r#"{"step":1,"train_loss":2.5,"val_loss":null,"lr":0.1,"grad_norm":1.0,"tokens_per_second":1.0,"elapsed_s":1.0}"#;

/// All that a run leaves, with a weight that says which run it is.
fn fill(dir: &Path, weight: f32) {
    fs::create_dir_all(dir).unwrap();
    run().save(&Disk, dir).unwrap();
    let array = [NamedArray { name: "a", shape: &[1], data: &[weight] }];
    Checkpoint { step: 5, meaning: "", model: &array, optimizer: &array }.save(&Disk, dir).unwrap();
    fs::write(dir.join(metrics::FILE), format!("{METRIC}\n")).unwrap();
    ownership::write_picture(&Disk, &dir.join(LOSS_PLOT), "<svg width=\"1\"></svg>\n").unwrap();
    ownership::write_picture(&Disk, &dir.join(names::ATTENTION_MAP), "<svg></svg>\n").unwrap();
}

const RUN: [&str; 6] = [MODEL, names::ATTENTION_MAP, config::FILE, LOSS_PLOT, metrics::FILE, "optimizer-5.safetensors"];

/// The contents of a folder, by path below it.
fn tree(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for name in files::names(dir).unwrap() {
        let path = dir.join(&name);
        if path.is_dir() {
            all.extend(tree(&path).into_iter().map(|(below, content)| (format!("{name}/{below}"), content)));
            all.push((name, Vec::new()));
        } else if name != lock::FILE {
            all.push((name, fs::read(path).unwrap()));
        }
    }
    all.sort();
    all
}

fn begin(dir: &Path) -> Result<Option<PathBuf>> {
    RunFolder::begin(&Disk, dir).map(|(_, earlier)| earlier)
}

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("run");
    (folder, dir)
}

#[test]
fn earlier_runs_are_kept_side_by_side_and_numbered() {
    let (_folder, dir) = folder();
    assert_eq!(begin(&dir).unwrap(), None);
    for (run, weight) in [(1, 1.0), (2, 2.0), (3, 3.0)] {
        fill(&dir, weight);
        let mut before: Vec<_> = tree(&dir);
        before.retain(|(name, _)| !name.starts_with("earlier-"));
        let earlier = dir.join(format!("earlier-{run}"));
        assert_eq!(begin(&dir).unwrap().unwrap(), earlier);
        assert_eq!(tree(&earlier), before, "all of it is there, and nothing else");
        assert!(ownership::files_of_the_run(&dir).unwrap().is_empty());
    }
    assert_eq!(begin(&dir).unwrap(), None, "nothing is left to move");
    assert_eq!(tree(&dir).iter().filter(|(name, _)| name.ends_with(MODEL)).count(), 3);
}

#[test]
fn the_weights_come_first_and_the_lock_is_of_no_run() {
    let (_folder, dir) = folder();
    fill(&dir, 1.0);
    drop(RunFolder::resume(&dir).unwrap());
    assert_eq!(ownership::files_of_the_run(&dir).unwrap(), RUN);
}

#[test]
fn a_folder_that_is_taken_is_refused_and_left_as_it_is() {
    let (_folder, dir) = folder();
    fill(&dir, 1.0);
    let before = tree(&dir);
    let first = RunFolder::resume(&dir).unwrap();
    assert!(matches!(begin(&dir), Err(Error::InUse { .. })));
    assert!(matches!(RunFolder::resume(&dir), Err(Error::InUse { .. })));
    assert!(matches!(check(&dir), Err(Error::InUse { .. })));
    assert_eq!(tree(&dir), before);
    drop(first);
    check(&dir).unwrap();
    begin(&dir).unwrap();
}

/// Each name that a run writes, with content that is not of gradus: it is named, and nothing in the folder changes.
#[test]
fn a_foreign_file_in_the_way_is_named_and_nothing_changes() {
    let foreign = [
        (config::FILE, "{\"mine\":1}"),
        (config::FILE, ""),
        (config::FILE, "{\"format\":1,\"model\":\"gpt2\",\"train\":{},\"tokenizer\":{}}"),
        (MODEL, "PK a zip file, or anything else"),
        ("optimizer-7.safetensors", ""),
        (metrics::FILE, "epoch,loss\n1,2.5\n"),
        (metrics::FILE, "{\"step\":1,\"loss\":2.5}\n"),
        (metrics::FILE, "{\"loss\":2.5}"),
        (LOSS_PLOT, "<svg>my picture</svg>"),
        (names::ATTENTION_MAP, "<svg>my picture</svg>"),
        (lock::FILE, "mine"),
    ];
    for with_a_run in [false, true] {
        for (name, content) in foreign {
            let (_folder, dir) = folder();
            fs::create_dir(&dir).unwrap();
            if with_a_run {
                fill(&dir, 1.0);
            }
            fs::write(dir.join(name), content).unwrap();
            let before = tree(&dir);
            let error = begin(&dir).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{} is in the way", dir.join(name).display())), "{error}");
            assert!(error.contains("move it elsewhere or choose another --out") && !error.contains('\n'), "{error}");
            assert_eq!(tree(&dir), before);
            assert!(dir.join(lock::FILE).exists() == (name == lock::FILE), "not even a lock is made");
        }
    }
    let (_folder, dir) = folder();
    fs::create_dir_all(dir.join(LOSS_PLOT)).unwrap();
    assert!(matches!(begin(&dir), Err(Error::Foreign { .. })), "a folder of that name is foreign too");
}

#[test]
fn what_is_nobodys_business_stays_where_it_is() {
    let (_folder, dir) = folder();
    fill(&dir, 1.0);
    fs::create_dir_all(dir.join("previous")).unwrap(); // of an older version, or of anybody
    fs::create_dir_all(dir.join("earlier-1")).unwrap();
    let others = ["notes.txt", "notes.tmp", "optimizer-mine.safetensors", "previous/notes.txt", "earlier-1/mine.txt"];
    for name in others {
        fs::write(dir.join(name), name).unwrap();
    }
    assert_eq!(begin(&dir).unwrap().unwrap(), dir.join("earlier-2"), "the first that is free");
    for name in others {
        assert_eq!(fs::read_to_string(dir.join(name)).unwrap(), name);
    }
    assert_eq!(files::names(&dir.join("earlier-1")).unwrap(), ["mine.txt"]);
}

/// As versions before this one left it: no marks, no word on the model, perhaps no line of metrics yet.
#[test]
fn a_run_of_an_older_version_is_ours() {
    for metrics_text in ["", "{\"st", "{\"step\":1,\"train_l", METRIC] {
        let (_folder, dir) = folder();
        fill(&dir, 1.0);
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &[0; 4]).unwrap();
        let metadata = std::collections::HashMap::from([("step".to_string(), "5".to_string())]);
        let weights = safetensors::serialize([("a", view)], Some(metadata)).unwrap();
        fs::write(dir.join(MODEL), &weights).unwrap();
        fs::write(dir.join("optimizer-5.safetensors"), &weights).unwrap();
        fs::write(dir.join(metrics::FILE), metrics_text).unwrap();
        fs::write(dir.join(LOSS_PLOT), "<svg ...>\ncross-entropy in nats per token\n</svg>").unwrap();
        fs::write(dir.join(names::ATTENTION_MAP), "<svg ...>\n<text>Where each head looks</text>\n</svg>").unwrap();
        assert_eq!(begin(&dir).unwrap().unwrap(), dir.join("earlier-1"));
        assert_eq!(files::names(&dir.join("earlier-1")).unwrap().len(), RUN.len());
    }
}

#[test]
fn the_files_of_a_newer_version_are_ours_too() {
    let (_folder, dir) = folder();
    fill(&dir, 1.0);
    let text = fs::read_to_string(dir.join(config::FILE)).unwrap();
    fs::write(dir.join(config::FILE), text.replacen("\"format\": 1", "\"format\": 2, \"license\": \"MIT\"", 1))
        .unwrap();
    let weights = fs::read(dir.join(MODEL)).unwrap();
    let at = weights.windows(9).position(|part| part == b"\"gradus\":").unwrap() + 10;
    fs::write(dir.join(MODEL), [&weights[..at], b"2", &weights[at + 1..]].concat()).unwrap();
    assert_eq!(begin(&dir).unwrap().unwrap(), dir.join("earlier-1"));
}

#[test]
fn pictures_are_marked_and_stay_pictures() {
    let (_folder, dir) = folder();
    fs::create_dir(&dir).unwrap();
    let path = dir.join(LOSS_PLOT);
    ownership::write_picture(&Disk, &path, "<svg width=\"9\">\n<text>a</text>\n</svg>\n").unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, "<svg width=\"9\">\n<!-- drawn by gradus -->\n<text>a</text>\n</svg>\n");
    ownership::write_picture(&Disk, &path, "<svg></svg>").unwrap();
}

#[test]
fn a_folder_that_cannot_be_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = begin(&file.join("run")).unwrap_err().to_string();
    assert!(error.starts_with("cannot create ") && error.contains("file/run"), "{error}");
    assert!(begin(&file).is_err());
    assert!(matches!(RunFolder::resume(folder.path()), Err(Error::NoCheckpoint { .. })));
}
