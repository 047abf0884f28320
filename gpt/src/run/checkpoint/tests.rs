//! What a checkpoint must survive: truncation at any byte, saves that fail, and other files. Crashes at every point of a
//! save are in `tests/durability.rs`.

mod weights;

use super::*;
use crate::files::Disk;
use safetensors::{Dtype, tensor::TensorView};
use std::fs;
use tempfile::TempDir;

const SHAPES: [(&str, &[usize]); 3] = [("a.weight", &[3, 2]), ("b.bias", &[5]), ("c", &[])];

fn arrays(step: u64) -> Vec<Vec<f32>> {
    SHAPES
        .iter()
        .map(|(_, shape)| (0..shape.iter().product()).map(|i| (i as f32 + 0.5) * step as f32).collect())
        .collect()
}

fn expected() -> Vec<Expected> {
    SHAPES.iter().map(|(name, shape)| Expected { name: name.to_string(), shape: shape.to_vec() }).collect()
}

fn save(dir: &Path, step: u64, meaning: &str) -> Result<()> {
    let data = arrays(step);
    let named: Vec<_> =
        SHAPES.iter().zip(&data).map(|((name, shape), data)| NamedArray { name, shape, data }).collect();
    Checkpoint { step, meaning, model: &named, optimizer: &named }.save(&Disk, dir)
}

const MEANING: &str = "layers 1, heads 4, tokenizer 12";

fn save_step(dir: &Path, step: u64) {
    save(dir, step, MEANING).unwrap();
}

/// The step and the arrays of the model.
fn load(dir: &Path, expected: &[Expected]) -> Result<(Option<u64>, Vec<Vec<f32>>)> {
    let mut arrays = Vec::new();
    let step = load_model(dir, MEANING, expected, |_, array| arrays.push(array))?;
    Ok((step, arrays))
}

fn load_moments(dir: &Path, step: u64) -> Result<Vec<Vec<f32>>> {
    let mut arrays = Vec::new();
    load_optimizer(dir, step, MEANING, &expected(), |_, array| arrays.push(array))?;
    Ok(arrays)
}

/// The step that the folder stands at, after a check that weights and moments are both of that step.
fn step_of(dir: &Path) -> u64 {
    let (step, model) = load(dir, &expected()).unwrap();
    let step = step.unwrap();
    assert_eq!(model, arrays(step));
    assert_eq!(load_moments(dir, step).unwrap(), arrays(step));
    step
}

fn folder_at(step: u64) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    save_step(folder.path(), step);
    folder
}

fn files_in(dir: &Path) -> Vec<String> {
    files::names(dir).unwrap()
}

#[test]
fn a_save_replaces_the_one_before() {
    let folder = folder_at(5);
    assert_eq!(step_of(folder.path()), 5);
    save_step(folder.path(), 9);
    assert_eq!(step_of(folder.path()), 9);
    assert_eq!(files_in(folder.path()), [MODEL, "optimizer-9.safetensors"]);
    let types = stored_types(folder.path()).unwrap();
    assert!(types.len() == expected().len() && types.values().all(|dtype| *dtype == Dtype::F32));
    assert!(expected().iter().all(|array| types.contains_key(&array.name)));
}

#[test]
fn the_same_state_makes_the_same_bytes() {
    let (one, two) = (folder_at(5), folder_at(5));
    for name in [MODEL, "optimizer-5.safetensors"] {
        assert_eq!(fs::read(one.path().join(name)).unwrap(), fs::read(two.path().join(name)).unwrap());
    }
}

#[test]
fn a_truncated_file_is_refused_at_every_length() {
    let folder = folder_at(5);
    for name in [MODEL, "optimizer-5.safetensors"] {
        let path = folder.path().join(name);
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let result = load(folder.path(), &expected()).and_then(|_| load_moments(folder.path(), 5));
            let error = result.expect_err("a truncated file");
            assert!(matches!(&error, Error::Damaged { path: named, .. } if *named == path), "{length}: {error}");
            assert!(!error.to_string().contains('\n'));
        }
        fs::write(&path, &whole).unwrap();
    }
    assert_eq!(step_of(folder.path()), 5);
}

#[test]
fn missing_and_foreign_files_are_told_apart() {
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(load(empty.path(), &[]), Err(Error::NoCheckpoint { file: MODEL, .. })));
    let folder = folder_at(5);
    fs::remove_file(folder.path().join("optimizer-5.safetensors")).unwrap();
    let error = load_moments(folder.path(), 5).unwrap_err().to_string();
    assert!(error.contains("step 5") && error.contains("is missing"), "{error}");
    save_step(folder.path(), 6);
    fs::rename(folder.path().join("optimizer-6.safetensors"), folder.path().join("optimizer-7.safetensors")).unwrap();
    let error = load_moments(folder.path(), 7).unwrap_err().to_string();
    assert!(error.contains("it is not of step 7, as its name says"), "{error}");
    for foreign in [&b"PK\x03\x04 this is a zip file, not a model at all"[..], b"hello", &[255; 100], &[0; 100]] {
        fs::write(folder.path().join(MODEL), foreign).unwrap();
        let error = load(folder.path(), &expected()).unwrap_err().to_string();
        assert!(error.contains("model.safetensors is damaged or not a file of gradus"), "{error}");
    }
}

