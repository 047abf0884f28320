//! Byte pair encoding against `tiktoken`, and through the binary.

mod common;

use common::{Place, contains, gradus, refused, succeeds};
use gradus_gpt::tokenizer::bpe::{Bpe, Pattern, read, write};
use proptest::{prelude::*, test_runner::Config};
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use tiktoken_rs::CoreBPE;

/// What tokenizers stumble over: many scripts, joined emoji, combining marks, code, runs of white space, line breaks of all kinds,
/// numbers, apostrophes, special tokens.
const TORTURE: &str = include_str!("torture.txt");

struct Known {
    name: &'static str,
    pattern: Pattern,
    theirs: CoreBPE,
    ours: Bpe,
}

static KNOWN: LazyLock<[Known; 3]> = LazyLock::new(|| {
    [
        known("gpt2", Pattern::Gpt2, tiktoken_rs::r50k_base().unwrap(), 50_256),
        known("cl100k_base", Pattern::Cl100k, tiktoken_rs::cl100k_base().unwrap(), 100_256),
        known("o200k_base", Pattern::O200k, tiktoken_rs::o200k_base().unwrap(), 199_998),
    ]
});

fn known(name: &'static str, pattern: Pattern, theirs: CoreBPE, ranks: u32) -> Known {
    let tokens = (0..ranks).map(|rank| theirs.decode_bytes(&[rank]).unwrap());
    let special = theirs.special_tokens().into_iter().map(|text| {
        let ids = theirs.encode_with_special_tokens(text);
        assert_eq!(ids.len(), 1, "{text}");
        (text.to_string(), ids[0])
    });
    let ours = Bpe::from_tokens(pattern, tokens, special.collect()).unwrap();
    Known { name, pattern, theirs, ours }
}

impl Known {
    #[track_caller]
    fn agrees_on(&self, text: &str) {
        let ids = self.ours.encode(text);
        assert_eq!(ids, self.theirs.encode_ordinary(text), "{}: {text:?}", self.name);
        assert_eq!(self.ours.decode(&ids).unwrap(), text.as_bytes(), "{}: {text:?}", self.name);
    }
}

#[test]
fn ids_are_those_of_tiktoken() {
    assert_eq!([0, 1, 2].map(|i| KNOWN[i].ours.vocab_size()), [50_257, 100_277, 200_019]);
    for known in &*KNOWN {
        assert_eq!(known.ours.pattern(), known.pattern);
        known.agrees_on(TORTURE);
        let characters: Vec<char> = TORTURE.chars().collect();
        for length in [1, 2, 3, 5, 8, 13, 40] {
            characters
                .windows(length)
                .step_by(1 + length / 3)
                .for_each(|part| known.agrees_on(&part.iter().collect::<String>()));
        }
        for repeated in [" ", "\n", "a", "天", "'s", "\r\n ", "1", "!/", "\u{301}", "Ab"] {
            [1, 2, 3, 4, 17, 300].iter().for_each(|&count| known.agrees_on(&repeated.repeat(count)));
        }
        known.agrees_on(include_str!("../src/text/tokenizer/bpe/mod.rs"));
        assert_eq!(
            known.ours.encode_with_special(TORTURE),
            known.theirs.encode_with_special_tokens(TORTURE),
            "{}",
            known.name
        );
    }
}

#[test]
fn known_vocabularies_are_written_and_read_again() {
    let known = &KNOWN[0];
    let text = write(&known.ours).unwrap();
    assert!(text.starts_with("IQ== 0\nIg== 1\n"), "{}", &text[..40]); // as in tiktoken's file of gpt2
    let again = read(&text, Pattern::Gpt2, known.ours.special().to_vec()).unwrap();
    assert!(again == known.ours);
    let json = serde_json::to_string(&known.ours).unwrap();
    assert!(serde_json::from_str::<Bpe>(&json).unwrap() == known.ours);
}

