//! The first reading of a text: whether it is UTF-8, which tokenizer it takes, how many tokens it has, and where they lie.

use super::{
    cache::Wanted,
    source::{BYTE_ORDER_MARK, Piece, Source},
    text::{BLOCK, Bytes, Index, Text},
};
use crate::{
    error::Result,
    output,
    progress::Counter,
    tokenizer::{Encoder, Tokenizer, TokenizerBuilder, Unknown},
};
use std::time::{Duration, Instant};

/// Reads `source` to its end. A file of at least `long` bytes is then read by position; what is shorter, or comes through a
/// pipe, is kept in memory.
///
/// # Errors
/// Those of [`Source::read`]; [`crate::Error::UnknownCharacter`]; [`crate::Error::Unreadable`] for a file that changes
/// meanwhile.
pub(super) fn read(source: &mut Source, wanted: Wanted<'_>, long: u64) -> Result<(Text, Tokenizer)> {
    let size = source.stamp().map(|stamp| stamp.size);
    let file = if size.is_some_and(|size| size >= long) { Some(Bytes::open(source)?) } else { None };
    let mut progress = Progress::new(&source.name(), size, file.is_some());
    let mut scan = Scan::new(wanted, file.is_none());
    let marked = source.read(|piece| {
        scan.piece(&piece);
        progress.at(piece.bytes);
    })?;
    if let (Some((character, line)), Wanted::Tokenizer(tokenizer)) = (scan.unknown, wanted) {
        return Err(tokenizer.unknown(character, "text", Some(format!("{}, line {line}", source.name()))));
    }
    scan.end();
    let tokenizer = scan.counter.finish();
    if marked {
        scan.index.insert_first(tokenizer.encode(BYTE_ORDER_MARK)?.len());
    }
    let bytes = file.unwrap_or(Bytes::Memory(scan.held.unwrap_or_default()));
    let text = scan.index.finish(scan.end, bytes, Encoder::new(&tokenizer));
    text.check_unchanged(source)?;
    Ok((text, tokenizer))
}

/// A text that is in memory, with an index of its tokens.
pub(super) fn index(text: String, tokenizer: &Tokenizer) -> Text {
    let mut scan = Scan::new(Wanted::Tokenizer(tokenizer), false);
    scan.piece(&Piece { text: &text, lines: 0, bytes: text.len() as u64 });
    scan.end();
    scan.index.finish(scan.end, Bytes::Memory(text.into_bytes()), Encoder::new(tokenizer))
}

/// What is known of a text so far.
struct Scan {
    counter: TokenCounter,
    index: Index,
    /// The bytes so far, where they are kept.
    held: Option<Vec<u8>>,
    /// The first character that the tokenizer does not know, and its line.
    unknown: Option<(char, usize)>,
    /// The end of the last piece, if what follows may change its tokens.
    rest: String,
    end: u64,
}

impl Scan {
    fn new(wanted: Wanted<'_>, holds: bool) -> Scan {
        let (counter, held) = (TokenCounter::new(wanted), holds.then(Vec::new));
        Scan { counter, index: Index::default(), held, unknown: None, rest: String::new(), end: 0 }
    }

    fn piece(&mut self, piece: &Piece<'_>) {
        self.end = piece.bytes;
        if let Some(held) = &mut self.held {
            if held.is_empty() && piece.begin() > 0 {
                held.extend_from_slice(BYTE_ORDER_MARK.as_bytes()); // so that every byte has the place that it had
            }
            held.extend_from_slice(piece.text.as_bytes());
        }
        let mut rest = std::mem::take(&mut self.rest);
        let begin = piece.begin() - rest.len() as u64;
        if rest.is_empty() {
            let done = self.blocks(piece.text, begin, piece.lines, true);
            self.rest.push_str(&piece.text[done..]);
        } else {
            rest.push_str(piece.text);
            let done = self.blocks(&rest, begin, piece.lines, true);
            self.rest.push_str(&rest[done..]);
        }
    }

    /// No more text comes.
    fn end(&mut self) {
        let rest = std::mem::take(&mut self.rest);
        self.blocks(&rest, self.end - rest.len() as u64, 0, false);
    }

    /// Counts the tokens of the blocks of `text`, which begins at the byte `begin` after so many `lines`. Returns how many of its
    /// bytes they have.
    fn blocks(&mut self, text: &str, begin: u64, lines: usize, more: bool) -> usize {
        let mut at = 0;
        while let Some(length) = self.counter.block(&text[at..], more) {
            // After an unknown character only the fingerprint counts: a text that has changed is said to have changed.
            if self.unknown.is_some() {
                return text.len();
            }
            match self.counter.count(&text[at..at + length]) {
                Ok(tokens) => self.index.add(begin + at as u64..begin + (at + length) as u64, tokens),
                Err(Unknown { character, at: within }) => {
                    let before = text[..at + within].matches('\n').count();
                    self.unknown = Some((character, lines + 1 + before));
                }
            }
            at += length;
        }
        at
    }
}

/// Counts tokens, with a tokenizer that is known or is found on the way.
enum TokenCounter {
    Finding(TokenizerBuilder),
    Known { tokenizer: Tokenizer, encoder: Encoder, ids: Vec<u32> },
}

impl TokenCounter {
    fn new(wanted: Wanted<'_>) -> TokenCounter {
        match wanted {
            Wanted::Kind(kind) => match TokenizerBuilder::new(kind) {
                Some(builder) => TokenCounter::Finding(builder),
                None => unreachable!("{kind} is learned in a reading of its own"),
            },
            Wanted::Tokenizer(tokenizer) => {
                TokenCounter::Known { tokenizer: tokenizer.clone(), encoder: Encoder::new(tokenizer), ids: Vec::new() }
            }
        }
    }

    fn count(&mut self, text: &str) -> std::result::Result<usize, Unknown> {
        match self {
            TokenCounter::Finding(builder) => Ok(builder.add(text)),
            TokenCounter::Known { encoder, ids, .. } => {
                ids.clear();
                encoder.encode(text, ids).map(|()| ids.len())
            }
        }
    }

    /// How many bytes of `text` are the next block; `None` where more text has to come first.
    fn block(&self, text: &str, more: bool) -> Option<usize> {
        match self {
            TokenCounter::Finding(_) => Encoder::Bytes.block(text, BLOCK, more),
            TokenCounter::Known { encoder, .. } => encoder.block(text, BLOCK, more),
        }
    }

    fn finish(self) -> Tokenizer {
        match self {
            TokenCounter::Finding(builder) => builder.finish(),
            TokenCounter::Known { tokenizer, .. } => tokenizer,
        }
    }
}

/// Shows how far the reading of a long text is.
pub(super) enum Progress {
    /// The size is known.
    File(Counter),
    /// It is not.
    Stream { name: String, shown: Instant },
    /// There is nothing to show.
    Short,
}

impl Progress {
    pub fn new(name: &str, size: Option<u64>, long: bool) -> Progress {
        match size {
            Some(size) if long => Progress::File(Counter::new("reading the text", size as usize)),
            Some(_) => Progress::Short,
            None => Progress::Stream { name: name.into(), shown: Instant::now() },
        }
    }

    pub fn at(&mut self, bytes: u64) {
        match self {
            Progress::File(counter) => counter.at(bytes as usize),
            Progress::Stream { name, shown } if shown.elapsed() >= Duration::from_secs(2) => {
                *shown = Instant::now();
                output::note(&format!("reading {name}: {} bytes", output::thousands(u128::from(bytes))));
            }
            _ => {}
        }
    }
}
