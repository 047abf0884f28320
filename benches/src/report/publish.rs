//! `gradus-benches publish`: writes `docs/benchmarks.md` and the README's table from the committed raw figures.
//!
//! A file says where its table stands by two comments that its readers do not see:
//!
//! ```text
//! <!-- benchmarks: training_step/gpt_small attention/T1024/both -->
//! <!-- end of benchmarks -->
//! ```
//!
//! The words after the colon choose the workloads. A test holds that the files are what the raw figures give, so no figure
//! is copied by hand.

use super::{
    data::Report,
    page::{self, Ladders},
    tables, write,
};
use crate::Result;
use std::{
    fs,
    path::{Path, PathBuf},
};

const BEGIN: &str = "<!-- benchmarks: ";
const END: &str = "<!-- end of benchmarks -->";

/// What stands at the end of the page as long as no card was measured.
const CUDA: &str = "\
## CUDA

The CUDA kernels have not run on a card yet, so there are no figures of them here. What is expected of them, and how many launches a step makes, is
[estimated](cuda-estimates.md). On a card `cargo run --release -p gradus-benches -- report --device cuda` measures them.
";

/// The flags of `publish`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The raw figures of each machine; the README's table is taken from the first
    #[arg(value_name = "FILE", default_values = ["docs/benchmarks/zen4.jsonl", "docs/benchmarks/granite-rapids.jsonl"])]
    pub reports: Vec<PathBuf>,
    /// The page to write
    #[arg(long, value_name = "FILE", default_value = "docs/benchmarks.md")]
    pub page: PathBuf,
    /// The files whose tables to write
    #[arg(long, value_name = "FILE", default_values = ["README.md", "README.zh-CN.md"])]
    pub quotes: Vec<PathBuf>,
}

/// Writes the page and the tables.
///
/// # Errors
/// One line where a file cannot be read or written, or its table does not end; nothing has been written then.
pub fn command(arguments: &Arguments) -> Result<()> {
    let reports = arguments.reports.iter().map(|path| Report::load(path)).collect::<Result<Vec<_>>>()?;
    let first = reports.first().ok_or("name at least one report")?;
    let mut files = vec![(&arguments.page, page(&reports.iter().collect::<Vec<_>>()))];
    for path in &arguments.quotes {
        let name = path.display();
        let text = fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
        files.push((path, fill(&text, first).map_err(|problem| format!("{name}: {problem}"))?));
    }
    files.into_iter().try_for_each(|(path, text)| write(path, &text))
}

/// `docs/benchmarks.md`.
pub fn page(reports: &[&Report]) -> String {
    page::render(reports, Ladders::Fullest, &[]) + CUDA
}

/// A text with its tables written anew.
///
/// # Errors
/// One line for a table that does not end.
pub fn fill(text: &str, report: &Report) -> Result<String> {
    let (mut filled, mut lines) = (String::new(), text.lines().zip(1..));
    while let Some((line, number)) = lines.next() {
        filled += line;
        filled.push('\n');
        let Some(names) = line.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(" -->")) else { continue };
        if !lines.any(|(line, _)| line == END) {
            return Err(format!("line {number}: `{line}` has no `{END}` after it"));
        }
        let patterns: Vec<&str> = names.split_whitespace().collect();
        filled += &format!("\n{}\n{END}\n", tables::workloads(&[report], &patterns));
    }
    Ok(filled)
}

/// Whether a text has a table.
pub fn quotes(text: &str) -> bool {
    text.contains(BEGIN)
}

/// The raw figures that a report folder of the repository has, in the order of the default arguments.
pub fn committed(root: &Path) -> Result<Vec<Report>> {
    let names = ["zen4", "granite-rapids"];
    names.iter().map(|name| Report::load(&root.join(format!("docs/benchmarks/{name}.jsonl")))).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::data::tests::example, *};

    #[test]
    fn a_table_is_written_between_its_comments_and_stays_the_same() {
        let report = example();
        let text = "one\n<!-- benchmarks: square -->\n<!-- end of benchmarks -->\ntwo\n";
        let filled = fill(text, &report).unwrap();
        let table = tables::workloads(&[&report], &["square"]);
        assert_eq!(filled, format!("one\n{BEGIN}square -->\n\n{table}\n{END}\ntwo\n"));
        assert_eq!(fill(&filled, &report).unwrap(), filled);
        assert_ne!(fill(&filled.replace("20.0 ms", "10.0 ms"), &report).unwrap(), filled.replace("20.0 ms", "10.0 ms"));
    }

    #[test]
    fn a_table_that_does_not_end_is_named_with_its_line() {
        let open = fill("a\n<!-- benchmarks: x -->\n| x |\n", &example()).unwrap_err();
        assert_eq!(open, format!("line 2: `<!-- benchmarks: x -->` has no `{END}` after it"));
    }
}
