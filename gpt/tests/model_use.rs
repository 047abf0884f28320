//! `sample`, `eval` and `inspect` through the binary, on a model that has just been trained.

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

#[test]
fn probabilities_show_five_chances_a_step() {
    let (text, _) = sample(&["--probabilities", "--tokens", "12", "--prompt", "Twin", "--greedy"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 12);
    for line in lines {
        let (chosen, list) = line.split_once("  ←").expect("what was chosen, and from what");
        let chances: Vec<f64> = list
            .split('%')
            .filter(|part| !part.is_empty())
            .map(|part| part.rsplit(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("{line}")))
            .collect();
        assert_eq!(chances.len(), 5, "{line}");
        assert!(chances.is_sorted_by(|a, b| a >= b), "the likeliest first: {line}");
        let sum: f64 = chances.iter().sum();
        assert!(chances.iter().all(|&chance| chance >= 0.0) && (5.0..=100.3).contains(&sum), "{sum}: {line}");
        assert!(list.trim_start().starts_with(chosen.trim_start()), "greedy takes the first: {line}");
    }
}

/// The chances come from the same logits as the choice: greedy text is the first of each line.
#[test]
fn probabilities_are_those_of_the_sample() {
    let plain = sample(&["--tokens", "20", "--prompt", "How", "--greedy"]).0;
    let (table, _) = sample(&["--probabilities", "--tokens", "20", "--prompt", "How", "--greedy"]);
    let labels: Vec<String> = table.lines().map(|line| line.split("  ←").next().unwrap().trim().to_string()).collect();
    let written: Vec<String> = plain.chars().skip(3).map(|c| format!("{c:?}")).collect();
    let unquoted = |label: &String| label.trim_matches('\'').to_string();
    assert_eq!(labels.iter().map(unquoted).collect::<Vec<_>>(), written.iter().map(unquoted).collect::<Vec<_>>());
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
fn inspect_prints_the_parameters_and_draws_where_the_heads_look() {
    let place = &trained().0;
    let (out, err) = succeeds(place.with_model("run", "inspect", &[]));
    // (41 + 16)·16 for the embeddings, 12·16² + 2·16 for the block, 16 for the last norm.
    let total = 57 * 16 + 12 * 256 + 32 + 16;
    contains(
        &out,
        &["1 layers, 2 heads of 8, width 16, context 16, vocabulary 41", "token_embedding.weight", "[41, 16]"],
    );
    contains(&out, &["blocks.0.attention.qkv.weight", "[48, 16]", "blocks.0.feed_forward.down.weight", "[16, 64]"]);
    let last: String = out.lines().last().unwrap().chars().filter(char::is_ascii_digit).collect();
    assert_eq!(last, total.to_string());
    contains(&err, &["attention.svg", "16 tokens"]);
    let svg = |path: std::path::PathBuf| fs::read_to_string(path).unwrap();
    assert!(svg(place.path("run").join("attention.svg")).starts_with("<svg"));

    let picture = place.path("picture.svg");
    let flags = ["--prompt", "天地 at", "--out", picture.to_str().unwrap()];
    let (_, err) = succeeds(place.with_model("run", "inspect", &flags));
    contains(&err, &["picture.svg", "5 tokens"]);
    let drawn = svg(picture);
    assert!(drawn.starts_with("<svg") && drawn.contains('天') && drawn.trim_end().ends_with("</svg>"));
    let long = "at ".repeat(10);
    contains(&refused(place.with_model("run", "inspect", &["--prompt", &long]), 2), &["has 30 tokens; from 1 to 16"]);
}
