//! `sample` and `eval` through the binary, on a model that has just been trained.

mod common;

use common::{Done, Place, contains, refused, succeeds};
use std::fs;
use std::sync::OnceLock;

/// A model that knows the text a little: trained once for all tests here. Its context is 16.
fn trained() -> &'static (Place, Done) {
    static PLACE: OnceLock<(Place, Done)> = OnceLock::new();
    PLACE.get_or_init(|| {
        let place = Place::new();
        let (out, _) = succeeds(place.train("run", "--steps 60"));
        (place, Done::read(&out))
    })
}

/// What `sample` writes with these flags, without the line break at its end, and the line on standard error.
fn sample(flags: &[&str]) -> (String, String) {
    let (out, err) = succeeds(trained().0.with_model("run", "sample", flags));
    (out.strip_suffix('\n').expect("a line break at the end").to_string(), err)
}

#[test]
fn greedy_is_temperature_0_and_needs_no_seed() {
    let (text, err) = sample(&["--greedy", "--tokens", "60", "--prompt", "Twinkle"]);
    assert!(text.starts_with("Twinkle"));
    assert_eq!(text.chars().count(), 67);
    assert!(err.starts_with("60 tokens, ") && err.trim_end().ends_with(" tokens/s"), "{err}");
    for same in [
        &["--greedy", "--seed", "9"][..],
        &["--temperature", "0"],
        &["--temperature", "0", "--seed", "5"],
        &["--top-k", "1"],
    ] {
        let flags = [same, &["--tokens", "60", "--prompt", "Twinkle"]].concat();
        assert_eq!(sample(&flags).0, text, "{same:?}");
    }
}

#[test]
fn the_seed_decides() {
    let with = |seed: &str| sample(&["--temperature", "1.5", "--tokens", "80", "--seed", seed]).0;
    assert_eq!(with("1"), with("1"));
    assert_ne!(with("1"), with("2"));
    let threads = |n: &str| sample(&["--temperature", "1.5", "--tokens", "80", "--threads", n]).0;
    assert_eq!(threads("1"), threads("3"));
}

#[test]
fn it_writes_on_past_the_context_and_in_chinese() {
    let (text, err) = sample(&["--prompt", "天地玄黄，宇宙", "--tokens", "100", "--greedy"]);
    assert!(text.starts_with("天地玄黄，宇宙"));
    assert_eq!(text.chars().count(), 107);
    contains(&err, &["100 tokens, "]);
    // A prompt longer than the context is read from its end.
    let long = "How I wonder what you're at!\n".repeat(4);
    assert!(sample(&["--prompt", &long, "--tokens", "3"]).0.starts_with(&long));
}

/// The parts of what `--probabilities` prints: the header, the rows, and the text at the end.
fn table(flags: &[&str]) -> (String, Vec<String>, String) {
    let (out, _) = sample(&[&["--probabilities"], flags].concat());
    let (header, rest) = out.split_once("likeliest\n").expect("titles of the columns");
    let (rows, text) = rest.split_once("\n\n").expect("an empty line before the text");
    (header.to_string(), rows.lines().map(str::to_string).collect(), text.to_string())
}

/// The numbers of a row.
fn percents(row: &str) -> Vec<f64> {
    let number = |word: &str| word.trim_start_matches('<').parse().ok();
    row.split_whitespace().filter(|word| !word.contains('\'')).filter_map(number).collect()
}

#[test]
fn probabilities_show_the_choice_and_five_candidates_a_step() {
    let (header, rows, text) = table(&["--tokens", "12", "--prompt", "Twin", "--greedy"]);
    contains(&header, &["text so far", "percent", "greedy"]);
    assert_eq!(rows.len(), 12);
    assert!(rows[0].starts_with("          Twin  '"), "{}", rows[0]);
    for row in &rows {
        let all = percents(row);
        assert_eq!(all.len(), 6, "{row}");
        assert_eq!(all[0], all[1], "greedy takes the likeliest: {row}");
        assert!(all[1..].is_sorted_by(|a, b| a >= b), "the likeliest first: {row}");
        let sum: f64 = all[1..].iter().sum();
        assert!((5.0..=100.3).contains(&sum), "{sum}: {row}");
    }
    assert_eq!(text, sample(&["--tokens", "12", "--prompt", "Twin", "--greedy"]).0, "the text at the end");
}

