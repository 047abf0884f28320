//! Running the binary on tiny texts and models.

#![allow(dead_code)] // each test binary uses its own part

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::{fs, time::Duration};
use tempfile::TempDir;

/// Sizes that train a hundred steps in a blink, dropout and accumulation included.
pub const TINY: &str = "--layers 1 --heads 2 --width 16 --context 16 --batch 4 --grad-accum 2 --dropout 0.1 --warmup 5 \
                        --eval-every 25 --eval-batches 2 --log-every 10 --lr 0.01";

/// A folder with a text in it, and room for runs.
pub struct Place {
    folder: TempDir,
}

impl Place {
    /// With 3 kB of verse, Latin and Chinese.
    pub fn new() -> Place {
        let place = Place { folder: tempfile::tempdir().unwrap() };
        let verse =
            "Twinkle, twinkle, little bat!\nHow I wonder what you're at!\n天地玄黄，宇宙洪荒。日月盈昃，辰宿列张。\n";
        fs::write(place.text(), verse.repeat(30)).unwrap();
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn text(&self) -> PathBuf {
        self.path("text.txt")
    }

    /// `gradus train` of a new tiny run in the folder `out`; `flags` win over [`TINY`].
    pub fn train(&self, out: &str, flags: &str) -> Command {
        let given: Vec<&str> = flags.split_whitespace().filter(|word| word.starts_with("--")).collect();
        let tiny: Vec<&str> = TINY.split_whitespace().collect();
        let kept = tiny.chunks(2).filter(|pair| !given.contains(&pair[0])).flatten();
        let mut command = gradus("train");
        command.args(kept).args(flags.split_whitespace());
        command.arg("--data").arg(self.text()).arg("--out").arg(self.path(out));
        command
    }

    /// `gradus train --resume` of the run in the folder `out`.
    pub fn resume(&self, out: &str, flags: &str) -> Command {
        let mut command = gradus(&format!("train --resume {flags}"));
        command.arg("--out").arg(self.path(out));
        command
    }

    /// `gradus COMMAND --model out FLAGS`.
    pub fn with_model(&self, out: &str, command: &str, flags: &[&str]) -> Command {
        let mut command = gradus(command);
        command.arg("--model").arg(self.path(out)).args(flags);
        command
    }

    pub fn model_bytes(&self, out: &str) -> Vec<u8> {
        fs::read(self.path(out).join("model.safetensors")).unwrap()
    }
}

/// The binary with these arguments, separated by spaces.
pub fn gradus(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gradus"));
    command.args(arguments.split_whitespace());
    command
}

/// What a successful run wrote to standard output and to standard error.
#[track_caller]
pub fn succeeds(mut command: Command) -> (String, String) {
    let output = command.output().unwrap();
    let (out, err) = texts(&output);
    assert!(output.status.success(), "{command:?}: {:?}\n{out}\n{err}", output.status);
    (out, err)
}

/// The text after `error: ` of a run that has to fail with `code`: one line, the last one, and no panic.
#[track_caller]
pub fn refused(mut command: Command, code: i32) -> String {
    let output = command.output().unwrap();
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(code), "{command:?}\n{out}\n{err}");
    assert!(!err.contains("panicked") && !err.contains("RUST_BACKTRACE"), "{err}");
    let errors: Vec<&str> = err.lines().filter_map(|line| line.strip_prefix("error: ")).collect();
    assert!(errors.len() == 1 && err.trim_end().ends_with(errors[0]), "one error in the last line: {err}");
    errors[0].to_string()
}

pub fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (text(&output.stdout), text(&output.stderr))
}

#[track_caller]
pub fn contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in {text:?}");
    }
}

/// The numbers of the line that `train` ends with.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    pub step: u64,
    pub train_loss: f64,
    pub val_loss: f64,
    pub val_standard_error: Option<f64>,
    pub val_tokens: usize,
    pub tokens_per_second: f64,
    pub memory: f64,
}

impl Done {
    /// Reads the last line of standard output: of a run that came to its end, or was stopped before.
    #[track_caller]
    pub fn read(out: &str) -> Done {
        let line = out.lines().last().expect("a last line");
        let part = |rest: &str, begin: &str, end: &str| -> (f64, String) {
            let rest = rest.strip_prefix(begin).unwrap_or_else(|| panic!("{begin:?} in {line:?}"));
            let (number, rest) = rest.split_at(rest.find(end).unwrap_or_else(|| panic!("{end:?} in {line:?}")));
            (number.parse().unwrap_or_else(|_| panic!("{number:?} in {line:?}")), rest.to_string())
        };
        let ended = line.strip_prefix("done: ").or(line.strip_prefix("stopped: "));
        let (step, rest) = part(ended.unwrap_or_else(|| panic!("{line:?}")), "step ", ",");
        let (train_loss, rest) = part(&rest, ", train loss ", ",");
        let (val_loss, rest) = part(&rest, ", val loss ", " ");
        let error = rest.strip_prefix(" ± ").map(|_| part(&rest, " ± ", " "));
        let (val_standard_error, rest) = error.map_or((None, rest), |(error, rest)| (Some(error), rest));
        let (val_tokens, rest) = part(&rest, " over ", " tokens");
        let rest = rest.replacen(" tokens", "", 1);
        let (tokens_per_second, rest) = part(&rest, ", ", " tokens/s");
        let (memory, rest) = part(&rest, " tokens/s, peak memory ", " MiB");
        assert_eq!(rest, " MiB", "{line:?}");
        let (step, val_tokens) = (step as u64, val_tokens as usize);
        Done { step, train_loss, val_loss, val_standard_error, val_tokens, tokens_per_second, memory }
    }
}

/// The lines of `metrics.jsonl`.
pub fn metrics(dir: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(dir.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?}: {error}"))).collect()
}

/// A run in a process of its own, which ends with the test, also where that fails.
pub struct Running {
    child: Child,
    err: Option<BufReader<ChildStderr>>,
}

impl Running {
    /// Its output is kept for [`Running::finish`].
    pub fn start(mut command: Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Running { err: child.stderr.take().map(BufReader::new), child }
    }

    /// What it says is lost, and so it may say any amount.
    pub fn start_unheard(mut command: Command) -> Running {
        Running { child: command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap(), err: None }
    }

    /// Waits until the condition holds, as long as it runs; after minutes something hangs, on the slowest machine too.
    #[track_caller]
    pub fn wait_until(&mut self, what: &str, mut condition: impl FnMut() -> bool) {
        let begin = std::time::Instant::now();
        while !condition() {
            assert!(self.child.try_wait().unwrap().is_none(), "it ended before {what}");
            assert!(begin.elapsed() < Duration::from_secs(300), "five minutes without {what}");
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    /// Waits until it says this on standard error; whether it did before it ended.
    pub fn says(&mut self, part: &str) -> bool {
        let err = self.err.as_mut().unwrap();
        let mut line = String::new();
        while !line.contains(part) {
            line.clear();
            if err.read_line(&mut line).unwrap() == 0 {
                return false;
            }
        }
        true
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, `INT` as Ctrl-C does; nothing where it has ended.
    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args([&format!("-{signal}"), &pid]).status().unwrap();
        assert!(status.success());
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for the end; returns the exit code and both outputs, as far as they have not been read.
    pub fn finish(mut self) -> (Option<i32>, String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        self.err.take().unwrap().read_to_string(&mut err).unwrap();
        (self.child.wait().unwrap().code(), out, err)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it has ended where all went well
        let _ = self.child.wait();
    }
}