#[test]
fn parameters_that_do_not_match_are_named() {
    let folder = folder_at(5);
    let with = |change: &dyn Fn(&mut Vec<Expected>)| {
        let mut expected = expected();
        change(&mut expected);
        load(folder.path(), &expected).unwrap_err().to_string()
    };
    let shape = with(&|expected| expected[0].shape = vec![2, 3]);
    assert!(shape.contains("a.weight has shape [3, 2], but config.json asks for [2, 3]"), "{shape}");
    assert!(with(&|expected| expected[1].name = "d".into()).contains("the parameter d is missing"));
    assert!(with(&|expected| drop(expected.pop())).contains("has no parameter c"));
}

#[test]
fn a_state_that_could_not_be_loaded_is_not_saved() {
    for (wild, where_) in [(f32::NAN, 0), (f32::INFINITY, 1), (f32::NEG_INFINITY, 1)] {
        let folder = folder_at(5);
        let shape = [2];
        let data = [[1.0, 2.0], [1.0, wild]];
        let array = |name, i: usize| NamedArray { name, shape: &shape, data: &data[i] };
        let (model, optimizer) = ([array("a", 1 - where_)], [array("m/a", where_)]);
        let error = Checkpoint { step: 9, meaning: MEANING, model: &model, optimizer: &optimizer };
        let error = error.save(&Disk, folder.path()).unwrap_err().to_string();
        let name = ["a", "m/a"][where_];
        assert!(error.starts_with(&format!("{name} holds a value that is not finite after step 9")), "{error}");
        assert!(error.contains("smaller --lr"), "{error}");
        assert_eq!(step_of(folder.path()), 5);
        assert_eq!(files_in(folder.path()), [MODEL, "optimizer-5.safetensors"]);
    }
}

