//! A power cut at every point of a run: after each write, sync and rename, with whatever had not been forced to the disk
//! lost, torn or out of order. What is then in the folder is the older or the newer checkpoint, whole, and training goes
//! on from it bit for bit.

mod crash;

use crash::{Hasty, Op, Recorder, State, read, restore};
use gradus_gpt::{
    Error,
    args::{Cli, Command},
    checkpoint::{self, MODEL},
    commands::train::prepare,
    config::{self, RunConfig},
    interrupt::Interrupt,
    metrics,
    run_folder::RunFolder,
    trainer::Trainer,
    training::{self, Prepared},
};
use std::{collections::BTreeMap, fs, path::Path};
use tempfile::TempDir;

const STEPS: u64 = 3;

/// A run of three steps that logs and saves each, into `root`/a/run. Nothing has been written yet.
fn run_in(root: &Path, seed: u64) -> Prepared {
    use clap::Parser;
    let text = root.with_extension("txt");
    fs::write(&text, "to be or not to be, that is the question\n".repeat(9)).unwrap();
    let flags = format!(
        "gradus train --layers 1 --heads 1 --width 4 --context 4 --batch 2 --warmup 0 --steps {STEPS} --eval-every 1 \
         --eval-batches 1 --log-every 1 --seed {seed}"
    );
    let flags = flags.split_whitespace().map(std::ffi::OsString::from);
    let paths = ["--data".into(), text.into(), "--out".into(), root.join("a/run").into_os_string()];
    let Command::Train(args) = Cli::parse_from(flags.chain(paths)).command() else { panic!("it is `train`") };
    prepare(&args).unwrap()
}

/// The bytes of the weights and moments after each step of this run.
fn reference(prepared: &Prepared) -> BTreeMap<u64, [Vec<u8>; 2]> {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::new(&prepared.run, &prepared.data);
    (0..=STEPS)
        .map(|step| {
            trainer.save(&Hasty, folder.path()).unwrap();
            let bytes = files_of(folder.path(), step);
            trainer.step().unwrap();
            (step, bytes)
        })
        .collect()
}

fn files_of(dir: &Path, step: u64) -> [Vec<u8>; 2] {
    [dir.join(MODEL), checkpoint::optimizer_path(dir, step)].map(|path| fs::read(path).unwrap())
}

/// A folder on the disk as a crash left it.
fn restored(state: &State) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    restore(state, folder.path());
    folder
}

/// The step of the checkpoint in `dir`, after a check that all of it is of that step and that the next step is the one
/// of the run that was never cut off; `None` where there is no checkpoint yet.
fn goes_on(dir: &Path, prepared: &Prepared, reference: &BTreeMap<u64, [Vec<u8>; 2]>) -> Option<u64> {
    match RunConfig::load(dir) {
        Err(Error::NoCheckpoint { .. }) => return None,
        other => assert_eq!(other.unwrap(), prepared.run),
    }
    let mut trainer = match Trainer::resume(&prepared.run, &prepared.data, dir) {
        Err(Error::NoCheckpoint { file: MODEL, .. }) => return None,
        other => other.map_err(|error| error.to_string()).unwrap(),
    };
    let step = trainer.step_count();
    assert!(files_of(dir, step) == reference[&step], "weights or moments are not those of step {step}");
    let logged: Vec<u64> = metrics::up_to(dir, step).unwrap().iter().map(|metric| metric.step).collect();
    let known = step.min(STEPS - 1); // the last line waits for the final validation
    assert!(logged.starts_with(&(1..=known).collect::<Vec<_>>()), "metrics of {logged:?} at step {step}");
    if step < STEPS {
        trainer.step().unwrap();
        trainer.save(&Hasty, dir).unwrap();
        assert!(files_of(dir, step + 1) == reference[&(step + 1)], "step {} is another one", step + 1);
    }
    Some(step)
}

