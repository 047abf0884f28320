//! Every value in `metrics.jsonl`, held against a trainer that this test steps itself. Times are compared with each other
//! and never with a duration, so a slow machine changes nothing.

mod common;

use common::{Place, metrics, succeeds};
use gradus_gpt::{
    config::RunConfig,
    dataset::{Dataset, Part},
    error::Error,
    evaluation::Coverage,
    trainer::Trainer,
};
use serde_json::Value;
use std::fs;

fn number(line: &Value, key: &str) -> f64 {
    line[key].as_f64().unwrap_or_else(|| panic!("{key} in {line}"))
}

/// The learning rate of nanoGPT at `step`, counted from 0: up in a line, then down in half a cosine.
fn learning_rate(step: u64, warmup: u64, steps: u64, lr: f64) -> f64 {
    let (step, warmup, steps, least) = (step as f64, warmup as f64, steps as f64, lr / 10.0);
    if step < warmup {
        return lr * (step + 1.0) / (warmup + 1.0);
    }
    let part = (step - warmup) / (steps - warmup);
    least + (lr - least) * 0.5 * (1.0 + (std::f64::consts::PI * part).cos())
}

/// The loss on the whole validation part.
fn whole(trainer: &Trainer<'_>) -> f32 {
    trainer.evaluate(Part::Validation, Coverage::Whole, |_, _| Ok::<(), Error>(())).unwrap().loss as f32
}

#[test]
fn loss_norm_and_learning_rate_are_those_of_their_step() {
    let place = Place::new();
    let flags = "--steps 22 --eval-every 7 --eval-batches 3 --log-every 3 --clip 0.5";
    succeeds(place.train("run", &format!("{flags} --stop-at 8")));
    succeeds(place.resume("run", ""));
    let lines = metrics(&place.path("run"));
    let steps: Vec<u64> = lines.iter().map(|line| line["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, [1, 3, 6, 7, 8, 9, 12, 14, 15, 18, 21, 22]);

    let mut run = RunConfig::load(&place.path("run")).unwrap();
    let data = Dataset::load_with(&mut run.train.data, &run.tokenizer, None).unwrap();
    let mut trainer = Trainer::new(&run, &data);
    let mut lines = lines.iter();
    let mut line = lines.next();
    for done in 1..=22 {
        let step = trainer.step().unwrap();
        let Some(logged) = line.filter(|line| line["step"] == done) else { continue };
        line = lines.next();
        assert_eq!(number(logged, "train_loss") as f32, step.loss, "{logged}");
        assert_eq!(number(logged, "grad_norm") as f32, step.grad_norm, "{logged}");
        assert!(step.grad_norm > 0.5, "the norm is that before clipping: {logged}");
        let rate = learning_rate(done - 1, 5, 22, 0.01);
        assert!((number(logged, "lr") / rate - 1.0).abs() < 1e-12, "{rate} in {logged}");
        let measured = match done {
            7 | 14 | 21 => Some(trainer.estimate(Part::Validation, 3, |_, _| ()).unwrap()),
            8 | 22 => Some(whole(&trainer)), // the last step of a process
            _ => None,
        };
        assert_eq!(logged["val_loss"].as_f64().map(|loss| loss as f32), measured, "{logged}");
    }
    assert!(line.is_none(), "every line was compared");
}

/// Between two lines lie so many steps of batch · grad_accum · context tokens, and so many seconds.
#[test]
fn the_rates_of_the_lines_add_up_to_all_tokens() {
    let place = Place::new();
    succeeds(place.train("run", "--steps 30 --log-every 4 --grad-accum 3"));
    let (mut step, mut elapsed) = (0, 0.0);
    for line in metrics(&place.path("run")) {
        let (until, seconds) = (line["step"].as_u64().unwrap(), number(&line, "elapsed_s"));
        let tokens = number(&line, "tokens_per_second") * (seconds - elapsed);
        let expected = ((until - step) * 4 * 3 * 16) as f64;
        assert!((tokens / expected - 1.0).abs() < 1e-6, "{tokens} for {expected} in {line}");
        (step, elapsed) = (until, seconds);
    }
    assert_eq!(step, 30);
}

#[test]
fn the_seconds_go_on_after_a_resume() {
    let place = Place::new();
    succeeds(place.train("run", "--steps 30 --stop-at 10"));
    // A number that no run of this test reaches by itself.
    let path = place.path("run").join("metrics.jsonl");
    let mut lines = metrics(&place.path("run"));
    lines.last_mut().unwrap()["elapsed_s"] = 123_456_789.0.into();
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(&path, text).unwrap();

    succeeds(place.resume("run", ""));
    let elapsed: Vec<f64> = metrics(&place.path("run")).iter().map(|line| number(line, "elapsed_s")).collect();
    let after = &elapsed[elapsed.iter().position(|&s| s == 123_456_789.0).expect("the line is kept")..];
    assert!(after.len() > 2 && after.is_sorted_by(|a, b| a < b), "{elapsed:?}");
}
