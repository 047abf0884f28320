//! `docs/cuda-estimates.md` is what the program prints.
#![cfg(feature = "cuda")]

use std::{path::Path, process::Command};

#[test]
fn the_page_of_estimates_is_what_the_program_prints() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cuda-estimates.md");
    let page = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let output = Command::new(env!("CARGO_BIN_EXE_gradus-benches")).arg("estimates").output().unwrap();
    let (printed, problem) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let no_compiler = problem.contains("needs a C++ compiler") && std::env::var_os("GRADUS_COMPLETE").is_none();
    if no_compiler {
        return eprintln!("not tested: {problem}");
    }
    assert!(output.status.success(), "{problem}");
    let hint = "`cargo run --release -p gradus-benches -- estimates > docs/cuda-estimates.md` writes it anew";
    for (number, (is, should_be)) in page.lines().zip(printed.lines()).enumerate() {
        assert_eq!(is, should_be, "docs/cuda-estimates.md, line {}: {hint}", number + 1);
    }
    assert_eq!(page, printed, "{hint}");
}
