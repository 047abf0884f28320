//! `docs/benchmarks.md` and the table of the README are what the committed raw figures give.

use gradus_benches::report::publish::{committed, fill, page, quotes};
use std::{
    fs,
    path::{Path, PathBuf},
};

const HINT: &str = "`cargo run --release -p gradus-benches -- publish` writes it anew";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(file: &str) -> String {
    let path = root().join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn assert_same(file: &str, is: &str, should_be: &str) {
    for (number, (is, should_be)) in is.lines().zip(should_be.lines()).enumerate() {
        assert_eq!(is, should_be, "{file}, line {}: {HINT}", number + 1);
    }
    assert_eq!(is.lines().count(), should_be.lines().count(), "{file}: {HINT}");
}

#[test]
fn the_page_is_that_of_the_committed_figures() {
    let reports = committed(&root()).unwrap();
    assert_same("docs/benchmarks.md", &read("docs/benchmarks.md"), &page(&reports.iter().collect::<Vec<_>>()));
}

#[test]
fn the_readmes_quote_the_committed_figures() {
    let reports = committed(&root()).unwrap();
    for file in ["README.md", "README.zh-CN.md"] {
        let text = read(file);
        assert!(quotes(&text), "{file} has no table");
        assert_same(file, &text, &fill(&text, &reports[0]).unwrap());
    }
}

#[test]
fn the_work_of_a_workload_follows_from_its_sizes() {
    for report in committed(&root()).unwrap() {
        for measured in report.ladders {
            assert_eq!(measured.work, measured.problem.work(), "{}", measured.id());
        }
    }
}
