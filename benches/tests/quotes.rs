//! Every figure that the README shows stands in the committed report: its tables, and those of ARCHITECTURE.md and the
//! ladders, are what `docs/report/report.json` gives, and the figures in its prose are among those of the report. The same
//! of the second machine: `docs/amx.md` quotes `docs/report-amx/report.json`.

use gradus_benches::report::{
    self,
    data::Report,
    prose,
    publish::{self, fill},
};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The folder of each report, and the files that quote it.
const REPORTS: [(&str, &[&str]); 2] =
    [("docs/report", &["README.md", "ARCHITECTURE.md", "docs/ladders.md"]), ("docs/report-amx", &["docs/amx.md"])];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(file: &str) -> String {
    let path = root().join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn committed(folder: &str) -> Report {
    Report::load(&root().join(folder).join("report.json")).unwrap()
}

/// The first line in which two texts differ.
fn difference(file: &str, is: &str, should_be: &str) -> Option<String> {
    let differ = |(number, (is, should)): (usize, (&str, &str))| {
        (is != should).then(|| format!("{file}, line {}:\n  is        {is}\n  should be {should}", number + 1))
    };
    is.lines().zip(should_be.lines()).enumerate().find_map(differ).or_else(|| {
        (is.lines().count() != should_be.lines().count())
            .then(|| format!("{file}: not as many lines as the report gives"))
    })
}

/// What writes the files anew.
fn hint(folder: &str, files: &[&str]) -> String {
    format!("`gradus-benches publish --report {folder}/report.json {}` writes what follows from it", files.join(" "))
}

#[test]
fn quoted_tables_are_those_of_the_committed_report() {
    for (folder, files) in REPORTS {
        let report = committed(folder);
        for file in files {
            let text = read(file);
            assert!(text.contains("<!-- report: "), "{file} quotes nothing");
            let filled = fill(&text, &report).unwrap_or_else(|problem| panic!("{file}: {problem}"));
            assert_eq!(difference(file, &text, &filled), None, "{}", hint(folder, files));
        }
    }
}

#[test]
fn rates_and_ratios_follow_from_the_times_and_the_work() {
    for (folder, files) in REPORTS {
        let report = committed(folder);
        let mut again = report.clone();
        for measured in &mut again.ladders {
            measured.work = measured.problem.work();
        }
        again.derive();
        assert!(again == report, "{}", hint(folder, files));
    }
}

#[test]
fn the_page_and_the_pictures_are_those_of_the_committed_report() {
    for (folder, files) in REPORTS {
        for (file, text) in report::files(&committed(folder)).unwrap() {
            let file = format!("{folder}/{file}");
            assert_eq!(difference(&file, &read(&file), &text), None, "{}", hint(folder, files));
        }
    }
}

#[test]
fn figures_in_the_prose_of_the_readme_stand_in_the_committed_report() {
    let known = prose::figures(&read("docs/report/report.md"));
    let stated = prose::figures(&publish::prose(&read("README.md")));
    let unknown: BTreeSet<&String> = stated.difference(&known).collect();
    assert!(unknown.is_empty(), "in README.md, but not in docs/report/report.md: {unknown:?}");
}
