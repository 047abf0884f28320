//! A run that is saved where an older one was saved, further on, leaves nothing of it: what is resumed is the new one.

mod common;

use common::{Place, succeeds};
use gradus_gpt::config::RunConfig;
use gradus_gpt::dataset::Dataset;
use gradus_gpt::files::Disk;
use gradus_gpt::trainer::Trainer;
use gradus_nn::Module;

fn weights(trainer: &Trainer<'_>) -> Vec<Vec<f32>> {
    let parameters = trainer.model().named_parameters();
    parameters.into_iter().map(|(_, parameter)| parameter.value().to_vec()).collect()
}

#[test]
fn what_is_resumed_is_the_run_that_was_saved_last() {
    let place = Place::new();
    succeeds(place.train("run", "--steps 3 --warmup 0"));
    let mut run = RunConfig::load(&place.path("run")).unwrap();
    let data = Dataset::load_with(&mut run.train.data, &run.tokenizer, None).unwrap();
    let mut other = run.clone();
    other.train.seed += 1;

    let dir = place.path("saved");
    std::fs::create_dir(&dir).unwrap();
    let mut older = Trainer::new(&run, &data);
    (0..5).for_each(|_| _ = older.step().unwrap());
    older.save(&Disk, &dir).unwrap();
    let mut newer = Trainer::new(&other, &data);
    (0..2).for_each(|_| _ = newer.step().unwrap());
    newer.save(&Disk, &dir).unwrap();

    let mut resumed = Trainer::resume(&other, &data, &dir).unwrap();
    assert_eq!(resumed.step_count(), 2);
    assert!(weights(&resumed) == weights(&newer) && weights(&resumed) != weights(&older));
    assert_eq!(resumed.step().unwrap(), newer.step().unwrap());
    assert!(weights(&resumed) == weights(&newer), "with the moments of the new run too");
    let files = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name());
    let moments: Vec<_> = files.filter(|name| name.to_string_lossy().starts_with("optimizer")).collect();
    assert_eq!(moments.len(), 1, "the older run's moments are gone: {moments:?}");
}