#[test]
fn a_power_cut_at_any_point_leaves_a_whole_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("disk");
    fs::create_dir(&root).unwrap();
    let recorder = Recorder::new(&root);
    let mut prepared = run_in(&root, 1);
    prepared.files = Box::new(recorder.clone());
    training::train(&prepared, &Interrupt::default()).unwrap();

    let reference = reference(&prepared);
    let ops = recorder.ops();
    let (mut saved, mut last, mut states, mut seen) = (None, None, 0, [0; STEPS as usize + 2]);
    for done in 0..=ops.len() {
        // The picture is drawn after a save has returned: from then on no crash may lose it.
        match done.checked_sub(1).map(|i| &ops[i]) {
            Some(Op::Rename(_, to, _)) if to.ends_with(MODEL) => last = Some(last.map_or(0, |step| step + 1)),
            Some(Op::Create(path, _)) if path.ends_with("loss.svg.gradus.tmp") => {
                saved = last.map(|step: u64| step.min(STEPS))
            }
            _ => {}
        }
        for state in recorder.states(done) {
            let disk = restored(&state);
            let dir = disk.path().join("a/run");
            let what =
                || format!("after {done} steps, the last {:?}: {:?}", ops.get(done.wrapping_sub(1)), state.keys());
            let step = goes_on(&dir, &prepared, &reference);
            assert!(step >= saved, "step {step:?} is left, {saved:?} had been saved {}", what());
            assert!(step <= last, "step {step:?} before it was saved {}", what());
            if let Err(error) = RunFolder::begin(&Hasty, &dir) {
                panic!("no new run can begin: {error} {}", what());
            }
            states += 1;
            seen[step.map_or(0, |step| step as usize + 1)] += 1;
        }
    }
    assert_eq!(saved, Some(STEPS));
    assert!(seen.iter().all(|&count| count > 0), "every checkpoint was met: {seen:?}");
    println!("{} steps on the disk, {states} states after a crash, by checkpoint {seen:?}", ops.len());
}

/// All files of the run that a new one finds in its folder, with their bytes.
fn names_and_bytes(dir: &Path) -> Vec<(std::ffi::OsString, Vec<u8>)> {
    let files = read(dir).into_iter().filter_map(|(path, content)| Some((path.file_name()?.to_owned(), content?)));
    files.filter(|(name, _)| !name.to_string_lossy().starts_with(".gradus")).collect()
}

#[test]
fn a_power_cut_while_an_earlier_run_is_moved_loses_nothing_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("disk");
    let dir = root.join("a/run");
    fs::create_dir(&root).unwrap();
    let old = run_in(&root, 1);
    let old_reference = reference(&old);
    drop(old.open(0).unwrap());
    let mut trainer = Trainer::new(&old.run, &old.data);
    (0..STEPS).for_each(|_| assert!(trainer.step().is_ok()));
    trainer.save(&Hasty, &dir).unwrap();
    fs::remove_file(dir.join(".gradus.lock")).unwrap(); // is not recorded
    let old_files = names_and_bytes(&dir);
    assert_eq!(old_files.len(), 4, "configuration, metrics, weights and moments");

    let recorder = Recorder::new(&root);
    let mut new = run_in(&root, 2);
    new.files = Box::new(recorder.clone());
    let new_reference = reference(&new);
    let opened = new.open(0).unwrap();
    Trainer::new(&new.run, &new.data).save(&*new.files, &dir).unwrap();
    drop(opened);

    let (mut states, mut seen) = (0, [0; 3]);
    for done in 0..=recorder.ops().len() {
        for state in recorder.states(done) {
            let disk = restored(&state);
            let dir = disk.path().join("a/run");
            states += 1;
            let everywhere = names_and_bytes(&dir);
            for file in &old_files {
                assert!(everywhere.contains(file), "{:?} is lost after {done} steps: {:?}", file.0, state.keys());
            }
            // The folder holds the old run, the new one, or no model; never the weights of one with the other's settings.
            let run = RunConfig::load(&dir).ok();
            let (which, prepared, reference) = match &run {
                Some(run) if *run == new.run => (2, &new, &new_reference),
                _ => (1, &old, &old_reference),
            };
            let model = fs::read(dir.join(MODEL)).ok();
            match model {
                None => seen[0] += 1,
                Some(model) => {
                    let trainer = Trainer::resume(&prepared.run, &prepared.data, &dir).unwrap();
                    assert!(model == reference[&trainer.step_count()][0] && run.is_some());
                    seen[which] += 1;
                }
            }
            // Whatever it is, a new run can begin, and then the old one lies somewhere in one piece.
            RunFolder::begin(&Hasty, &dir).map_err(|error| error.to_string()).unwrap();
            assert!(!dir.join(MODEL).exists() && !dir.join(config::FILE).exists());
            let whole = (1..9).map(|n| dir.join(format!("earlier-{n}"))).filter(|earlier| {
                RunConfig::load(earlier).is_ok_and(|run| run == old.run)
                    && Trainer::resume(&old.run, &old.data, earlier).is_ok_and(|trainer| trainer.step_count() == STEPS)
            });
            assert_eq!(whole.count(), 1, "after {done} steps: {:?}", read(&dir).keys());
        }
    }
    assert!(seen.iter().all(|&count| count > 0), "old, new and none were met: {seen:?}");
    println!("{states} states after a crash, with no, the old and the new model {seen:?}");
}
