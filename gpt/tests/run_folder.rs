//! The folder of a run through the binary: whose files it touches, what becomes of earlier runs, and who may write when.

mod common;

use common::{Place, Running, contains, refused, succeeds};
use std::{collections::BTreeMap, fs, path::Path};

/// Every file below `dir` with its content; the lock says nothing about a run.
fn tree(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() {
            all.extend(tree(&entry.path()).into_iter().map(|(below, content)| (format!("{name}/{below}"), content)));
        } else if name != ".gradus.lock" {
            all.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    all
}

#[test]
fn earlier_runs_are_kept_side_by_side_and_named() {
    let place = Place::new();
    let mut models = Vec::new();
    for run in 0..4 {
        let (_, err) = succeeds(place.train("run", &format!("--steps 3 --warmup 0 --seed {run}")));
        assert_eq!(err.contains("an earlier run was here"), run > 0, "{err}");
        if run > 0 {
            let earlier = place.path(&format!("run/earlier-{run}"));
            contains(&err, &[&format!("an earlier run was here; it is now in {}", earlier.display())]);
        }
        models.push(place.model_bytes("run"));
    }
    for (run, model) in models[..3].iter().enumerate() {
        assert!(place.model_bytes(&format!("run/earlier-{}", run + 1)) == *model);
    }
    succeeds(place.with_model("run/earlier-1", "sample", &["--tokens", "3"]));
    succeeds(place.resume("run/earlier-2", "--steps 5")); // a run of its own, as any other
}

#[test]
fn what_others_wrote_is_never_touched() {
    let place = Place::new();
    for (file, content) in [("config.json", "{\"mine\":1}"), ("metrics.jsonl", "mine"), ("loss.svg", "<svg>mine</svg>")]
    {
        let dir = place.path(file);
        fs::create_dir_all(dir.join("previous")).unwrap();
        fs::write(dir.join(file), content).unwrap();
        fs::write(dir.join("previous/notes.txt"), "x").unwrap();
        let before = tree(&dir);
        for _ in 0..2 {
            let error = refused(place.train(file, "--steps 0 --warmup 0"), 1);
            contains(&error, &[&dir.join(file).display().to_string(), "in the way", "choose another --out"]);
            assert_eq!(tree(&dir), before);
            assert!(!dir.join(".gradus.lock").exists());
        }
        fs::remove_file(dir.join(file)).unwrap();
        for _ in 0..3 {
            succeeds(place.train(file, "--steps 0 --warmup 0"));
        }
        assert_eq!(fs::read(dir.join("previous/notes.txt")).unwrap(), b"x");
    }
    succeeds(place.train("run", "--steps 0 --warmup 0"));
    fs::write(place.path("run/attention.svg"), "<svg>mine</svg>").unwrap();
    let error = refused(place.with_model("run", "inspect", &[]), 1);
    contains(&error, &["attention.svg is in the way", "--out"]);
    assert_eq!(fs::read(place.path("run/attention.svg")).unwrap(), b"<svg>mine</svg>");
}

#[test]
fn a_resumed_run_that_is_refused_changes_nothing() {
    let place = Place::new();
    let spoil: [(&str, &str, &[u8]); 4] = [
        ("metrics.jsonl", "metrics.jsonl is damaged or not a file of gradus: line 1", b"epoch,loss\n1,2.5\n"),
        ("loss.svg", "loss.svg is in the way", b"<svg>mine</svg>"),
        ("optimizer-4.safetensors", "optimizer-4.safetensors is damaged", b"mine"),
        ("model.safetensors", "model.safetensors is damaged", b"mine"),
    ];
    for (file, says, content) in spoil {
        let _ = fs::remove_dir_all(place.path("run"));
        succeeds(place.train("run", "--steps 4 --warmup 0"));
        fs::write(place.path("run").join(file), content).unwrap();
        let before = tree(&place.path("run"));
        contains(&refused(place.resume("run", "--steps 77"), 1), &[says]);
        assert_eq!(tree(&place.path("run")), before, "{file}");
    }
}

/// Beside a run that trains, no other begins or goes on, and nothing of it changes; when it has been killed, one does.
#[test]
fn one_run_at_a_time_owns_a_folder() {
    let place = Place::new();
    let mut first = Running::start_unheard(place.train("run", "--steps 1000000000 --eval-every 1000000000"));
    first.wait_until("the first save", || place.path("run").join("model.safetensors").exists());
    let config = fs::read(place.path("run/config.json")).unwrap();
    for second in [place.train("run", "--steps 3 --warmup 0 --seed 9"), place.resume("run", "")] {
        let error = refused(second, 1);
        let (folder, process) = (place.path("run"), first.id());
        contains(&error, &[&format!("{} is in use: process {process} trains there", folder.display())]);
    }
    succeeds(place.with_model("run", "sample", &["--tokens", "3"]));
    assert_eq!(fs::read(place.path("run/config.json")).unwrap(), config);
    first.kill();
    succeeds(place.resume("run", "--stop-at 0"));
    succeeds(place.train("run", "--steps 3 --warmup 0 --seed 9"));
    assert!(place.path("run/earlier-1/model.safetensors").exists());
}

/// It saves after every step, and a new run takes the folder again and again: whoever reads meanwhile sees a whole model,
/// or is told that another has just taken its place.
#[test]
fn readers_see_a_whole_model_while_it_trains() {
    let place = Place::new();
    let flags = "--steps 1000000000 --eval-every 1 --eval-batches 1";
    let mut read = 0;
    for seed in 0..3 {
        let layers = seed % 2 + 1;
        let mut run = Running::start_unheard(place.train("run", &format!("{flags} --seed {seed} --layers {layers}")));
        for _ in 0..12 {
            let output = place.with_model("run", "sample", &["--tokens", "3"]).output().unwrap();
            let (_, err) = common::texts(&output);
            let told = ["no model in ", "was replaced by another"].iter().any(|told| err.contains(told));
            assert!(output.status.success() || told, "{err}");
            read += usize::from(output.status.success());
        }
        run.wait_until("the first save", || place.path("run").join("model.safetensors").exists());
        run.kill();
    }
    assert!(read > 0);
}

/// Weights that are finite and so large that every loss is NaN or infinite: they are of no use, and are not saved.
#[test]
fn a_state_that_ran_away_is_not_saved_and_the_last_good_one_stays() {
    let place = Place::new();
    let flags = "--steps 6 --eval-every 1 --eval-batches 1 --warmup 0";
    succeeds(place.train("run", &format!("{flags} --lr 1e30 --min-lr 1e30 --stop-at 0")));
    let good = tree(&place.path("run"));
    let error = refused(place.resume("run", ""), 1);
    contains(&error, &["is not finite (NaN or infinite) at step ", "smaller --lr"]);
    let after = tree(&place.path("run"));
    for file in ["model.safetensors", "optimizer-0.safetensors", "config.json"] {
        assert!(after[file] == good[file], "{file}");
    }
    succeeds(place.with_model("run", "sample", &["--tokens", "3"]));
    contains(&refused(place.resume("run", ""), 1), &["is not finite (NaN or infinite) at step "]);
    // Also where the last step is the one that did it.
    let error = refused(place.train("one", "--steps 1 --warmup 0 --lr 1e30 --min-lr 1e30"), 1);
    contains(&error, &["the validation loss is not finite (NaN or infinite) at step 1", "is not saved"]);
    assert!(place.path("one/optimizer-0.safetensors").exists());
    succeeds(place.with_model("one", "sample", &["--tokens", "3"]));
}

#[cfg(unix)]
#[test]
fn a_text_of_any_name_trains_and_goes_on() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let text = place.path("dir").with_file_name(std::ffi::OsStr::from_bytes(b"caf\xe9.txt"));
    fs::copy(place.text(), &text).unwrap();
    succeeds(place.train("run", "--steps 3 --warmup 0"));
    for _ in 0..2 {
        let mut train =
            common::gradus("train --steps 4 --stop-at 2 --layers 1 --heads 1 --width 8 --context 8 --batch 2");
        train.arg("--data").arg(&text).arg("--out").arg(place.path("run"));
        succeeds(train);
    }
    succeeds(place.resume("run", ""));
    assert!(place.path("run/earlier-2/model.safetensors").exists());
    succeeds(place.with_model("run", "sample", &["--tokens", "3"]));
}

#[cfg(unix)]
#[test]
fn all_files_have_the_permissions_that_the_user_gives_new_files() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    for (umask, mode) in [("022", 0o644), ("027", 0o640)] {
        let train = place.train(umask, "--steps 3 --warmup 0");
        let mut shell = std::process::Command::new("sh");
        shell
            .args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")])
            .arg(train.get_program())
            .args(train.get_args());
        succeeds(shell);
        for entry in fs::read_dir(place.path(umask)).unwrap().flatten() {
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, mode, "{entry:?}");
        }
    }
}
