//! `gradus train` through the binary: what it writes and says, and that a run goes on bit for bit however it was ended.

mod common;

#[cfg(unix)]
use common::Running;
use common::{Done, Place, contains, metrics, refused, succeeds};
use std::fs;

const LN_VOCABULARY: f64 = 3.713_572; // 41 distinct characters in the text

#[test]
fn it_learns_and_writes_all_that_belongs_to_a_model() {
    let place = Place::new();
    let (out, err) = succeeds(place.train("run", "--steps 100"));
    let done = Done::read(&out);
    assert_eq!(done.step, 100);
    assert!(done.train_loss < 2.0 && done.val_loss < 2.0, "a text of three lines is soon known: {done:?}");
    assert!(done.tokens_per_second > 0.0 && done.memory > 1.0, "{done:?}");
    contains(&err, &["text   ", "vocabulary 41", "model  ", "1 layers, 2 heads, width 16, context 16", "wrote "]);
    assert_eq!(out.matches("done: ").count(), 1);

    let mut files: Vec<String> = fs::read_dir(place.path("run"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort_unstable();
    let expected =
        [".gradus.lock", "config.json", "loss.svg", "metrics.jsonl", "model.safetensors", "optimizer-100.safetensors"];
    assert_eq!(files, expected);
    let svg = fs::read_to_string(place.path("run").join("loss.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>") && svg.contains("<polyline"), "{svg}");
}

#[test]
fn the_metrics_have_a_line_for_each_logged_step() {
    let place = Place::new();
    let (out, _) = succeeds(place.train("run", "--steps 60"));
    let lines = metrics(&place.path("run"));
    let steps: Vec<u64> = lines.iter().map(|line| line["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, [1, 10, 20, 25, 30, 40, 50, 60]);
    let names = [
        "elapsed_s",
        "grad_norm",
        "lr",
        "step",
        "tokens_per_second",
        "train_loss",
        "val_loss",
        "val_standard_error",
        "val_tokens",
    ];
    let mut elapsed = 0.0;
    for line in &lines {
        let mut keys: Vec<&String> = line.as_object().unwrap().keys().collect();
        keys.sort_unstable();
        assert_eq!(keys, names);
        let step = line["step"].as_u64().unwrap();
        assert_eq!(line["val_loss"].is_number(), [25, 50, 60].contains(&step), "{line}");
        assert_eq!(line["val_tokens"].is_number(), line["val_loss"].is_number(), "{line}");
        assert_eq!(line["val_standard_error"].is_number(), [25, 50].contains(&step), "the last is over all: {line}");
        assert!(line["grad_norm"].as_f64().unwrap() > 0.0 && line["tokens_per_second"].as_f64().unwrap() > 0.0);
        assert!(line["elapsed_s"].as_f64().unwrap() > elapsed, "{line}");
        elapsed = line["elapsed_s"].as_f64().unwrap();
    }
    // nanoGPT's schedule: the rate of the first step is lr / (warm-up + 1), the last is nearly a tenth of lr.
    let rate = |i: usize| lines[i]["lr"].as_f64().unwrap();
    assert!((rate(0) - 0.01 / 6.0).abs() < 1e-9 && rate(1) > rate(2) && (0.001..0.0011).contains(&rate(7)));
    let first = lines[0]["train_loss"].as_f64().unwrap();
    assert!((first / LN_VOCABULARY - 1.0).abs() < 0.02, "a model that knows nothing says ln V: {first}");
    let (last, done) = (lines.last().unwrap(), Done::read(&out));
    let rounded = |x: &serde_json::Value| format!("{:.4}", x.as_f64().unwrap());
    assert_eq!(rounded(&last["train_loss"]), format!("{:.4}", done.train_loss));
    assert_eq!(rounded(&last["val_loss"]), format!("{:.4}", done.val_loss));
    assert_eq!((last["val_tokens"].as_u64().unwrap() as usize, done.val_standard_error), (done.val_tokens, None));
}

/// A long text is validated on no more than a share of the training, and says so.
#[test]
fn the_last_validation_of_a_long_text_is_an_estimate() {
    let place = Place::new();
    let text = fs::read_to_string(place.text()).unwrap();
    fs::write(place.text(), text.repeat(400_000 / text.chars().count() + 1)).unwrap();
    let flags = "--steps 20 --warmup 0 --layers 1 --batch 64";
    let (out, err) = succeeds(place.train("run", flags));
    let estimate = Done::read(&out);
    contains(&err, &["validation on 16,384 of 40,", " tokens; --final-eval all takes all of them"]);
    assert_eq!(estimate.val_tokens, 16_384);
    let error = estimate.val_standard_error.unwrap();
    let last = metrics(&place.path("run")).pop().unwrap();
    assert_eq!(last["val_tokens"], 16_384);
    assert!((last["val_standard_error"].as_f64().unwrap() - error).abs() < 1e-4, "{last}");

    // A setting that only watches: another one is no contradiction, and is remembered.
    let (out, err) = succeeds(place.resume("run", "--final-eval all"));
    let whole = Done::read(&out);
    assert!(err.contains("validation on 40,") && !err.contains("takes all of them"), "{err}");
    assert!(whole.val_tokens > 40_000 && whole.val_standard_error.is_none(), "{out}");
    assert!((whole.val_loss - estimate.val_loss).abs() < 5.0 * error + 1e-3, "{estimate:?} {whole:?}");
    let (out, _) = succeeds(place.resume("run", ""));
    assert_eq!(Done::read(&out).val_tokens, whole.val_tokens);
    contains(&refused(place.resume("run", "--final-eval 0"), 2), &["final-eval 0: must be at least 1 token, or all"]);
}

/// Every file of a folder with its content, but for the lock, which is taken and given back.
fn contents(dir: &std::path::Path) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name() != ".gradus.lock")
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    all.sort();
    all
}

#[test]
fn a_run_is_not_resumed_to_a_step_before_the_one_it_is_at() {
    let place = Place::new();
    succeeds(place.train("run", "--steps 9 --stop-at 4"));
    let before = contents(&place.path("run"));
    let error = refused(place.resume("run", "--steps 2"), 2);
    assert_eq!(error, "steps 2: the run is at step 4 already; give --steps 4 or more");
    let error = refused(place.resume("run", "--stop-at 3"), 2);
    assert_eq!(error, "stop-at 3: the run is at step 4 already; give --stop-at 4 or more");
    assert!(contents(&place.path("run")) == before, "a refused resume has changed something");
    let (out, _) = succeeds(place.resume("run", "--steps 4"));
    assert_eq!(Done::read(&out).step, 4);
}

#[test]
fn what_makes_a_run_slow_or_weak_is_said_at_its_start() {
    let place = Place::new();
    let (_, err) = succeeds(place.train("run", "--steps 3 --warmup 3 --threads 64"));
    contains(&err, &["--threads 64 is more than the processors that this process may use", ", threads 64"]);
    contains(&err, &["the warm-up of 3 steps is not shorter than the run of 3"]);
    let (_, err) = succeeds(place.train("run", "--steps 6 --threads 1"));
    assert!(!err.contains("warm-up") && !err.contains("is more than"), "{err}");
}

/// The default number of threads is what the system lets the process use, and not what the machine has.
#[cfg(target_os = "linux")]
#[test]
fn threads_follow_the_affinity_of_the_process() {
    let place = Place::new();
    let train = place.train("run", "--steps 1 --warmup 0");
    let mut pinned = std::process::Command::new("taskset");
    // The first processor that this process may use.
    let allowed = fs::read_to_string("/proc/self/status").unwrap();
    let allowed = allowed.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim();
    let first = allowed.split([',', '-']).next().unwrap();
    pinned.args(["-c", first]).arg(train.get_program()).args(train.get_args());
    let (_, err) = succeeds(pinned);
    contains(&err, &[", threads 1"]);
}

#[test]
fn no_steps_write_the_model_as_it_is_initialised() {
    let place = Place::new();
    let (out, _) = succeeds(place.train("run", "--steps 0 --warmup 0"));
    contains(out.lines().last().unwrap(), &["done: step 0, train loss ", ", val loss ", " tokens/s, peak memory "]);
    let val = Done::read(&out).val_loss;
    assert!((val / LN_VOCABULARY - 1.0).abs() < 0.02, "{val}");
    let (sample, _) = succeeds(place.with_model("run", "sample", &["--tokens", "5"]));
    assert_eq!(sample.chars().count(), 6, "five characters and a line break: {sample:?}");
    // Another seed begins elsewhere, the same seed does not.
    succeeds(place.train("again", "--steps 0 --warmup 0"));
    succeeds(place.train("other", "--steps 0 --warmup 0 --seed 2"));
    assert_eq!(place.model_bytes("run"), place.model_bytes("again"));
    assert_ne!(place.model_bytes("run"), place.model_bytes("other"));
}

/// Both files of the checkpoint at this step.
fn state_at(step: u64, place: &Place, out: &str) -> [Vec<u8>; 2] {
    ["model.safetensors", &format!("optimizer-{step}.safetensors")]
        .map(|file| fs::read(place.path(out).join(file)).unwrap())
}

#[test]
fn stopped_and_resumed_it_is_the_same_run_bit_for_bit() {
    let place = Place::new();
    succeeds(place.train("whole", "--steps 100 --threads 1"));
    let (out, err) = succeeds(place.train("parts", "--steps 100 --stop-at 50 --threads 2"));
    contains(&err, &["stopped after step 50 and saved; go on with `gradus train --resume --out "]);
    assert_eq!(Done::read(&out).step, 50);
    assert_ne!(place.model_bytes("parts"), place.model_bytes("whole"));
    succeeds(place.resume("parts", "--stop-at 73 --threads 1"));
    let (out, err) = succeeds(place.resume("parts", "--threads 3"));
    assert!(!err.contains("stopped"), "{err}");
    assert_eq!(Done::read(&out).step, 100);
    assert!(state_at(100, &place, "whole") == state_at(100, &place, "parts"), "the weights or moments differ");

    // The metrics tell one story too: what both runs logged is the same but for the clock.
    let story = |out: &str| -> Vec<[String; 4]> {
        let lines = metrics(&place.path(out)).into_iter().filter(|line| line["step"].as_u64().unwrap() % 10 == 0);
        lines.map(|line| ["step", "train_loss", "lr", "grad_norm"].map(|key| line[key].to_string())).collect()
    };
    assert_eq!(story("whole").len(), 10);
    assert_eq!(story("whole"), story("parts"));
}

#[test]
fn a_finished_run_can_be_made_longer_and_resuming_it_unchanged_changes_nothing() {
    let place = Place::new();
    succeeds(place.train("run", "--steps 20"));
    let before = place.model_bytes("run");
    let (out, _) = succeeds(place.resume("run", ""));
    assert_eq!(Done::read(&out).step, 20);
    assert!(place.model_bytes("run") == before, "no step, no change");
    let (out, _) = succeeds(place.resume("run", "--steps 30"));
    assert_eq!(Done::read(&out).step, 30);
    assert_eq!(metrics(&place.path("run")).last().unwrap()["step"], 30);
}

/// The step of the last whole line of the metrics.
#[cfg(unix)]
fn last_step(place: &Place, out: &str) -> u64 {
    let text = fs::read_to_string(place.path(out).join("metrics.jsonl")).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let line = whole.lines().last().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    line.map_or(0, |line| line["step"].as_u64().unwrap())
}

/// It saves after every step, and is killed again and again: a moment after a step, and as soon as a file of a save that
/// has not ended is seen, until several kills have left such a file. Whatever they leave behind, `--resume` goes on, and
/// in the end the weights are those of a run that nobody disturbed.
#[cfg(unix)]
#[test]
fn killed_while_it_saves_it_goes_on_bit_for_bit() {
    use std::time::Duration;
    const TORN: usize = 4;
    const MOST_KILLS: usize = 200;
    let place = Place::new();
    // No machine is so fast that it comes to the end of this before it is killed.
    let flags = "--steps 1000000 --eval-every 1 --eval-batches 1";
    let half_written = || -> Vec<String> {
        let entries = fs::read_dir(place.path("run")).unwrap().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.ends_with(".tmp")).collect()
    };

    succeeds(place.train("run", &format!("{flags} --stop-at 1")));
    let (mut torn, mut kills, mut random) = (0, 0, 12345_u64);
    while torn < TORN || kills < 4 * TORN {
        assert!(kills < MOST_KILLS, "only {torn} of {kills} kills left a file half written");
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let until = last_step(&place, "run") + 1 + (random >> 33) % 3;
        let mut run = Running::start_unheard(place.resume("run", ""));
        run.wait_until("the next steps", || last_step(&place, "run") >= until);
        if kills % 2 == 0 {
            run.wait_until("the next save", || !half_written().is_empty());
        } else {
            std::thread::sleep(Duration::from_micros((random >> 40) % 4000));
        }
        run.kill();
        torn += usize::from(!half_written().is_empty());
        kills += 1;
    }

    let end = last_step(&place, "run") + 3;
    let (out, _) = succeeds(place.resume("run", &format!("--stop-at {end}")));
    assert_eq!(Done::read(&out).step, end);
    succeeds(place.train("whole", &format!("{flags} --stop-at {end}")));
    assert!(state_at(end, &place, "whole") == state_at(end, &place, "run"), "the weights or moments differ");
    assert!(half_written().is_empty(), "nothing is left over: {:?}", half_written());
}
