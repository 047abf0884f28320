//! The text as tokens, in a training part and a validation part.
//!
//! The first 90% train and the rest validates, as in nanoGPT. A training batch is a handful of windows at random
//! places; where they lie is a function of (seed, index) alone and of no state, so a run that is resumed at step 500
//! sees the same windows as one that never stopped.
//!
//! A text is read in pieces and only its tokens are kept, a byte each for English. Those of a long text are also kept
//! beside the run, so that its next start takes them from there.

mod batches;
pub mod cache;
mod source;
mod tokens;
mod waiting;

use crate::{
    config::RunConfig,
    error::{Error, Result},
    files::FileSystem,
    output,
    progress::Counter,
    tokenizer::{Encoder, Tokenizer, TokenizerKind, Unknown},
};
pub use batches::Sweep;
use cache::{Cached, Wanted};
pub(crate) use source::Fingerprint;
pub use source::Source;
use source::{Piece, Stamp};
use std::{
    ops::Range,
    path::Path,
    time::{Duration, Instant},
};
use tokens::Tokens;

/// From so many bytes on, a text is long: reading it shows progress, and its tokens are kept.
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
#[derive(Clone, Debug)]
pub struct Dataset {
    tokens: Tokens,
    training: usize,
    /// What the file was when it was read, where the tokens are still to be kept.
    unkept: Option<Unkept>,
}

/// Tokens that are worth keeping.
#[derive(Clone, Copy, Debug)]
struct Unkept {
    stamp: Option<Stamp>,
}

impl Dataset {
    /// Turns `text` into tokens.
    ///
    /// # Errors
    /// [`Error::UnknownCharacter`] where the tokenizer was made for another text.
    pub fn new(text: &str, tokenizer: &Tokenizer) -> Result<Dataset> {
        let (mut encoder, mut ids) = (Encoder::of(tokenizer), Vec::new());
        let unknown = |unknown: Unknown| tokenizer.unknown(unknown.character, "text", None);
        encoder.encode(text, &mut ids).map_err(unknown)?;
        let mut tokens = Tokens::with_room(0);
        tokens.extend(&ids);
        Ok(Dataset::of(tokens))
    }

    fn of(tokens: Tokens) -> Dataset {
        let training = (tokens.len() as u128 * 9 / 10) as usize;
        Dataset { tokens, training, unkept: None }
    }

    /// The tokens of `source` with a new tokenizer of this kind, for a run in `dir`. Nothing is written.
    ///
    /// # Errors
    /// Those of reading the text, and of [`Dataset::check`].
    pub fn load(source: &mut Source, kind: TokenizerKind, context: usize, dir: &Path) -> Result<(Dataset, Tokenizer)> {
        let (dataset, tokenizer) = match cache::find(dir, source, Wanted::Kind(kind)) {
            Some(Cached { source: cached, tokenizer, tokens }) => {
                *source = cached;
                (Dataset::of(tokens), tokenizer)
            }
            None => read(source, Encoder::learning(kind), None)?,
        };
        dataset.check(&source.name(), &[Part::Training, Part::Validation], context)?;
        Ok((dataset, tokenizer))
    }

    /// The tokens of `source` with a tokenizer that is known, from the cache in `dir` where one is given and holds them.
    ///
    /// # Errors
    /// Those of reading the text; [`Error::UnknownCharacter`].
    pub fn load_with(source: &mut Source, tokenizer: &Tokenizer, dir: Option<&Path>) -> Result<Dataset> {
        match dir.and_then(|dir| cache::find(dir, source, Wanted::Tokenizer(tokenizer))) {
            Some(Cached { source: cached, tokens, .. }) => {
                *source = cached;
                Ok(Dataset::of(tokens))
            }
            None => Ok(read(source, Encoder::of(tokenizer), Some(tokenizer))?.0),
        }
    }

    /// Keeps the tokens in `dir`, where the run `run` is, if that pays: if the text is long, or cannot be read again.
    pub fn keep(&self, files: &dyn FileSystem, dir: &Path, run: &RunConfig) {
        if let Some(Unkept { stamp }) = self.unkept {
            cache::write(files, dir, &run.train.data, stamp, &run.tokenizer, &self.tokens);
        }
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
            Part::Validation => self.training..self.tokens.len(),
            Part::Whole => 0..self.tokens.len(),
        }
    }

    /// How many tokens a part has.
    pub fn len(&self, part: Part) -> usize {
        self.range(part).len()
    }

    /// Whether there is no token at all.
    pub fn is_empty(&self) -> bool {
        self.tokens.len() == 0
    }
}

/// Reads `source`: its tokens, and their tokenizer, which is `tokenizer` where one is known.
fn read(source: &mut Source, mut encoder: Encoder, tokenizer: Option<&Tokenizer>) -> Result<(Dataset, Tokenizer)> {
    let (stamp, name) = (source.stamp(), source.name());
    let size = stamp.map(|stamp| stamp.size);
    let mut tokens = Tokens::with_room(size.unwrap_or(0).try_into().unwrap_or(0));
    let (mut ids, mut unknown) = (Vec::new(), None);
    let mut progress = Reading::new(&name, size);
    // A text that has changed is said to have changed, whatever else is wrong with it; so it is read to its end.
    let marked = source.read(|Piece { text, lines, bytes }| {
        if unknown.is_none() {
            ids.clear();
            unknown = encoder.encode(text, &mut ids).err().map(|found| {
                let line = lines + 1 + text[..found.at].matches('\n').count();
                (found.character, format!("{name}, line {line}"))
            });
            tokens.extend(&ids);
        }
        progress.at(bytes);
    })?;
    if let (Some((character, place)), Some(tokenizer)) = (unknown, tokenizer) {
        return Err(tokenizer.unknown(character, "text", Some(place)));
    }
    if let (true, Some(tokenizer)) = (marked, tokenizer) {
        tokenizer.encode("\u{feff}")?.into_iter().rev().for_each(|id| tokens.insert_first(id));
    }
    let (tokenizer, new_ids) = encoder.finish();
    tokens.renumber(&new_ids);
    tokens.trim();
    let long = size.is_some_and(|size| size >= LONG);
    let worth_keeping = (long && source.stamp() == stamp) || source.is_stream();
    let mut dataset = Dataset::of(tokens);
    dataset.unkept = worth_keeping.then_some(Unkept { stamp });
    Ok((dataset, tokenizer))
}

/// Shows how far the reading of a long text is.
enum Reading {
    /// The size is known.
    File(Counter),
    /// It is not.
    Stream { name: String, shown: Instant },
    /// There is nothing to show.
    Short,
}

impl Reading {
    fn new(name: &str, size: Option<u64>) -> Reading {
        match size {
            Some(size) if size >= LONG => Reading::File(Counter::new("reading the text", size as usize)),
            Some(_) => Reading::Short,
            None => Reading::Stream { name: name.into(), shown: Instant::now() },
        }
    }

    fn at(&mut self, bytes: u64) {
        match self {
            Reading::File(counter) => counter.at(bytes as usize),
            Reading::Stream { name, shown } if shown.elapsed() >= Duration::from_secs(2) => {
                *shown = Instant::now();
                output::note(&format!("reading {name}: {} bytes", output::thousands(u128::from(bytes))));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn the_built_in_corpus_trains() {
        let nowhere = Path::new("no such folder");
        let (data, tokenizer) = Dataset::load(&mut Source::new(None), TokenizerKind::Char, 256, nowhere).unwrap();
        assert!(data.len(Part::Validation) > 1000 && tokenizer.vocab_size() < 1000);
    }
}
