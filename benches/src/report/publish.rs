//! `gradus-benches publish`: the tables of the committed report, in the files that quote it.
//!
//! A file says where a table stands, by two comments that its readers do not see:
//!
//! ```text
//! <!-- report: programs -->
//! <!-- end of report -->
//! ```
//!
//! What is between them is written here, and a test holds that it is what `report.json` gives. So no figure is copied by
//! hand, and none outlives the run that it came from.

use super::{data::Report, tables, write_all};
use crate::Result;
use std::{
    fs,
    path::{Path, PathBuf},
};

const BEGIN: &str = "<!-- report: ";
const END: &str = "<!-- end of report -->";

/// The flags of `publish`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The raw figures; the page and the pictures beside them are drawn again
    #[arg(long, value_name = "FILE", default_value = "docs/report/report.json")]
    pub report: PathBuf,
    /// The files whose tables are written
    #[arg(value_name = "FILE", default_values = ["README.md", "ARCHITECTURE.md", "docs/ladders.md"])]
    pub files: Vec<PathBuf>,
}

/// Writes everything that follows from the times in `report.json`.
///
/// # Errors
/// One line where a file cannot be read or written, or asks for what there is not; nothing has been written then.
pub fn command(arguments: &Arguments) -> Result<()> {
    let mut report = Report::load(&arguments.report)?;
    report.derive();
    let mut filled = Vec::new();
    for path in &arguments.files {
        let name = path.display();
        let text = fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
        filled.push((path, fill(&text, &report).map_err(|problem| format!("{name}: {problem}"))?));
    }
    let folder = arguments.report.parent().unwrap_or(Path::new("."));
    write_all(&report, folder)?;
    for (path, text) in filled {
        fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// A text with its tables written anew.
///
/// # Errors
/// One line for a table of an unknown name, or one that does not end.
pub fn fill(text: &str, report: &Report) -> Result<String> {
    let (mut filled, mut lines) = (String::new(), text.lines().zip(1..));
    while let Some((line, number)) = lines.next() {
        filled += line;
        filled.push('\n');
        let Some(name) = line.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(" -->")) else { continue };
        if !lines.any(|(line, _)| line == END) {
            return Err(format!("line {number}: `{line}` has no `{END}` after it"));
        }
        let table = table(name, report).map_err(|problem| format!("line {number}: {problem}"))?;
        filled += &format!("\n{}\n\n{END}\n", table.trim_end());
    }
    Ok(filled)
}

/// `programs`, or `workloads` and patterns after it, or `ladders` and operations.
fn table(name: &str, report: &Report) -> Result<String> {
    let words: Vec<&str> = name.split_whitespace().collect();
    Ok(match words[..] {
        ["configuration"] => tables::configuration(report),
        ["machine"] => tables::machine(report),
        ["programs"] => tables::programs(report),
        ["workloads", ref patterns @ ..] => tables::workloads(report, patterns),
        ["means"] => tables::means(report),
        ["behind"] => tables::behind(report),
        ["ladders", ref operations @ ..] => tables::ladders(report, operations),
        _ => return Err(format!("there is no table `{name}`")),
    })
}

/// A text without its tables.
pub fn prose(text: &str) -> String {
    let mut lines = text.lines();
    let mut prose = String::new();
    while let Some(line) = lines.next() {
        if line.starts_with(BEGIN) {
            lines.by_ref().find(|line| *line == END);
        } else {
            prose += line;
            prose.push('\n');
        }
    }
    prose
}

#[cfg(test)]
mod tests {
    use super::{super::data::tests::example, *};

    #[test]
    fn a_table_is_written_between_its_comments_and_stays_the_same() {
        let report = example();
        let text = "one\n<!-- report: workloads square -->\n<!-- end of report -->\ntwo\n";
        let filled = fill(text, &report).unwrap();
        let table = tables::workloads(&report, &["square"]);
        assert_eq!(filled, format!("one\n{BEGIN}workloads square -->\n\n{table}\n{END}\ntwo\n"));
        assert_eq!(fill(&filled, &report).unwrap(), filled);
        assert_eq!(prose(&filled), "one\ntwo\n");
        assert_ne!(fill(&filled.replace("20.0 ms", "10.0 ms"), &report).unwrap(), filled.replace("20.0 ms", "10.0 ms"));
    }

    #[test]
    fn what_there_is_not_is_named_with_its_line() {
        let problem = |text: &str| fill(text, &example()).unwrap_err();
        assert_eq!(problem("a\n<!-- report: loss -->\n<!-- end of report -->\n"), "line 2: there is no table `loss`");
        let open = problem("<!-- report: means -->\n| x |\n");
        assert_eq!(open, "line 1: `<!-- report: means -->` has no `<!-- end of report -->` after it");
    }
}
