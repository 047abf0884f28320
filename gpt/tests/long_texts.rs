//! Texts that are long, come through a pipe, have many characters or begin with a byte order mark, through the binary.

mod common;

use common::{Done, Place, Running, contains, gradus, refused, succeeds};
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

/// Runs `command` with `text` on its standard input.
#[track_caller]
fn with_input(mut command: Command, text: &[u8]) -> (String, String) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text).unwrap();
    let output = child.wait_with_output().unwrap();
    let (out, err) = common::texts(&output);
    assert!(output.status.success(), "{out}\n{err}");
    (out, err)
}

/// `gradus train` of a tiny run on the text at `data`.
fn train_on(place: &Place, data: &str, out: &str, flags: &str) -> Command {
    let mut command = gradus("train");
    command.args(common::TINY.split_whitespace()).args(flags.split_whitespace());
    command.args(["--data", data, "--out"]).arg(place.path(out));
    command
}

#[test]
fn a_text_from_standard_input_trains_as_a_file_does_and_is_kept_for_resuming() {
    let place = Place::new();
    let text = fs::read(place.text()).unwrap();
    succeeds(place.train("file", "--steps 20"));
    let (_, err) = with_input(train_on(&place, "-", "pipe", "--steps 20 --stop-at 9"), &text);
    contains(&err, &["text   standard input: "]);
    let resume = |flags: &str| {
        let mut command = place.resume("pipe", flags);
        command.stdin(Stdio::null());
        command
    };
    succeeds(resume("--stop-at 15")); // nobody writes the text again
    with_input(place.resume("pipe", "--data - --stop-at 17"), &text);
    let mut other = place.resume("pipe", "--data -");
    other.stdin(fs::File::open(place.path("pipe").join("config.json")).unwrap());
    contains(&refused(other, 1), &["standard input has changed since the run began"]);
    succeeds(resume(""));
    assert!(place.model_bytes("pipe") == place.model_bytes("file"));

    // Without the tokens the text is asked for again, and what comes instead is not taken for it.
    fs::remove_file(place.path("pipe").join("tokens.bin")).unwrap();
    contains(&refused(resume("--steps 30"), 1), &["standard input is empty"]);
    with_input(place.resume("pipe", "--steps 30"), &text);

    let (by_name, _) = succeeds(place.with_model("file", "eval", &["--data", place.text().to_str().unwrap()]));
    let (by_pipe, _) = with_input(place.with_model("file", "eval", &["--data", "-"]), &text);
    assert_eq!(by_pipe, by_name);
}

/// Waits until `run` says that it waits for `name`, and then lets `write` write the text. A run that does not say so gets
/// its text after a minute, so that the test fails and does not wait for ever.
#[cfg(unix)]
#[track_caller]
fn is_waited_for(mut run: Running, name: &str, write: impl FnOnce() + Send + 'static) {
    let (said, heard) = std::sync::mpsc::channel();
    let writer = std::thread::spawn(move || {
        let _ = heard.recv_timeout(std::time::Duration::from_secs(60));
        write();
    });
    let waits = run.says(&format!("waiting for a text on {name}"));
    let _ = said.send(());
    writer.join().unwrap();
    let (code, out, err) = run.finish();
    assert!(waits, "it does not say that it waits");
    assert_eq!(code, Some(0), "{out}\n{err}");
}

#[cfg(unix)]
#[test]
fn a_pipe_that_nobody_writes_to_is_said_to_be_waited_for() {
    let place = Place::new();
    let text = fs::read(place.text()).unwrap();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let mut command = train_on(&place, "-", "pipe", "--steps 5");
    command.stdin(reader);
    let run = Running::start(command);
    let piped = text.clone();
    is_waited_for(run, "standard input", move || writer.write_all(&piped).unwrap());

    let pipe = place.path("named");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let name = pipe.to_str().unwrap().to_string();
    let run = Running::start(train_on(&place, &name, "named pipe", "--steps 5"));
    is_waited_for(run, &name, move || fs::write(&pipe, &text).unwrap());
    assert!(place.model_bytes("named pipe") == place.model_bytes("pipe"));
}

#[test]
fn a_byte_order_mark_is_not_a_token() {
    let place = Place::new();
    let text = fs::read(place.text()).unwrap();
    let marked = place.path("marked.txt");
    fs::write(&marked, [b"\xef\xbb\xbf", &text[..]].concat()).unwrap();
    let marked = marked.to_str().unwrap();
    for kind in ["char", "byte"] {
        let (plain, with_mark) = (format!("plain {kind}"), format!("marked {kind}"));
        succeeds(place.train(&plain, &format!("--steps 5 --tokenizer {kind}")));
        succeeds(train_on(&place, marked, &with_mark, &format!("--steps 5 --tokenizer {kind}")));
        assert!(place.model_bytes(&plain) == place.model_bytes(&with_mark));
        let loss = |data: &str| succeeds(place.with_model(&plain, "eval", &["--data", data])).0;
        assert_eq!(loss(marked), loss(place.text().to_str().unwrap()));
    }
}