#[test]
fn probabilities_after_the_sampling_settings_stand_below_those_of_the_model() {
    let flags = ["--tokens", "9", "--prompt", "How", "--temperature", "0.5", "--top-k", "3", "--seed", "4"];
    let (header, rows, text) = table(&flags);
    contains(&header, &["after temperature 0.5, top-k 3"]);
    assert_eq!(text, sample(&flags).0, "the same text as without the table");
    let below = rows.iter().filter(|row| row.starts_with(&" ".repeat(18))).count();
    assert_eq!((rows.len(), below), (18, 9), "{rows:#?}");
    for pair in rows.chunks(2) {
        let kept: f64 = percents(&pair[1])[1..].iter().sum();
        assert!((99.7..=100.3).contains(&kept) && percents(&pair[1]).len() == 4, "three share all: {pair:#?}");
        assert!(pair[1].ends_with('–'), "the fifth is left out: {pair:#?}");
    }
}

#[test]
fn unknown_characters_are_named() {
    let place = &trained().0;
    let error = refused(place.with_model("run", "sample", &["--prompt", "Twinkle ☃"]), 1);
    contains(&error, &["does not know the character '☃'", "41 characters"]);
    let error = refused(place.with_model("run", "inspect", &["--prompt", "☃"]), 1);
    contains(&error, &["does not know the character '☃'"]);
}

#[test]
fn eval_of_the_validation_part_is_the_last_validation_loss() {
    let (place, done) = trained();
    let text = fs::read_to_string(place.text()).unwrap();
    let characters: Vec<char> = text.chars().collect();
    let validation: String = characters[characters.len() * 9 / 10..].iter().collect();
    fs::write(place.path("validation.txt"), &validation).unwrap();
    let path = place.path("validation.txt");
    let (out, _) = succeeds(place.with_model("run", "eval", &["--data", path.to_str().unwrap()]));
    let loss: f64 = out.strip_prefix("loss ").unwrap().split(',').next().unwrap().parse().unwrap();
    assert_eq!(loss, done.val_loss, "{out}");
    let targets = validation.chars().count() - 1;
    assert!(out.trim_end().ends_with(&format!("over {targets} tokens")), "{out}");
    let (threads, _) = succeeds(place.with_model("run", "eval", &["--data", path.to_str().unwrap(), "--threads", "3"]));
    assert_eq!(threads, out);
}

#[test]
fn eval_of_some_tokens_is_an_estimate_that_says_so() {
    let place = &trained().0;
    let eval = |flags: &[&str]| {
        let text = place.text();
        let flags = [&["--data", text.to_str().unwrap()], flags].concat();
        succeeds(place.with_model("run", "eval", &flags)).0
    };
    let loss = |line: &str| line.split(' ').nth(1).unwrap().trim_end_matches(',').parse::<f64>().unwrap();
    let (whole, some) = (eval(&[]), eval(&["--tokens", "500"]));
    let targets: usize = whole.trim_end().rsplit(' ').nth(1).unwrap().parse().unwrap();
    contains(&some, &[" ± ", &format!("over 512 of {targets} tokens")]); // 32 windows of 16
    assert!((loss(&some) / loss(&whole) - 1.0).abs() < 0.2, "{some} {whole}");
    assert_eq!(eval(&["--tokens", &targets.to_string()]), whole);
    let none = place.with_model("run", "eval", &["--data", "x", "--tokens", "0"]);
    assert_eq!(refused(none, 2), "tokens 0: must be at least 1");
}
