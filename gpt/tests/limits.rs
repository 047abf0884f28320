//! Exactly at a limit, and one beyond it: vocabularies, prompts, and columns of text.

mod common;
use common::{Place, contains, refused, succeeds};
use std::fs;

/// A vocabulary is worth a note if the embeddings are more than half of the parameters, or if it is very large; never if bytes
/// would be no fewer.
#[test]
fn a_vocabulary_that_makes_most_of_the_model_is_said() {
    let place = Place::new();
    for (characters, sizes, said) in [
        (300, "--width 8", true), // 2,400 numbers against some 900
        (300, "--width 32 --layers 4", false),
        (256, "--width 2 --heads 1", false),
        (257, "--width 2 --heads 1", true),
        (5000, "--width 96 --layers 8", true), // 480,000 of some 1,400,000
        (4999, "--width 96 --layers 8", false),
    ] {
        let text: String = (0x4e00..).filter_map(char::from_u32).take(characters).collect();
        fs::write(place.text(), text.repeat(200_usize.div_ceil(characters).max(3))).unwrap();
        let (_, err) = succeeds(
            place.train(&format!("{characters} {sizes}").replace(' ', "_"), &format!("--steps 0 --warmup 0 {sizes}")),
        );
        assert_eq!(err.contains("note   the embeddings"), said, "{characters} {sizes}: {err}");
    }
}

#[test]
fn a_prompt_as_long_as_the_context_is_drawn_and_one_more_is_refused() {
    let place = Place::new();
    succeeds(place.train("run", "--steps 0 --warmup 0"));
    let inspect = |prompt: &str| place.with_model("run", "inspect", &["--prompt", prompt]);
    contains(&succeeds(inspect("winkle, winkle, ")).1, &["what each of 16 tokens attends to"]);
    contains(&refused(inspect("winkle, winkle, l"), 2), &["has 17 tokens; from 1 to 16"]);
    contains(&refused(inspect(""), 2), &["has 0 tokens"]);
}

/// The column holds 14 columns of text: a longer text loses its beginning, and a wide character that would be cut is left out.
#[test]
fn the_text_so_far_fills_its_column_and_no_more() {
    let place = Place::new();
    succeeds(place.train("run", "--steps 0 --warmup 0"));
    for (prompt, shown) in [
        ("inkle, little ", "inkle, little "),
        ("winkle, little ", "inkle, little "),
        ("天地玄黄宇宙洪", "天地玄黄宇宙洪"),
        ("天地玄黄宇宙洪荒", "地玄黄宇宙洪荒"),
        ("天地玄黄宇宙洪l", "地玄黄宇宙洪l"),
        ("l天地玄黄宇宙洪l", "地玄黄宇宙洪l"),
    ] {
        let (out, _) =
            succeeds(place.with_model("run", "sample", &["--probabilities", "--tokens", "1", "--prompt", prompt]));
        let row = out.lines().skip_while(|line| !line.starts_with("text so far")).nth(1).expect("a row");
        assert!(row.trim_start().starts_with(&format!("{shown} ")), "{prompt:?}: {row:?}");
    }
}

#[test]
fn a_run_may_stop_at_its_last_step_and_not_after_it() {
    let place = Place::new();
    assert!(succeeds(place.train("run", "--steps 2 --warmup 0 --stop-at 2")).0.contains("done: step 2"));
    refused(place.train("other", "--steps 2 --warmup 0 --stop-at 3"), 2);
}

/// Text begins at the left of its column, numbers end at the right.
#[test]
fn the_columns_of_the_table_are_aligned() {
    let place = Place::new();
    succeeds(place.train("run", "--steps 0 --warmup 0"));
    let (out, _) = succeeds(place.with_model("run", "inspect", &[]));
    let rows: Vec<&str> =
        out.lines().skip_while(|line| !line.starts_with("parameter")).take_while(|line| !line.is_empty()).collect();
    assert!(rows.len() > 10, "{out}");
    for column in ["shape", "type"] {
        let at = rows[0].find(column).expect(column);
        let wrong = |row: &&&str| {
            let row: Vec<char> = row.chars().collect();
            row[at - 1] != ' ' || row[..at].iter().collect::<String>().starts_with(' ')
        };
        assert_eq!(rows.iter().find(wrong), None, "{column}: {out}");
    }
    let ends: Vec<usize> = rows.iter().map(|row| row.chars().count()).collect();
    assert!(ends.iter().all(|end| *end == ends[0]), "the last column ends in one line: {out}");
}