/// As `tiktoken` has them.
const PATTERNS: [(Pattern, &str); 3] = [
    (Pattern::Gpt2, r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"),
    (
        Pattern::Cl100k,
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    ),
    (
        Pattern::O200k,
        concat!(
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
            r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ),
    ),
];

static EXPRESSIONS: LazyLock<Vec<(Pattern, fancy_regex::Regex)>> = LazyLock::new(|| {
    PATTERNS.iter().map(|&(pattern, text)| (pattern, fancy_regex::Regex::new(text).unwrap())).collect()
});

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::with_cases(2000) })]

    #[test]
    fn pieces_are_those_of_the_expressions_with_look_ahead(
        text in "([ \t\r\n]{0,4}|[\u{a0}\u{3000}\u{85}]|[aBé天ǅʰ]{1,3}|[\u{301}\u{903}]|'[sStTrRvVmMlLdD\u{17f}eE]{0,2}|[0-9²Ⅷ]{1,4}|[!/.'🦀]{1,3}|\\PC){0,12}"
    ) {
        for (pattern, expression) in &*EXPRESSIONS {
            let expected: Vec<&str> = expression.find_iter(&text).map(|found| found.unwrap().as_str()).collect();
            prop_assert_eq!(pattern.pieces(&text).collect::<Vec<_>>(), expected, "{:?} {:?}", pattern, text);
        }
    }

    #[test]
    fn ids_of_arbitrary_texts_are_those_of_tiktoken(text in "(\\PC|[ \n\r'a-zA-Z0-9]){0,40}") {
        for known in &*KNOWN {
            known.agrees_on(&text);
        }
    }
}

/// What `command` writes to standard output, given `input`.
#[track_caller]
fn with_input(mut command: Command, input: &[u8]) -> Vec<u8> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// `gradus tokenizer COMMAND --tokenizer FILE …`.
fn tokenizer(place: &Place, command: &str, file: &str, flags: &[&str]) -> Command {
    let mut gradus = gradus(&format!("tokenizer {command} --tokenizer"));
    gradus.arg(place.path(file)).args(flags);
    gradus
}

/// `gradus tokenizer train` on the text of the place.
fn learn(place: &Place, out: &str, flags: &str) -> Command {
    let mut gradus = gradus(&format!("tokenizer train {flags} --data"));
    gradus.arg(place.text()).arg("--out").arg(place.path(out));
    gradus
}

#[test]
fn a_tokenizer_is_trained_and_what_it_encodes_it_decodes() {
    let place = Place::new();
    let (out, _) = succeeds(learn(&place, "own.json", "--vocab-size 320 --special <|end|>"));
    contains(&out, &["own.json: 320 tokens, 256 bytes, 63 pairs, 1 special\n"]);
    succeeds(learn(&place, "own.tiktoken", "--vocab-size 319"));
    let text = fs::read(place.text()).unwrap();
    let ids = with_input(tokenizer(&place, "encode", "own.json", &[]), &text);
    let count = ids.split(|&byte| byte == b' ').count();
    assert!(count < text.len() / 2 && ids.iter().all(|byte| b" 0123456789\n".contains(byte)), "{count} tokens");
    assert!(with_input(tokenizer(&place, "encode", "own.tiktoken", &[]), &text) == ids);
    assert!(with_input(tokenizer(&place, "decode", "own.json", &[]), &ids) == text);
    // Bytes stay bytes: a token may be a part of a character.
    assert_eq!(with_input(tokenizer(&place, "decode", "own.json", &["229", "319"]), b""), b"\xe5<|end|>");
    let encode = |flags: &[&str]| succeeds(tokenizer(&place, "encode", "own.json", flags)).0;
    assert_eq!(encode(&["--text", "<|end|>", "--special"]), "319\n");
    assert_eq!(encode(&["--text", "x<"]), "120 60\n");
    assert!(encode(&["--text", "<|end|>"]).split(' ').count() > 1);
}

