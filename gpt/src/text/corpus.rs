//! The built-in corpus: the sources and the prose of this project.
//!
//! A first run needs a text without a download. Every build has the source code of the project itself, so the first model
//! that a reader trains learns to write the code that it is made of. `build.rs` gathers the text.

/// The name of the corpus in messages and in `config.json`.
pub const NAME: &str = "the built-in corpus";

/// The text.
pub const TEXT: &str = include_str!(concat!(env!("OUT_DIR"), "/corpus.txt"));

#[cfg(test)]
mod tests {
    use super::TEXT;

    #[test]
    fn it_holds_this_very_file_and_stays_small() {
        assert!(TEXT.contains("learns to write the code that it is made of"));
        assert!(TEXT.contains("Counter-based random numbers: Philox"), "the kernels are part of it");
        assert!(TEXT.len() <= 2_000_000, "{} bytes", TEXT.len());
        assert!(!TEXT.contains('\r'));
    }
}
