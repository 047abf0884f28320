//! Runs every lesson and holds what it prints against `expected/NAME.txt`. `GRADUS_EXPECT=write` writes those files anew.
//!
//! The first line of such a file says how far a number may be from the expected one: `# numbers: exact`, or
//! `# numbers: 0.02 relative, 0.01 absolute`. Words have to be equal. A lesson checks its own pass mark, and its exit status
//! says so.

use std::path::{Path, PathBuf};
use std::process::Command;

macro_rules! lessons {
    ($($name:ident: $file:literal),* $(,)?) => {
        const LESSONS: &[&str] = &[$($file),*];
        $(#[test] fn $name() { check($file); })*
    };
}

lessons! {
    lesson_01: "01_perceptron",
    lesson_02: "02_mlp",
    lesson_08: "08_positions",
    lesson_09: "09_attention",
    lesson_10: "10_block",
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The names of the lessons in a folder, in order.
fn names(of: &str, ending: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder(of)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.filter_map(|name| Some(name.strip_suffix(ending)?.to_string())).collect();
    names.sort();
    names
}

#[test]
fn every_lesson_is_run_here_has_solutions_and_expected_output() {
    assert_eq!(names("examples", ".rs"), LESSONS, "examples/");
    assert_eq!(names("solutions", ".rs"), LESSONS, "solutions/");
    assert_eq!(names("expected", ".txt"), LESSONS, "expected/");
}

fn run(program: &str, at: &Path) -> String {
    let tests = std::env::current_exe().unwrap();
    let program = tests.ancestors().nth(2).unwrap().join("examples").join(program);
    let output = Command::new(&program)
        .current_dir(at)
        .output()
        .unwrap_or_else(|e| panic!("{}: {e}. `cargo test -p gradus-course` builds the lessons too", program.display()));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}\n{errors}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).unwrap()
}

fn check(lesson: &str) {
    let at = tempfile::tempdir().unwrap();
    let printed = run(lesson, at.path());
    for line in printed.lines().filter(|line| line.ends_with(".svg")) {
        let svg = std::fs::read_to_string(at.path().join(line.trim())).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{line}");
    }
    let path = folder("expected").join(format!("{lesson}.txt"));
    let expected = std::fs::read_to_string(&path).unwrap_or_else(|_| "# numbers: exact\n".into());
    let (header, text) = expected.split_once('\n').unwrap();
    if std::env::var("GRADUS_EXPECT").is_ok_and(|value| value == "write") {
        std::fs::write(&path, format!("{header}\n{printed}")).unwrap();
        return;
    }
    let tolerance = Tolerance::read(header).unwrap_or_else(|| panic!("{}: {header}", path.display()));
    for (n, (got, expected)) in printed.lines().zip(text.lines()).enumerate() {
        assert!(tolerance.alike(got, expected), "line {}:\n{got}\nexpected, {header}:\n{expected}", n + 1);
    }
    assert_eq!(printed.lines().count(), text.lines().count(), "lines printed and expected");
    run(&format!("{}_solutions", &lesson[..2]), at.path());
}

struct Tolerance {
    relative: f64,
    absolute: f64,
}

impl Tolerance {
    fn read(header: &str) -> Option<Tolerance> {
        let rule = header.strip_prefix("# numbers: ")?;
        if rule == "exact" {
            return Some(Tolerance { relative: 0.0, absolute: 0.0 });
        }
        let (relative, absolute) = rule.strip_suffix(" absolute")?.split_once(" relative, ")?;
        Some(Tolerance { relative: relative.parse().ok()?, absolute: absolute.parse().ok()? })
    }

    /// Words are compared as they are, numbers by their values; how wide they are printed does not matter.
    fn alike(&self, a: &str, b: &str) -> bool {
        let close = |a: f64, b: f64| (a - b).abs() <= self.absolute + self.relative * a.abs().max(b.abs());
        let (a, b) = (pieces(a), pieces(b));
        a.len() == b.len()
            && a.iter().zip(&b).all(|(a, b)| match (a.parse::<f64>(), b.parse::<f64>()) {
                (Ok(a), Ok(b)) => close(a, b),
                _ => a == b,
            })
    }
}

/// Words, and numbers by themselves: "p=0.25%" is "p=", "0.25", "%".
fn pieces(line: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    for word in line.replace('−', "-").split_whitespace() {
        let digit = |c: char| c.is_ascii_digit() || c == '.';
        let mut before = None;
        for c in word.chars() {
            let kind = digit(c) || (c == '-' && before != Some(true));
            match pieces.last_mut() {
                Some(piece) if before == Some(kind) && c != '-' => piece.push(c),
                _ => pieces.push(c.into()),
            }
            before = Some(kind);
        }
    }
    pieces
}

#[test]
fn numbers_are_compared_by_value_and_words_as_they_are() {
    let within = Tolerance::read("# numbers: 0.1 relative, 0.01 absolute").unwrap();
    let exact = Tolerance::read("# numbers: exact").unwrap();
    for (a, b, loose, strict) in [
        ("loss 1.00", "loss   1.05", true, false),
        ("loss 1.00", "loss 1.30", false, false),
        ("loss 1.0", "gain 1.0", false, false),
        ("p=−0.25%", "p=-0.26%", true, false),
        ("p=−0.25%", "p=0.25%", false, false),
        ("0.000", "-0.000", true, true),
        ("1 2", "1 2 3", false, false),
        ("[1, 2]", "[1, 2]", true, true),
    ] {
        assert_eq!((within.alike(a, b), exact.alike(a, b)), (loose, strict), "{a} and {b}");
    }
}
