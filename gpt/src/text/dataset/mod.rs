//! The text as tokens, in a training part and a validation part.
//!
//! The first 90% train and the rest validates, as in nanoGPT. A training batch is a handful of windows at random
//! places; where they lie is a function of (seed, index) alone and of no state, so a run that is resumed at step 500
//! sees the same windows as one that never stopped.
//!
//! A text is first read from end to end: to check it, and to find its tokenizer. The ids of a short one are then kept in
//! memory. Those of a long one go into a file beside the run, from which each batch reads the windows that it needs; the
//! next start finds them there, and memory does not grow with the text.

mod batches;
pub mod cache;
mod identity;
mod learning;
mod packed;
mod positioned;
mod reading;
mod source;
mod text;
mod token_file;
mod tokens;
mod waiting;

use crate::{
    error::{Error, Result},
    files::FileSystem,
    output,
    tokenizer::{Encoder, Tokenizer, TokenizerKind, Unknown},
};
pub use batches::Sweep;
use cache::Wanted;
pub(crate) use identity::Fingerprint;
pub use learning::learn;
pub use source::Source;
use std::{
    ops::Range,
    path::Path,
    sync::{PoisonError, RwLock},
};
use tokens::Tokens;

/// From so many bytes on, a text is long: reading it shows progress, and its tokens are kept in a file.
const LONG: u64 = 8 << 20;

/// A part of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The first 90%.
    Training,
    /// The rest.
    Validation,
    /// All of it, for `gradus eval`.
    Whole,
}

/// A text as tokens.
#[derive(Debug)]
pub struct Dataset {
    /// They move into a file when the run begins.
    tokens: RwLock<Tokens>,
    count: usize,
    training: usize,
    /// Whether [`Dataset::keep`] is to write them.
    unkept: bool,
}

impl Dataset {
    /// Turns `text` into tokens.
    ///
    /// # Errors
    /// [`Error::UnknownCharacter`] where the tokenizer was made for another text.
    pub fn new(text: &str, tokenizer: &Tokenizer) -> Result<Dataset> {
        let mut ids = Vec::new();
        let unknown = |unknown: Unknown| tokenizer.unknown(unknown.character, "text", None);
        Encoder::new(tokenizer).encode_in_blocks(text, text::BLOCK, &mut ids).map_err(unknown)?;
        Ok(Dataset::of(Tokens::in_memory(&ids, tokenizer.vocab_size())))
    }

    fn of(tokens: Tokens) -> Dataset {
        let count = tokens.len();
        let training = (count as u128 * 9 / 10) as usize;
        Dataset { tokens: RwLock::new(tokens), count, training, unkept: false }
    }

    /// The tokens of `source` with a new tokenizer of this kind, for a run in `dir`. Nothing is written.
    ///
    /// # Errors
    /// Those of reading the text, and of [`Dataset::check`].
    pub fn load(source: &mut Source, kind: TokenizerKind, context: usize, dir: &Path) -> Result<(Dataset, Tokenizer)> {
        let (dataset, tokenizer) = find_or_read(source, Wanted::Kind(kind), Some(dir))?;
        dataset.check(&source.name(), &[Part::Training, Part::Validation], context)?;
        Ok((dataset, tokenizer))
    }

    /// The tokens of `source` with a tokenizer that is known, from the cache in `dir` where one is given and holds them.
    ///
    /// # Errors
    /// Those of reading the text; [`Error::UnknownCharacter`].
    pub fn load_with(source: &mut Source, tokenizer: &Tokenizer, dir: Option<&Path>) -> Result<Dataset> {
        Ok(find_or_read(source, Wanted::Tokenizer(tokenizer), dir)?.0)
    }

    /// Writes the tokens into the folder `dir` of a run if the text is long or cannot be read again, and reads them from
    /// there afterwards; `source` and `tokenizer` are those that the run saves. Where they cannot be written, the run says so
    /// and goes on with the text itself.
    ///
    /// # Errors
    /// [`Error::Unreadable`] where the text is not what it was any more.
    pub fn keep(&self, files: &dyn FileSystem, dir: &Path, source: &Source, tokenizer: &Tokenizer) -> Result<()> {
        if !self.unkept {
            return Ok(());
        }
        let (written, from_file) = {
            let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
            let stamp = tokens.stamp();
            (cache::write(files, dir, source, stamp, tokenizer, &tokens), stamp.is_some())
        };
        match written {
            Ok(file) => *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = Tokens::File(file),
            Err(error @ Error::Unreadable { .. }) => return Err(error),
            Err(error) => output::note(&format!(
                "{error}; {}",
                match from_file {
                    true => "this run reads the text itself, and the next start reads it again",
                    false => "this run keeps the text in memory; to resume it, give the text again with --data",
                }
            )),
        }
        Ok(())
    }