#[test]
fn eval_says_what_to_do_in_flags_that_it_has() {
    let place = Place::new();
    succeeds(place.train("run", "--steps 0 --warmup 0"));
    let other = place.path("other.txt");
    let eval = |text: &str| {
        fs::write(&other, text).unwrap();
        refused(place.with_model("run", "eval", &["--data", other.to_str().unwrap()]), 1)
    };
    let error = eval("little\nbat at\na ☃ bat");
    contains(
        &error,
        &["other.txt, line 3: ", "does not know the character '☃'", "take another text", "--tokenizer byte"],
    );
    let far = format!("{}x☃", "a bat\n".repeat(30_000)); // past the first piece that is read
    contains(&eval(&far), &["line 30001: ", "'x'"]);
    let error = eval("a");
    contains(&error, &["other.txt is too short", "give a longer text"]);
    assert!(!error.contains("--"), "{error}");
    let error = refused(place.with_model("run", "sample", &["--prompt", "a ☃"]), 1);
    contains(&error, &["'☃'", "take another prompt", "--tokenizer byte"]);
}

#[test]
fn a_text_of_many_characters_says_what_that_makes_of_the_model() {
    let place = Place::new();
    let text: String = (0x4e00..).filter_map(char::from_u32).take(20_500).collect();
    fs::write(place.text(), text.repeat(2)).unwrap();
    let (_, err) = succeeds(place.train("run", "--steps 5"));
    contains(&err, &["vocabulary 20,500", "20,500 characters are 328,000 of the parameters, 99%", "--tokenizer byte"]);
    let (_, err) = succeeds(place.train("bytes", "--steps 5 --tokenizer byte"));
    assert!(!err.contains("note "), "{err}");
}

/// Lines that differ, so that the text is not one line over and over.
fn long_text(bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 100);
    for line in 0_u64.. {
        if text.len() >= bytes {
            break;
        }
        text.push_str(&format!("the {line}th line of the text says {}\n", line.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    }
    text
}

#[test]
fn a_long_text_is_not_held_in_memory_and_taken_from_the_cache_the_next_time() {
    const MIB: usize = 32;
    let place = Place::new();
    fs::write(place.text(), long_text(1 << 20)).unwrap();
    let flags = "--steps 6 --batch 64 --context 64";
    let short = Done::read(&succeeds(place.train("short", flags)).0);
    assert!(!place.path("short").join("tokens.bin").exists(), "a short text is read again");

    fs::write(place.text(), long_text(MIB << 20)).unwrap();
    let memory = |(out, _): (String, String)| Done::read(&out).memory - short.memory;
    let limit = 0.4 * MIB as f64; // its ids, a byte each, would be as long as the text
    let first = memory(succeeds(place.train("run", &format!("{flags} --stop-at 2"))));
    assert!(first < limit, "{first} MiB for a text of {MIB} MiB");
    assert!(place.path("run").join("tokens.bin").exists());
    let second = memory(succeeds(place.resume("run", "")));
    assert!(second < limit, "{second} MiB for a text of {MIB} MiB");

    // The same run without a cache, and with one that is damaged.
    succeeds(place.train("again", &format!("{flags} --stop-at 2")));
    let cache = place.path("again").join("tokens.bin");
    let mut bytes = fs::read(&cache).unwrap();
    let good = bytes.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&cache, &bytes).unwrap();
    succeeds(place.resume("again", ""));
    assert!(place.model_bytes("again") == place.model_bytes("run"));
    assert!(fs::read(&cache).unwrap() == good, "it is made again");

    // A text that has changed is noticed, whatever the cache says.
    fs::write(place.text(), long_text(MIB << 20).replacen("the", "The", 1)).unwrap();
    contains(&refused(place.resume("run", "--steps 7"), 1), &["has changed since the run began"]);
}

/// `text.txt` of nine MiB, long enough to be read by position; characters of one to three bytes, and more than 256 of them.
fn long_text_of_many_characters(place: &Place) {
    let mut text = long_text(9 << 20);
    text.extend((0x4e00..0x4f00).filter_map(char::from_u32));
    fs::write(place.text(), text).unwrap();
}

