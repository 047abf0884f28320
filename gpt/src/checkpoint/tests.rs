//! What a checkpoint must survive: truncation at any byte, a process killed at any moment of a save, and other files.

use super::*;
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

fn save_step(dir: &Path, step: u64) {
    let data = arrays(step);
    let named: Vec<_> =
        SHAPES.iter().zip(&data).map(|((name, shape), data)| NamedArray { name, shape, data }).collect();
    save(dir, step, &named, &named).unwrap();
}

/// The step that the folder stands at, after a check that weights and moments are both of that step.
fn step_of(dir: &Path) -> u64 {
    let model = load_model(dir, &expected()).unwrap();
    let step = model.step.unwrap();
    let moments = load_optimizer(dir, step, &expected()).unwrap();
    assert_eq!(model.arrays, arrays(step));
    assert_eq!(moments.arrays, arrays(step));
    step
}

fn folder_at(step: u64) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    save_step(folder.path(), step);
    folder
}

fn files_in(dir: &Path) -> Vec<String> {
    let mut names = names(dir).unwrap();
    names.sort();
    names
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

/// A save is a row of writes and renames. Each prefix of that row, cut at several bytes of a write, is what a killed
/// process can leave behind; the checkpoint in it must be the older or the newer one, whole, and training must go on.
#[test]
fn killed_at_any_moment_of_a_save_it_is_the_older_or_the_newer_checkpoint() {
    let newer = folder_at(9);
    let model = fs::read(newer.path().join(MODEL)).unwrap();
    let moments = fs::read(newer.path().join("optimizer-9.safetensors")).unwrap();
    let cuts = |bytes: &[u8]| [0, 1, 8, 9, bytes.len() / 2, bytes.len() - 1, bytes.len()];

    let check = |leave: &dyn Fn(&Path), step: u64| {
        let folder = folder_at(5);
        leave(folder.path());
        assert_eq!(step_of(folder.path()), step);
        save_step(folder.path(), 12);
        assert_eq!(step_of(folder.path()), 12);
        assert_eq!(files_in(folder.path()), [MODEL, "optimizer-12.safetensors"], "nothing is left over");
    };
    for cut in cuts(&moments) {
        check(&|dir| fs::write(dir.join("optimizer-9.safetensors.tmp"), &moments[..cut]).unwrap(), 5);
    }
    let moments_are_there = |dir: &Path| fs::write(dir.join("optimizer-9.safetensors"), &moments).unwrap();
    check(&moments_are_there, 5);
    for cut in cuts(&model) {
        check(
            &|dir| {
                moments_are_there(dir);
                fs::write(dir.join("model.safetensors.tmp"), &model[..cut]).unwrap();
            },
            5,
        );
    }
    check(
        &|dir| {
            moments_are_there(dir);
            fs::write(dir.join(MODEL), &model).unwrap(); // the rename: the older moments still lie beside
        },
        9,
    );
}

#[test]
fn a_truncated_file_is_refused_at_every_length() {
    let folder = folder_at(5);
    for name in [MODEL, "optimizer-5.safetensors"] {
        let path = folder.path().join(name);
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let result =
                load_model(folder.path(), &expected()).and_then(|_| load_optimizer(folder.path(), 5, &expected()));
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
    assert!(matches!(load_model(empty.path(), &[]), Err(Error::NoCheckpoint { file: MODEL, .. })));
    let folder = folder_at(5);
    fs::remove_file(folder.path().join("optimizer-5.safetensors")).unwrap();
    let error = load_optimizer(folder.path(), 5, &expected()).unwrap_err().to_string();
    assert!(error.contains("step 5") && error.contains("is missing"), "{error}");
    save_step(folder.path(), 6);
    fs::rename(folder.path().join("optimizer-6.safetensors"), folder.path().join("optimizer-7.safetensors")).unwrap();
    let error = load_optimizer(folder.path(), 7, &expected()).unwrap_err().to_string();
    assert!(error.contains("it is not of step 7, as its name says"), "{error}");
    for foreign in [&b"PK\x03\x04 this is a zip file, not a model at all"[..], b"hello", &[255; 100], &[0; 100]] {
        fs::write(folder.path().join(MODEL), foreign).unwrap();
        let error = load_model(folder.path(), &expected()).unwrap_err().to_string();
        assert!(error.contains("model.safetensors is damaged or not a file of gradus"), "{error}");
    }
}

#[test]
fn parameters_that_do_not_match_are_named() {
    let folder = folder_at(5);
    let with = |change: &dyn Fn(&mut Vec<Expected>)| {
        let mut expected = expected();
        change(&mut expected);
        load_model(folder.path(), &expected).unwrap_err().to_string()
    };
    let shape = with(&|expected| expected[0].shape = vec![2, 3]);
    assert!(shape.contains("a.weight has shape [3, 2], but config.json asks for [2, 3]"), "{shape}");
    assert!(with(&|expected| expected[1].name = "d".into()).contains("the parameter d is missing"));
    assert!(with(&|expected| drop(expected.pop())).contains("has no parameter c"));
}

#[test]
fn other_types_and_wild_values_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let shape = [2];
    let wild = NamedArray { name: "a", shape: &shape, data: &[1.0, f32::NAN] };
    save(folder.path(), 1, &[wild], &[]).unwrap();
    let expected = [Expected { name: "a".into(), shape: vec![2] }];
    assert!(
        load_model(folder.path(), &expected).unwrap_err().to_string().contains("a holds a value that is not finite")
    );

    let view = safetensors::tensor::TensorView::new(Dtype::F16, vec![2], &[0; 4]).unwrap();
    fs::write(folder.path().join(MODEL), safetensors::serialize([("a", view)], None).unwrap()).unwrap();
    assert!(load_model(folder.path(), &expected).unwrap_err().to_string().contains("a is of type F16, not F32"));
}

#[test]
fn a_model_of_another_program_has_no_step() {
    let folder = tempfile::tempdir().unwrap();
    let view = safetensors::tensor::TensorView::new(Dtype::F32, vec![1], &[0, 0, 0x80, 0x3f]).unwrap();
    fs::write(folder.path().join(MODEL), safetensors::serialize([("a", view)], None).unwrap()).unwrap();
    let expected = [Expected { name: "a".into(), shape: vec![1] }];
    let loaded = load_model(folder.path(), &expected).unwrap();
    assert_eq!(loaded, Loaded { step: None, arrays: vec![vec![1.0]] });
}

#[test]
fn a_new_run_moves_the_older_one_aside_and_touches_nothing_else() {
    let folder = folder_at(5);
    let dir = folder.path();
    for name in [config::FILE, metrics::FILE, LOSS_PLOT, "notes.txt", "notes.tmp", "optimizer-mine.safetensors"] {
        fs::write(dir.join(name), name).unwrap();
    }
    assert_eq!(own_files(dir).unwrap()[0], MODEL, "the weights move first");
    assert!(begin(dir).unwrap());
    assert_eq!(files_in(dir), ["notes.tmp", "notes.txt", "optimizer-mine.safetensors", PREVIOUS]);
    assert_eq!(step_of(&dir.join(PREVIOUS)), 5);
    assert!(dir.join(PREVIOUS).join(config::FILE).exists() && dir.join(PREVIOUS).join(metrics::FILE).exists());

    fs::write(dir.join(config::FILE), "of a run that never saved").unwrap();
    assert!(!begin(dir).unwrap());
    assert_eq!(step_of(&dir.join(PREVIOUS)), 5, "a run without a model does not push the older one out");
    save_step(dir, 7);
    assert!(begin(dir).unwrap());
    assert_eq!(step_of(&dir.join(PREVIOUS)), 7);
}

#[test]
fn a_folder_that_cannot_be_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = begin(&file.join("run")).unwrap_err().to_string();
    assert!(error.starts_with("cannot create ") && error.contains("file/run"), "{error}");
    assert!(begin(&file).is_err());
}

/// The order of the two writes, by stopping a real save at each of them: a folder in the place of the temporary file
/// lets its creation fail.
#[test]
fn a_save_that_fails_leaves_the_older_checkpoint() {
    for blocked in ["optimizer-9.safetensors.tmp", "model.safetensors.tmp"] {
        let folder = folder_at(5);
        fs::create_dir(folder.path().join(blocked)).unwrap();
        let data = arrays(9);
        let named: Vec<_> =
            SHAPES.iter().zip(&data).map(|((name, shape), data)| NamedArray { name, shape, data }).collect();
        let error = save(folder.path(), 9, &named, &named).unwrap_err().to_string();
        assert!(error.starts_with("cannot write ") && error.contains(blocked.strip_suffix(".tmp").unwrap()), "{error}");
        assert_eq!(step_of(folder.path()), 5);
        assert_eq!(folder.path().join("optimizer-9.safetensors").exists(), blocked.starts_with("model"));
    }
}
