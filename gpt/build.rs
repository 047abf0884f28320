//! Gathers the project's sources and prose into one text, the corpus that `gradus train` learns from by default.
//!
//! The order is fixed by a hash of each file's name: as good as shuffled, so that the last tenth, which validates, is
//! like the nine tenths that train, and yet the same on every machine. The hash also decides what is left out where the
//! project has outgrown the limit; the file that tells of the corpus comes first and stays.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

const LIMIT: usize = 2_000_000;
const FIRST: &str = "gpt/src/text/corpus.rs";

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let root = here.parent().filter(|root| root.join("kernels").is_dir()).unwrap_or(&here);
    let mut files = Vec::new();
    gather(root, root, &mut files);
    files.sort_by_key(|name| (name != FIRST, fnv1a(name), name.clone()));

    let mut corpus = String::new();
    for name in &files {
        let path = root.join(name);
        println!("cargo::rerun-if-changed={}", path.display());
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let text = text.replace('\r', "");
        if !is_english(name, &text) {
            continue;
        }
        if corpus.len() + text.len() < LIMIT {
            corpus.push_str(text.trim());
            corpus.push_str("\n\n");
        }
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("corpus.txt"), corpus).expect("the build folder can be written");
}

/// Tables of figures are left out, and whatever has Chinese characters in it: the first would fill the corpus with digits, the
/// second would multiply the vocabulary of a character tokenizer.
fn is_english(name: &str, text: &str) -> bool {
    !["docs/benchmarks.md", "docs/cuda-kernels.md", "docs/cuda-estimates.md"].contains(&name)
        && !text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c))
}

/// The names, with `/`, of all Rust and Markdown files below `folder`, but for what is built or hidden.
fn gather(root: &Path, folder: &Path, files: &mut Vec<String>) {
    if folder.parent() == Some(root) {
        // Cargo looks at all below it; at the root itself it would look into the build folder, and never rest.
        println!("cargo::rerun-if-changed={}", folder.display());
    }
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || ["target", "out", "report"].contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            gather(root, &path, files);
        } else if name.ends_with(".rs") || name.ends_with(".md") {
            let relative = path.strip_prefix(root).expect("it lies below the root");
            files.push(
                relative.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/"),
            );
        }
    }
}

/// The 64-bit FNV-1a hash, with its halves folded together twice: names that differ at their ends alone come apart.
fn fnv1a(name: &str) -> u64 {
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}