#[test]
fn what_is_wrong_with_a_tokenizer_is_one_line() {
    let place = Place::new();
    contains(&refused(learn(&place, "a.json", "--vocab-size 99"), 2), &["vocab-size 99: must be at least 256"]);
    contains(&refused(learn(&place, "a.json", "--vocab-size 256 --special a"), 2), &["must be at least 257"]);
    contains(
        &refused(learn(&place, "a.json", "--vocab-size 5000"), 1),
        &["a vocabulary of 5000 tokens cannot be learned"],
    );
    contains(
        &refused(learn(&place, "a.tiktoken", "--vocab-size 300 --special a"), 2),
        &["this format has no special tokens"],
    );
    assert!(!place.path("a.json").exists() && !place.path("a.tiktoken").exists());
    succeeds(learn(&place, "own.json", "--vocab-size 300"));
    let good = fs::read_to_string(place.path("own.json")).unwrap();
    for (broken, problem) in [
        (
            good.replace("\"merges\":\"", "\"merges\":\"999+97 "),
            "merge 1 makes token 256 of token 999, which does not come before it",
        ),
        (good.replace("cl100k", "gpt9"), "gpt9"),
        (good[..good.len() / 2].to_string(), "EOF"),
        ("IQ== 0\nIQ== 2\n".into(), "line 2: the rank is \"2\" where 1 comes next"),
        (String::new(), "token 0 is not a single byte"),
    ] {
        fs::write(place.path("broken.json"), broken).unwrap();
        let error = refused(tokenizer(&place, "encode", "broken.json", &["--text", "a"]), 1);
        contains(&error, &["broken.json is damaged or not a file of gradus: ", problem]);
    }
    let decode = |id: &str| refused(tokenizer(&place, "decode", "own.json", &[id]), 2);
    contains(&decode("300"), &["id 300: there is no such token in ", "own.json, whose vocabulary has 300"]);
    contains(&decode("x"), &["id x: is not a token id"]);
    contains(&refused(tokenizer(&place, "encode", "none.json", &["--text", "a"]), 1), &["cannot read ", "none.json"]);
}

#[test]
fn a_terminal_sees_the_tokens() {
    let place = Place::new();
    succeeds(learn(&place, "own.json", "--vocab-size 300"));
    let path = place.path("own.json");
    let shown = |environment: &[(&str, &str)]| {
        let line =
            format!("{} tokenizer encode --tokenizer {} --text 'xé a'", env!("CARGO_BIN_EXE_gradus"), path.display());
        let mut script = Command::new("script");
        script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::null());
        script.env_remove("TERM").env_remove("NO_COLOR").envs(environment.iter().copied());
        script.output().ok().map(|output| String::from_utf8(output.stdout).unwrap())
    };
    let Some(colored) = shown(&[("TERM", "xterm-256color")]) else {
        return eprintln!("not tested: there is no `script` on this machine");
    };
    contains(&colored, &["\u{1b}[30;48;5;152mx\u{1b}[0m", "4 characters, 5 bytes", "120 195 169 "]);
    for environment in [&[("TERM", "xterm"), ("NO_COLOR", "1")][..], &[("TERM", "dumb")], &[]] {
        let plain = shown(environment).unwrap();
        assert!(plain.contains(r"x|\xc3|\xa9|") && !plain.contains('\u{1b}'), "{plain:?}");
    }
}

#[test]
fn a_model_of_pairs_trains_resumes_and_is_used() {
    let place = Place::new();
    let (_, err) = succeeds(place.train("whole", "--tokenizer bpe:300 --steps 40"));
    contains(&err, &["vocabulary 300\n"]);
    succeeds(place.train("parts", "--tokenizer bpe:300 --steps 40 --stop-at 17"));
    succeeds(place.resume("parts", "--tokenizer bpe:300"));
    assert!(place.model_bytes("parts") == place.model_bytes("whole"));

    // Through a pipe the text is kept as tokens, of two bytes each.
    let text = fs::read(place.text()).unwrap();
    let mut piped = gradus("train --tokenizer bpe:300 --steps 40 --stop-at 9 --data -");
    piped.args(common::TINY.split_whitespace()).arg("--out").arg(place.path("pipe"));
    with_input(piped, &text);
    let kept = fs::read(place.path("pipe").join("tokens.bin")).unwrap();
    contains(&String::from_utf8_lossy(&kept[..2000]), &["\"width\":2", "\"kind\":\"bpe\""]);
    let mut resumed = place.resume("pipe", "");
    resumed.stdin(Stdio::null());
    succeeds(resumed);
    assert!(place.model_bytes("pipe") == place.model_bytes("whole"));

    let (sample, _) = succeeds(place.with_model("whole", "sample", &["--prompt", "I wonder ☃ 天", "--tokens", "40"]));
    assert!(sample.starts_with("I wonder ☃ 天") && sample.len() > 60, "{sample:?}");
    let flags = ["--prompt", "How I", "--tokens", "9", "--probabilities"];
    contains(&succeeds(place.with_model("whole", "sample", &flags)).0, &["the 5 likeliest", "is a byte that begins"]);
    let data = place.text();
    let (loss, _) = succeeds(place.with_model("whole", "eval", &["--data", data.to_str().unwrap()]));
    contains(&loss, &["loss ", "perplexity "]);
    contains(&succeeds(place.with_model("whole", "inspect", &[])).0, &["vocabulary 300;"]);
    let ids = with_input(tokenizer(&place, "encode", "whole", &["--text", "twinkle"]), b"");
    assert!(ids.split(|&byte| byte == b' ').count() < 7, "the folder of a run is a tokenizer too");
}

