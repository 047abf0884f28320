//! A folder that a run takes or fills while its model is read.

mod common;
use common::{Place, contains, refused, succeeds};
use gradus_gpt::config::RunConfig;
use gradus_gpt::precision::Precision;
use gradus_gpt::run_folder::lock::Lock;
use gradus_gpt::{Error, trainer};
use std::fs;

#[test]
fn a_model_of_a_run_that_has_saved_nothing_yet_is_said_to_come() {
    let place = Place::new();
    let run = place.path("run");
    fs::create_dir(&run).unwrap();
    let sample = || refused(place.with_model("run", "sample", &[]), 1);
    let nothing = sample();
    let lock = Lock::take(&run).unwrap();
    let coming = sample();
    drop(lock);
    assert_ne!(coming, nothing, "while a run uses the folder, its model is yet to come");
    contains(&coming, &["a run is just beginning there"]);
    assert_eq!(sample(), nothing);
}

/// Weights that no longer fit what the configuration said before: a new run has taken the folder, if the configuration is another
/// one now. Otherwise the weights are at fault, and where they cannot be read the system says why.
#[test]
fn a_folder_that_a_new_run_has_taken_is_told_from_a_damaged_one() {
    let place = Place::new();
    succeeds(place.train("run", "--steps 0 --warmup 0"));
    let run = place.path("run");
    let now = RunConfig::load(&run).unwrap();
    assert!(trainer::load_at(&run, &now, Precision::F32).is_ok());
    let mut before = now.clone();
    before.model.width *= 2;
    let error = |said: &RunConfig| trainer::load_at(&run, said, Precision::F32).map(|_| ()).unwrap_err();
    assert!(matches!(error(&before), Error::Replaced { dir } if dir == run));
    fs::write(run.join("model.safetensors"), "torn").unwrap();
    assert!(matches!(error(&now), Error::Damaged { .. }));
    fs::remove_file(run.join("model.safetensors")).unwrap();
    fs::create_dir(run.join("model.safetensors")).unwrap();
    assert!(matches!(error(&before), Error::Io { .. }), "{}", error(&before));
}