#[test]
fn a_token_file_that_is_cut_off_under_a_training_ends_it_with_the_last_checkpoint_kept() {
    let place = Place::new();
    long_text_of_many_characters(&place);
    let flags = "--batch 2 --eval-every 5";
    succeeds(place.train("whole", &format!("--steps 6 {flags}")));

    let mut run = Running::start(place.train("run", &format!("--steps 9000000 {flags}")));
    let metrics = place.path("run").join("metrics.jsonl");
    run.wait_until("step 5", || fs::read_to_string(&metrics).is_ok_and(|text| text.contains("{\"step\":5,")));
    let tokens = place.path("run").join("tokens.bin");
    fs::File::options().write(true).open(&tokens).unwrap().set_len(1000).unwrap();
    let (code, out, err) = run.finish();
    assert_eq!(code, Some(1), "{out}\n{err}");
    let errors: Vec<&str> = err.lines().filter(|line| line.starts_with("error: ")).collect();
    assert!(errors.len() == 1 && err.trim_end().ends_with(errors[0]) && !err.contains("panicked"), "{err}");
    contains(errors[0], &["run/tokens.bin: it was cut off at byte 1000; the checkpoint of step ", "--resume --out "]);
    let step = errors[0].split("step ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    assert!(step.parse::<u64>().unwrap() >= 5, "{}", errors[0]);

    // The model can be used, and the run goes on: the file is made again.
    succeeds(place.with_model("run", "sample", &["--tokens", "5"]));
    succeeds(place.with_model("run", "inspect", &[]));
    let on = step.parse::<u64>().unwrap() + 2;
    succeeds(place.resume("run", &format!("--stop-at {on}")));
    assert!(fs::read(&tokens).unwrap() == fs::read(place.path("whole").join("tokens.bin")).unwrap());
}

#[cfg(unix)]
#[test]
fn a_token_file_that_is_removed_under_a_training_is_read_on() {
    let place = Place::new();
    long_text_of_many_characters(&place);
    let flags = "--steps 60 --batch 2 --eval-every 5";
    succeeds(place.train("whole", flags));
    let mut run = Running::start(place.train("run", flags));
    let tokens = place.path("run").join("tokens.bin");
    run.wait_until("the tokens", || tokens.exists());
    fs::remove_file(&tokens).unwrap();
    let (code, out, err) = run.finish();
    assert_eq!(code, Some(0), "{out}\n{err}");
    assert!(place.model_bytes("run") == place.model_bytes("whole"));
}

#[test]
fn where_the_tokens_cannot_be_written_the_run_says_so_and_reads_the_text_itself() {
    let place = Place::new();
    long_text_of_many_characters(&place);
    let flags = "--steps 12";
    succeeds(place.train("whole", flags));
    fs::create_dir(place.path("run")).unwrap();
    fs::write(place.path("run").join("tokens.bin"), "my own").unwrap();
    let (out, err) = succeeds(place.train("run", flags));
    contains(
        &err,
        &["run/tokens.bin is in the way", "this run reads the text itself, and the next start reads it again"],
    );
    assert!(place.model_bytes("run") == place.model_bytes("whole"));
    assert_eq!(fs::read_to_string(place.path("run").join("tokens.bin")).unwrap(), "my own");
    let (memory, expected) = (Done::read(&out).memory, Done::read(&succeeds(place.train("again", flags)).0).memory);
    assert!(memory < expected + 4.0, "{memory} MiB, and {expected} MiB with a file");

    // From a pipe, the text is what is kept.
    let text = fs::read(place.text()).unwrap();
    fs::create_dir(place.path("pipe")).unwrap();
    fs::write(place.path("pipe").join("tokens.bin"), "my own").unwrap();
    let (_, err) = with_input(train_on(&place, "-", "pipe", flags), &text);
    contains(&err, &["this run keeps the text in memory; to resume it, give the text again with --data"]);
    assert!(place.model_bytes("pipe") == place.model_bytes("whole"));
}

#[test]
fn eval_of_a_long_text_has_the_same_loss_from_the_text_a_pipe_and_the_cache() {
    let place = Place::new();
    long_text_of_many_characters(&place);
    succeeds(place.train("run", "--steps 8"));
    let eval = |data: &str| place.with_model("run", "eval", &["--tokens", "20000", "--data", data]);
    let (cached, _) = succeeds(eval(place.text().to_str().unwrap()));
    let other = place.path("other.txt");
    fs::copy(place.text(), &other).unwrap();
    assert_eq!(succeeds(eval(other.to_str().unwrap())).0, cached);
    assert_eq!(with_input(eval("-"), &fs::read(&other).unwrap()).0, cached);
    assert!(!other.with_file_name("tokens.bin").exists());
}