    /// Appends the ids of the tokens in `range` to `out`.
    fn append_to(&self, range: Range<usize>, out: &mut Vec<u32>) -> Result<()> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).append_to(range, out)
    }

    /// That each of `parts` holds at least one window of `context` tokens and the target after it.
    ///
    /// # Errors
    /// [`Error::TextTooShort`] with the sizes, for the text called `name`.
    pub fn check(&self, name: &str, parts: &[Part], context: usize) -> Result<()> {
        for &part in parts {
            let tokens = self.len(part);
            if tokens <= context {
                let part = match part {
                    Part::Training => "training",
                    Part::Validation => "validation",
                    Part::Whole => "whole",
                };
                return Err(Error::TextTooShort { text: name.into(), part, tokens, context });
            }
        }
        Ok(())
    }

    fn range(&self, part: Part) -> Range<usize> {
        match part {
            Part::Training => 0..self.training,
            Part::Validation => self.training..self.count,
            Part::Whole => 0..self.count,
        }
    }

    /// How many tokens a part has.
    pub fn len(&self, part: Part) -> usize {
        self.range(part).len()
    }
}

/// The tokens of `source` and their tokenizer, from the cache in `dir` where it holds them.
fn find_or_read(source: &mut Source, wanted: Wanted<'_>, dir: Option<&Path>) -> Result<(Dataset, Tokenizer)> {
    if let Some(cached) = dir.and_then(|dir| cache::find(dir, source, wanted)) {
        *source = cached.source;
        return Ok((Dataset::of(Tokens::File(cached.tokens)), cached.tokenizer));
    }
    let (text, tokenizer) = match wanted {
        Wanted::Kind(TokenizerKind::Bpe(size)) => learning::read_and_learn(source, size, LONG)?,
        wanted => reading::read(source, wanted, LONG)?,
    };
    let unkept = text.stamp().is_some() || source.is_stream();
    let tokens = if unkept { Tokens::Text(text) } else { Tokens::in_memory(&text.ids()?, tokenizer.vocab_size()) };
    Ok((Dataset { unkept, ..Dataset::of(tokens) }, tokenizer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Disk;
    use std::fs;

    /// Token i is the number i.
    pub(super) fn counting(count: usize) -> Dataset {
        let text: String = (0..count).map(|i| char::from_u32(0x4e00 + i as u32).unwrap()).collect();
        Dataset::new(&text, &Tokenizer::new(TokenizerKind::Char, &text)).unwrap()
    }

    #[test]
    fn a_short_text_is_refused_with_its_sizes() {
        let data = counting(300);
        assert!(data.check("a.txt", &[Part::Training, Part::Validation], 29).is_ok());
        let error = data.check("a.txt", &[Part::Training, Part::Validation], 30).unwrap_err().to_string();
        assert!(error.contains("validation part has 30 tokens") && error.contains("at least 31"), "{error}");
        assert!(data.check("a.txt", &[Part::Whole], usize::MAX).is_err());
    }

    /// Scripts of one to four bytes a character and more than 256 characters, so that an id takes two bytes.
    fn many_scripts(count: u32) -> String {
        let character = |i: u32| match i % 5 {
            0 => 0x61 + i.wrapping_mul(2_654_435_761) % 26,
            1 => 0x3b1 + i / 3 % 25,
            2 => 0x4e00 + i.wrapping_mul(40_503) % 700,
            3 => 0xac00 + i / 7 % 300,
            _ => 0x1f600 + i % 60,
        };
        (0..count).filter_map(|i| char::from_u32(character(i))).collect()
    }

    /// All batches that a run could take: the ids of random windows, and of every window in order.
    fn batches(data: &Dataset) -> Vec<Vec<u32>> {
        let mut all = Vec::new();
        let (mut inputs, mut targets) = (Vec::new(), Vec::new());
        for part in [Part::Training, Part::Validation, Part::Whole] {
            for index in 0..300 {
                data.batch(part, 7, index, 4, 33, &mut inputs, &mut targets).unwrap();
                all.extend([inputs.clone(), targets.clone()]);
            }
            let last = data.len(part) - 1;
            data.batch(part, 7, 0, 2, last, &mut inputs, &mut targets).unwrap(); // the only window of that length
            all.extend([inputs.clone(), targets.clone()]);
            for windows in [9, usize::MAX] {
                let mut sweep = data.sample(part, windows, 4, 33);
                while sweep.next_batch(&mut inputs, &mut targets).unwrap().is_some() {
                    all.extend([inputs.clone(), targets.clone()]);
                }
            }
        }
        all
    }

    #[test]
    fn batches_are_the_same_wherever_the_tokens_lie() {
        let text = many_scripts(20_011);
        for kind in [TokenizerKind::Char, TokenizerKind::Byte] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.txt");
            fs::write(&path, &text).unwrap();
            let tokenizer = Tokenizer::new(kind, &text);
            let in_memory = Dataset::new(&text, &tokenizer).unwrap();
            let expected = batches(&in_memory);

            let mut source = Source::new(Some(&path));
            let mut read = |long| reading::read(&mut source, Wanted::Kind(kind), long).unwrap().0;
            for (long, stamped) in [(0, true), (u64::MAX, false)] {
                let data = Dataset { unkept: true, ..Dataset::of(Tokens::Text(read(long))) };
                assert_eq!(data.tokens.read().unwrap().stamp().is_some(), stamped);
                assert!(batches(&data) == expected, "{kind:?}, read from the text");

                data.keep(&Disk, folder.path(), &Source::new(Some(&path)), &tokenizer).unwrap();
                assert!(matches!(*data.tokens.read().unwrap(), Tokens::File(_)));
                assert!(batches(&data) == expected, "{kind:?}, read from the file that was written");
            }
            let mut source = Source::new(Some(&path));
            source.read(|_| ()).unwrap();
            let stamp = source.stamp();
            let file =
                cache::write(&Disk, folder.path(), &source, stamp, &tokenizer, &in_memory.tokens.read().unwrap());
            drop(file.unwrap());
            let found = find_or_read(&mut source, Wanted::Tokenizer(&tokenizer), Some(folder.path())).unwrap().0;
            assert!(matches!(*found.tokens.read().unwrap(), Tokens::File(_)));
            assert!(batches(&found) == expected, "{kind:?}, found in the folder");
        }
    }

    #[test]
    fn a_long_text_of_pairs_has_the_batches_of_a_short_one_and_its_ids_take_two_bytes() {
        let text = many_scripts(20_011);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        fs::write(&path, &text).unwrap();
        let mut source = Source::new(Some(&path));
        let (read, tokenizer) = learning::read_and_learn(&mut source, 600, 0).unwrap();
        assert_eq!(tokenizer, learning::read_and_learn(&mut source, 600, u64::MAX).unwrap().1);
        let end = (text.len() * 9 / 10..).find(|&at| text.is_char_boundary(at)).unwrap();
        assert_eq!(tokenizer, Tokenizer::new(TokenizerKind::Bpe(600), &text[..end]), "the training part, and no more");
        let in_memory = Dataset::new(&text, &tokenizer).unwrap();
        let expected = batches(&in_memory);
        let data = Dataset { unkept: true, ..Dataset::of(Tokens::Text(read)) };
        assert!(batches(&data) == expected, "read from the text");
        data.keep(&Disk, folder.path(), &source, &tokenizer).unwrap();
        assert!(batches(&data) == expected, "read from the file that was written");
        let size = fs::metadata(folder.path().join(cache::FILE)).unwrap().len();
        assert!((2 * in_memory.count as u64..3 * in_memory.count as u64).contains(&size), "{size}");
        let found = find_or_read(&mut source, Wanted::Kind(TokenizerKind::Bpe(600)), Some(folder.path())).unwrap();
        assert!(matches!(*found.0.tokens.read().unwrap(), Tokens::File(_)));
        assert!(found.1 == tokenizer && batches(&found.0) == expected, "found in the folder");
        assert!(cache::find(folder.path(), &source, Wanted::Kind(TokenizerKind::Bpe(601))).is_none());
    }

    #[test]
    fn a_file_that_is_cut_off_under_a_data_set_is_an_error_in_every_batch_that_needs_it() {
        let text = many_scripts(5000);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        fs::write(&path, &text).unwrap();
        let mut source = Source::new(Some(&path));
        let (read, tokenizer) = reading::read(&mut source, Wanted::Kind(TokenizerKind::Char), 0).unwrap();
        let tokens = Tokens::Text(read);
        let file = cache::write(&Disk, folder.path(), &source, source.stamp(), &tokenizer, &tokens).unwrap();
        let data = Dataset::of(Tokens::File(file));
        let cache = folder.path().join(cache::FILE);
        let whole = fs::metadata(&cache).unwrap().len();
        fs::File::options().write(true).open(&cache).unwrap().set_len(whole - 8 - 100).unwrap(); // the last 50 ids
        let (mut inputs, mut targets) = (Vec::new(), Vec::new());
        assert!((0..50).all(|i| data.batch(Part::Training, 1, i, 4, 33, &mut inputs, &mut targets).is_ok()));
        let mut sweep = data.sweep(Part::Validation, 4, 33);
        let error = loop {
            match sweep.next_batch(&mut inputs, &mut targets) {
                Ok(batch) => assert!(batch.is_some(), "the end of the validation part cannot be read"),
                Err(error) => break error.to_string(),
            }
        };
        assert!(error.contains("tokens.bin: it was cut off at byte "), "{error}");
    }

    #[test]
    fn the_built_in_corpus_trains() {
        let nowhere = Path::new("no such folder");
        let (data, tokenizer) = Dataset::load(&mut Source::new(None), TokenizerKind::Char, 256, nowhere).unwrap();
        assert!(data.len(Part::Validation) > 1000 && tokenizer.vocab_size() < 1000);
    }
}