#[test]
fn a_tokenizer_that_does_not_fit_the_model_is_one_line_that_names_both() {
    let place = Place::new();
    contains(&refused(place.train("run", "--tokenizer bpe:256"), 2), &["tokenizer bpe:256: must have from 257 tokens"]);
    contains(&refused(place.train("run", "--tokenizer bpe:x"), 2), &["give char, byte, or bpe:512"]);
    contains(
        &refused(place.train("run", "--tokenizer bpe:9999"), 1),
        &["a vocabulary of 9999 tokens cannot be learned"],
    );
    assert!(!place.path("run").exists());
    succeeds(place.train("run", "--tokenizer bpe:300 --steps 0 --warmup 0"));
    contains(
        &refused(place.resume("run", "--tokenizer bpe:301"), 2),
        &["--tokenizer bpe:301 contradicts the saved run, which has bpe:300"],
    );
    let path = place.path("run").join("config.json");
    let config = fs::read_to_string(&path).unwrap();
    let sample = |config: String| {
        fs::write(&path, config).unwrap();
        refused(place.with_model("run", "sample", &[]), 1)
    };
    // The same size, and other pairs.
    contains(
        &sample(config.replace("\"merges\": \"", "\"merges\": \"1+1 ").replace(config_end(&config), "\"")),
        &["these weights were saved with tokenizer bpe:300 ", ", but config.json says tokenizer bpe:300 "],
    );
    contains(
        &sample(config.replace("\"vocab_size\": 300", "\"vocab_size\": 301")),
        &["the tokenizer (bpe:300) does not fit the model: vocab_size is 301, but the vocabulary has 300 tokens"],
    );
    contains(
        &sample(config.replace("\"merges\": \"", "\"merges\": \"300+1 ")),
        &["config.json is damaged", "merge 1 makes token 256 of token 300, which does not come before it"],
    );
}

/// The last merge in a `config.json`, with the quotation mark after it.
fn config_end(config: &str) -> &str {
    let end = config.find("\"merges\": \"").unwrap() + 11;
    let end = end + config[end..].find('"').unwrap();
    &config[config[..end].rfind(' ').unwrap()..=end]
}

#[test]
fn tokens_of_a_long_text_are_learned_from_windows_of_it() {
    let place = Place::new();
    let line = |i: u32| {
        format!("{} twinkle, twinkle, little bat number {i}: 天地玄黄，宇宙洪荒。\n", i.wrapping_mul(2_654_435_761))
    };
    let text: String = (0..130_000).map(line).collect();
    assert!(text.len() > 10 << 20, "{}", text.len());
    fs::write(place.text(), text).unwrap();
    let (_, err) = succeeds(place.train("run", "--tokenizer bpe:300 --steps 2 --warmup 0"));
    contains(&err, &["the tokens are learned from 8,38", " bytes, in 128 windows at even distances"]);
    let tokens = place.path("run").join("tokens.bin");
    let size = fs::metadata(&tokens).unwrap().len();
    fs::remove_file(&tokens).unwrap();
    succeeds(place.resume("run", "--steps 4"));
    assert_eq!(fs::metadata(&tokens).unwrap().len(), size);
}