/// Written with the crate, as versions before this one did: one key, and no word on the model.
#[test]
fn checkpoints_of_older_versions_load() {
    let folder = tempfile::tempdir().unwrap();
    let data = arrays(5);
    for name in [MODEL, "optimizer-5.safetensors"] {
        let bytes: Vec<Vec<u8>> = data.iter().map(|a| a.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
        let views = SHAPES
            .iter()
            .zip(&bytes)
            .map(|((name, shape), bytes)| (*name, TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap()));
        let metadata = std::collections::HashMap::from([("step".to_string(), "5".to_string())]);
        fs::write(folder.path().join(name), safetensors::serialize(views, Some(metadata)).unwrap()).unwrap();
        assert!(WeightsFile::open(&folder.path().join(name)).unwrap().is_ours());
    }
    assert_eq!(step_of(folder.path()), 5);
    save_step(folder.path(), 6);
    assert_eq!(step_of(folder.path()), 6);
    assert_eq!(files_in(folder.path()), [MODEL, "optimizer-6.safetensors"]);
}

#[test]
fn weights_know_the_model_that_they_belong_to() {
    let folder = folder_at(5);
    let with = |meaning: &str| load_model(folder.path(), meaning, &expected(), |_, _| ()).unwrap_err().to_string();
    let error = with("layers 1, heads 2, tokenizer 12");
    assert!(error.contains("these weights were saved with heads 4, but config.json says heads 2"), "{error}");
    assert!(
        with("layers 1, heads 4, tokenizer 13").contains("saved with tokenizer 12, but config.json says tokenizer 13")
    );
    assert!(with(MEANING.strip_suffix(", tokenizer 12").unwrap()).contains("these weights were saved with"));
    let meaning = "layers 1, heads 2, tokenizer 12";
    assert!(matches!(load_optimizer(folder.path(), 5, meaning, &expected(), |_, _| ()), Err(Error::Mismatch { .. })));
}

#[test]
fn a_newer_format_is_told_by_its_number() {
    let folder = folder_at(5);
    let path = folder.path().join(MODEL);
    let mut bytes = fs::read(&path).unwrap();
    let key = b"\"gradus\":\"";
    let at = bytes.windows(key.len()).position(|part| part == key).unwrap() + key.len();
    bytes[at] = b'2';
    fs::write(&path, bytes).unwrap();
    let error = load(folder.path(), &expected()).unwrap_err().to_string();
    assert!(error.contains("model.safetensors is of format 2, this program reads 1: use a newer gradus"), "{error}");
}

#[test]
fn files_of_others_are_neither_replaced_nor_swept() {
    for (name, step) in [("optimizer-9.safetensors", 9), (MODEL, 9)] {
        let folder = folder_at(5);
        fs::write(folder.path().join(name), "mine").unwrap();
        let error = save(folder.path(), step, MEANING).unwrap_err();
        assert!(matches!(&error, Error::Foreign { path } if path.ends_with(name)), "{error}");
        assert_eq!(fs::read(folder.path().join(name)).unwrap(), b"mine");
    }
    let folder = folder_at(5);
    for name in ["optimizer-3.safetensors", "optimizer-mine.safetensors", "notes.tmp", ".tmp123"] {
        fs::write(folder.path().join(name), "mine").unwrap();
    }
    save_step(folder.path(), 6);
    let kept = [
        ".tmp123",
        MODEL,
        "notes.tmp",
        "optimizer-3.safetensors",
        "optimizer-6.safetensors",
        "optimizer-mine.safetensors",
    ];
    assert_eq!(files_in(folder.path()), kept);
}

/// What `safetensors` left when a process of an older version was killed has no fixed name, but says what it is.
#[test]
fn leftovers_of_interrupted_saves_are_swept() {
    let folder = folder_at(5);
    let whole = fs::read(folder.path().join(MODEL)).unwrap();
    let header = br#"{"__metadata__":{"step":"4"},"a.weight":{"dtype":"#;
    let torn = [&200_u64.to_le_bytes()[..], header].concat();
    for name in [".tmpAbC123", "model.safetensors.tmp"] {
        fs::write(folder.path().join(name), &torn).unwrap();
    }
    fs::write(folder.path().join("optimizer-4.safetensors.tmp"), &whole).unwrap();
    fs::write(folder.path().join("optimizer-4.safetensors.gradus.tmp"), "").unwrap();
    fs::write(folder.path().join("config.json.gradus.tmp"), "{").unwrap();
    save_step(folder.path(), 6);
    assert_eq!(files_in(folder.path()), [MODEL, "optimizer-6.safetensors"]);
}

/// The order of the two writes, by stopping a real save at each of them: a folder in the place of the temporary file
/// lets its creation fail.
#[test]
fn a_save_that_fails_leaves_the_older_checkpoint() {
    for blocked in ["optimizer-9.safetensors.gradus.tmp", "model.safetensors.gradus.tmp"] {
        let folder = folder_at(5);
        fs::create_dir(folder.path().join(blocked)).unwrap();
        let error = save(folder.path(), 9, MEANING).unwrap_err().to_string();
        let target = blocked.strip_suffix(files::TEMPORARY).unwrap();
        assert!(error.starts_with("cannot write ") && error.contains(target), "{error}");
        assert_eq!(step_of(folder.path()), 5);
        assert_eq!(folder.path().join("optimizer-9.safetensors").exists(), blocked.starts_with("model"));
    }
}

/// What others say about their weights does not make them ours, a step among other things included.
#[test]
fn weights_with_metadata_of_others_are_not_replaced() {
    for metadata in [vec![("format", "pt")], vec![("step", "9"), ("author", "me")], vec![]] {
        let folder = folder_at(5);
        let view = TensorView::new(Dtype::F32, vec![1], &[0; 4]).unwrap();
        let metadata = metadata.into_iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let theirs = safetensors::serialize([("a", view)], Some(metadata)).unwrap();
        fs::write(folder.path().join(MODEL), &theirs).unwrap();
        let error = save(folder.path(), 6, MEANING).unwrap_err();
        assert!(matches!(&error, Error::Foreign { path } if path.ends_with(MODEL)), "{error}");
        assert_eq!(fs::read(folder.path().join(MODEL)).unwrap(), theirs);
    }
}

/// A long file of others with a name such as an interrupted save leaves.
#[test]
fn temporary_files_of_others_stay_and_unfinished_caches_go() {
    let folder = folder_at(5);
    for name in [".tmpAbC123", "model.safetensors.tmp", "optimizer-4.safetensors.tmp"] {
        fs::write(folder.path().join(name), "a text that is longer than the beginning of a header ".repeat(3)).unwrap();
    }
    fs::write(folder.path().join("tokens.bin.gradus.tmp"), "half").unwrap();
    fs::write(folder.path().join("thoughts.gradus.tmp"), "mine").unwrap();
    save_step(folder.path(), 6);
    let kept = [
        ".tmpAbC123",
        MODEL,
        "model.safetensors.tmp",
        "optimizer-4.safetensors.tmp",
        "optimizer-6.safetensors",
        "thoughts.gradus.tmp",
    ];
    assert_eq!(files_in(folder.path()), kept);
}
