//! `--best`, and what a run says when it overfits: through the binary.

mod common;

use common::{Done, Place, contains, metrics, refused, succeeds};
use std::fs;

/// 1,200 characters of English: too few to learn English from, and soon known by heart.
fn short_text(place: &Place) {
    fs::write(place.text(), &include_str!("../../LICENSE")[..1200]).unwrap();
}

const OVERFIT: &str = "--steps 600 --layers 2 --heads 2 --width 64 --context 16 --batch 16 --grad-accum 1 --dropout 0 --lr 0.01 \
                       --warmup 20 --eval-every 25 --eval-batches 4";

fn val_losses(place: &Place, run: &str) -> Vec<f64> {
    metrics(&place.path(run)).iter().filter_map(|line| line["val_loss"].as_f64()).collect()
}

#[test]
fn a_run_that_overfits_says_so_once_and_its_best_weights_are_kept() {
    let place = Place::new();
    short_text(&place);
    let (out, err) = succeeds(place.train("run", &format!("{OVERFIT} --best")));
    let done = Done::read(&out);
    assert!(done.train_loss < 1.0 && done.val_loss > 3.0, "it is meant to overfit: {done:?}");
    assert_eq!(err.matches("overfitting: since step ").count(), 1, "{err}");
    contains(&err, &[" epochs over 1,080 tokens", "--dropout", "best/ holds the weights of step "]);

    let best = metrics(&place.path("run/best"));
    let lowest = val_losses(&place, "run").into_iter().fold(f64::INFINITY, f64::min);
    assert_eq!(best.len(), 1);
    assert_eq!(best[0]["val_loss"].as_f64(), Some(lowest));
    let step = best[0]["step"].as_u64().unwrap();
    assert!((25..=300).contains(&step), "{step}");
    contains(&err, &[&format!("since step {step} "), &format!("the weights of step {step}")]);

    // It is a model: it writes, and knows the validation part better than the last weights do.
    let (sample, _) = succeeds(place.with_model("run/best", "sample", &["--tokens", "5"]));
    assert_eq!(sample.chars().count(), 6, "{sample:?}");
    let text = fs::read_to_string(place.text()).unwrap();
    fs::write(place.path("validation.txt"), &text[1_080..]).unwrap();
    let loss = |model: &str| -> f64 {
        let path = place.path("validation.txt");
        let (out, _) = succeeds(place.with_model(model, "eval", &["--data", path.to_str().unwrap()]));
        out.strip_prefix("loss ").unwrap().split(',').next().unwrap().parse().unwrap()
    };
    assert!(loss("run/best") < loss("run") - 0.5, "{} {}", loss("run/best"), loss("run"));

    // Without --best it is told what that would do, and a resume does not tell it again.
    let (_, err) = succeeds(place.train("plain", &format!("{OVERFIT} --stop-at 500")));
    assert_eq!(err.matches("overfitting: since step ").count(), 1, "{err}");
    contains(&err, &[&format!("--best keeps the weights with the lowest validation loss, and --stop-at {step} ")]);
    assert!(!place.path("plain/best").exists());
    let (_, err) = succeeds(place.resume("plain", ""));
    assert!(!err.contains("overfitting"), "{err}");
}

const SHORT: &str = "--steps 60 --eval-every 10";

#[test]
fn the_best_weights_survive_a_resume() {
    let place = Place::new();
    let files =
        |run: &str| ["model.safetensors", "config.json"].map(|file| fs::read(place.path(run).join(file)).unwrap());
    succeeds(place.train("whole", &format!("{SHORT} --best")));
    succeeds(place.train("parts", &format!("{SHORT} --best --stop-at 35")));
    succeeds(place.resume("parts", "--stop-at 35")); // which makes no step
    succeeds(place.resume("parts", ""));
    assert!(files("whole/best") == files("parts/best"));
    let best = |run: &str| metrics(&place.path(run).join("best")).pop().unwrap();
    assert_eq!(best("whole")["val_loss"], best("parts")["val_loss"]);
    assert_eq!(best("whole")["step"], best("parts")["step"]);

    // What is not lower does not take its place: another rate, with which nothing is learned any more.
    let kept = files("parts/best");
    fs::write(
        place.path("parts/config.json"),
        fs::read_to_string(place.path("parts/config.json")).unwrap().replace("\"lr\": 0.01", "\"lr\": 5.0"),
    )
    .unwrap();
    succeeds(place.resume("parts", "--steps 90"));
    assert!(files("parts/best") == kept);
}

#[test]
fn a_new_run_moves_the_best_weights_aside_with_the_rest() {
    let place = Place::new();
    succeeds(place.train("run", &format!("{SHORT} --best")));
    let best = fs::read(place.path("run/best/model.safetensors")).unwrap();
    succeeds(place.train("run", "--steps 1 --warmup 0"));
    assert!(!place.path("run/best").exists());
    assert!(fs::read(place.path("run/earlier-1/best/model.safetensors")).unwrap() == best);
}

#[test]
fn a_folder_of_others_is_not_written_into() {
    let place = Place::new();
    fs::create_dir_all(place.path("run/best")).unwrap();
    fs::write(place.path("run/best/config.json"), "{\"mine\": 1}").unwrap();
    let error = refused(place.train("run", &format!("{SHORT} --best")), 1);
    contains(&error, &["run/best"]);
    assert_eq!(fs::read_dir(place.path("run")).unwrap().count(), 1, "nothing was written");
    succeeds(place.train("run", SHORT)); // without --best it is in nobody's way
    assert_eq!(fs::read_to_string(place.path("run/best/config.json")).unwrap(), "{\"mine\": 1}");
    refused(place.resume("run", "--best"), 1);
    assert_eq!(fs::read_dir(place.path("run/best")).unwrap().count(), 1);
}
