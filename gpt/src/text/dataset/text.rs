//! A text whose tokens are found by their position, though its characters take different numbers of bytes: an index knows
//! which token begins at every few thousandth byte.

use super::{identity::Stamp, positioned::read_exact_at, source::Source};
use crate::{
    error::{Error, Result},
    tokenizer::Encoder,
};
use std::{
    fs::File,
    ops::Range,
    path::{Path, PathBuf},
};

/// Most bytes between two entries of the index. A window of tokens costs reading one or two such blocks.
pub(super) const BLOCK: usize = 4096;

/// A text with an index of its tokens.
#[derive(Debug)]
pub(super) struct Text {
    bytes: Bytes,
    index: Vec<Position>,
    encoder: Encoder,
}

/// Where the bytes of a text are.
#[derive(Debug)]
pub(super) enum Bytes {
    /// In a file that had this stamp when it was opened.
    File { file: File, path: PathBuf, stamp: Stamp },
    /// In memory: a short text, or one that can be read only once.
    Memory(Vec<u8>),
}

impl Bytes {
    /// The file of `source`, to be read by position. The built-in corpus and standard input are none.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(source: &Source) -> Result<Bytes> {
        let path = source.path.clone().unwrap_or_default();
        let file = File::open(&path).map_err(Error::io("read", &path))?;
        let stamp = Stamp::of(&file.metadata().map_err(Error::io("read", &path))?);
        Ok(Bytes::File { file, path, stamp })
    }
}

/// The first token of a block, and its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    token: usize,
    byte: u64,
}

/// An [index](Text) in the making.
#[derive(Debug, Default)]
pub(super) struct Index {
    positions: Vec<Position>,
    tokens: usize,
}

impl Index {
    /// The next `tokens` take these bytes, [`BLOCK`] at most.
    pub fn add(&mut self, bytes: Range<u64>, tokens: usize) {
        if self.positions.last().is_none_or(|last| bytes.end - last.byte > BLOCK as u64) {
            self.positions.push(Position { token: self.tokens, byte: bytes.start });
        }
        self.tokens += tokens;
    }

    /// Before all others there are `tokens` more, which begin at byte 0.
    pub fn insert_first(&mut self, tokens: usize) {
        self.positions.iter_mut().for_each(|position| position.token += tokens);
        self.positions.insert(0, Position { token: 0, byte: 0 });
        self.tokens += tokens;
    }

    /// The text in `bytes`, which ends at `byte`.
    pub fn finish(mut self, byte: u64, bytes: Bytes, encoder: Encoder) -> Text {
        self.positions.push(Position { token: self.tokens, byte });
        Text { bytes, index: self.positions, encoder }
    }
}

impl Text {
    /// How many tokens it has.
    pub fn len(&self) -> usize {
        self.index.last().map_or(0, |end| end.token)
    }

    /// The stamp of the file that it is in; `None` where it is in memory.
    pub fn stamp(&self) -> Option<Stamp> {
        match &self.bytes {
            Bytes::File { stamp, .. } => Some(*stamp),
            Bytes::Memory(_) => None,
        }
    }

    /// That the file that it is in is still that of `source`, and has the content that it had when it was opened.
    ///
    /// # Errors
    /// [`Error::Unreadable`].
    pub fn check_unchanged(&self, source: &Source) -> Result<()> {
        let same = |stamp: Stamp| source.stamp().is_some_and(|now| now.has_same_content(stamp));
        if self.stamp().is_none_or(same) { Ok(()) } else { Err(self.changed()) }
    }

    /// All ids.
    ///
    /// # Errors
    /// As [`Text::append_to`].
    pub fn ids(&self) -> Result<Vec<u32>> {
        let mut ids = Vec::with_capacity(self.len());
        self.append_to(0..self.len(), &mut ids)?;
        Ok(ids)
    }

    /// Appends the ids of the tokens in `range` to `out`.
    ///
    /// # Errors
    /// [`Error::Unreadable`] where the file is not what it was any more.
    pub fn append_to(&self, range: Range<usize>, out: &mut Vec<u32>) -> Result<()> {
        assert!(range.end <= self.len(), "tokens {range:?} of {}", self.len());
        let first = self.index.partition_point(|position| position.token <= range.start).saturating_sub(1);
        let (mut buffer, mut ids) = (Vec::new(), Vec::new());
        for block in self.index[first..].windows(2).take_while(|block| block[0].token < range.end) {
            let (begin, end) = (block[0], block[1]);
            ids.clear();
            let text = self.block(begin.byte..end.byte, &mut buffer)?;
            let encoded = str::from_utf8(text).is_ok_and(|text| self.encoder.encode(text, &mut ids).is_ok());
            if !encoded || ids.len() != end.token - begin.token {
                return Err(self.changed());
            }
            let within = range.start.max(begin.token)..range.end.min(end.token);
            out.extend_from_slice(&ids[within.start - begin.token..within.end - begin.token]);
        }
        Ok(())
    }

    fn block<'a>(&'a self, range: Range<u64>, buffer: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        match &self.bytes {
            Bytes::Memory(bytes) => Ok(&bytes[range.start as usize..range.end as usize]),
            Bytes::File { file, path, stamp } => {
                buffer.resize((range.end - range.start) as usize, 0);
                let read = read_exact_at(file, buffer, range.start);
                let now = file.metadata().map_err(|error| Error::unreadable(path, error))?;
                if !Stamp::of(&now).has_same_content(*stamp) {
                    return Err(self.changed());
                }
                read.map_err(|error| Error::unreadable(path, error))?;
                Ok(buffer)
            }
        }
    }

    fn changed(&self) -> Error {
        let path = match &self.bytes {
            Bytes::File { path, .. } => path,
            Bytes::Memory(_) => Path::new("the text"),
        };
        Error::unreadable(path, "its content has changed since it was opened")
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{cache::Wanted, reading::read, source::BYTE_ORDER_MARK},
        *,
    };
    use crate::tokenizer::{Tokenizer, TokenizerKind};
    use std::fs;

    /// Characters of one to four bytes, in another order all the time.
    fn mixed(count: u32) -> String {
        let alphabets = [(0x61, 26), (0x3b1, 25), (0x430, 32), (0x4e00, 900), (0xac00, 500), (0x1f600, 60)];
        let character = |i: u32| {
            let (first, number) = alphabets[(i / 7 * 31 % 6) as usize];
            char::from_u32(first + i.wrapping_mul(2_654_435_761) % number).unwrap()
        };
        (0..count).map(character).collect()
    }

    fn written(text: &str) -> (tempfile::TempDir, Source) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        fs::write(&path, text).unwrap();
        (folder, Source::new(Some(&path)))
    }

    #[test]
    fn every_range_has_the_ids_of_the_whole_text_in_memory_and_in_a_file() {
        let text = mixed(60_000); // three pieces as they are read, and some forty blocks
        for kind in [TokenizerKind::Char, TokenizerKind::Byte] {
            let tokenizer = Tokenizer::new(kind, &text);
            let ids = tokenizer.encode(&text).unwrap();
            for mark in ["", BYTE_ORDER_MARK] {
                let (_folder, mut source) = written(&format!("{mark}{text}"));
                for (long, wanted) in [
                    (0, Wanted::Kind(kind)),
                    (0, Wanted::Tokenizer(&tokenizer)),
                    (u64::MAX, Wanted::Kind(kind)),
                    (u64::MAX, Wanted::Tokenizer(&tokenizer)),
                ] {
                    let (read, found) = read(&mut source, wanted, long).unwrap();
                    assert_eq!((read.stamp().is_some(), found), (long == 0, tokenizer.clone()));
                    assert!(read.index.len() > 30 && read.ids().unwrap() == ids, "{} blocks", read.index.len());
                    for position in &read.index {
                        for start in [position.token.saturating_sub(9), position.token] {
                            let (mut part, end) = (vec![7], (start + 9).min(ids.len()));
                            read.append_to(start..end, &mut part).unwrap();
                            assert_eq!(part[1..], ids[start..end]);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_range_has_the_ids_of_the_whole_text_where_tokens_are_pairs() {
        let text = mixed(60_000);
        let tokenizer = Tokenizer::new(TokenizerKind::Bpe(700), &text);
        let ids = tokenizer.encode(&text).unwrap();
        assert!(ids.len() < text.len() / 2);
        let (_folder, mut source) = written(&text);
        for long in [0, u64::MAX] {
            let (read, _) = read(&mut source, Wanted::Tokenizer(&tokenizer), long).unwrap();
            assert!(read.index.len() > 30 && read.ids().unwrap() == ids, "{} blocks", read.index.len());
            for position in &read.index {
                let (mut part, end) = (Vec::new(), (position.token + 9).min(ids.len()));
                read.append_to(position.token.saturating_sub(9)..end, &mut part).unwrap();
                assert_eq!(part, ids[position.token.saturating_sub(9)..end]);
            }
        }
        let indexed = super::super::reading::index(text, &tokenizer);
        assert!(indexed.ids().unwrap() == ids && indexed.index.len() > 30);
    }

    /// A piece of the text, as it is read, ends in the middle of a word.
    #[test]
    fn a_text_without_a_place_to_cut_has_the_same_ids_in_memory_and_in_a_file() {
        let text: String =
            (0..200_000_u32).map(|i| char::from(b'a' + (i.wrapping_mul(2_654_435_761) >> 16) as u8 % 7)).collect();
        let tokenizer = Tokenizer::new(TokenizerKind::Bpe(300), &text[..5000]);
        let mut ids = Vec::new();
        Encoder::new(&tokenizer).encode_in_blocks(&text, BLOCK, &mut ids).unwrap();
        let (_folder, mut source) = written(&text);
        for long in [0, u64::MAX] {
            assert!(read(&mut source, Wanted::Tokenizer(&tokenizer), long).unwrap().0.ids().unwrap() == ids);
        }
    }

    /// As earlier versions had it, and as a run of theirs is resumed.
    #[test]
    fn a_byte_order_mark_that_was_a_token_is_one() {
        let text = format!("{BYTE_ORDER_MARK}{}", mixed(9000));
        let fingerprint = super::super::Fingerprint::default().and(text.as_bytes()).to_string();
        for kind in [TokenizerKind::Char, TokenizerKind::Byte] {
            let tokenizer = Tokenizer::new(kind, &text);
            let (_folder, mut source) = written(&text);
            source.fingerprint.clone_from(&fingerprint);
            for long in [0, u64::MAX] {
                let (read, _) = read(&mut source, Wanted::Tokenizer(&tokenizer), long).unwrap();
                assert_eq!(read.ids().unwrap(), tokenizer.encode(&text).unwrap());
            }
        }
    }

    #[test]
    fn a_text_that_changes_under_the_reader_is_an_error() {
        let original = mixed(9000);
        let (folder, mut source) = written(&original);
        let path = folder.path().join("a.txt");
        let (text, _) = read(&mut source, Wanted::Kind(TokenizerKind::Char), 0).unwrap();
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        let other: String = original.chars().rev().collect();
        for changed in [&original[..original.len() - 4], &other, "a"] {
            fs::write(&path, changed).unwrap();
            let file = File::options().append(true).open(&path).unwrap();
            file.set_modified(modified + std::time::Duration::from_secs(2)).unwrap();
            let error = text.append_to(0..9, &mut Vec::new()).unwrap_err().to_string();
            assert!(error.contains("a.txt: its content has changed since it was opened; run the"), "{error}");
            assert!(text.check_unchanged(&source).is_err());
        }
        // Changed without a trace in size and time: what is there now is still not taken for what was there.
        fs::write(&path, "a".repeat(original.len())).unwrap();
        File::options().append(true).open(&path).unwrap().set_modified(modified).unwrap();
        assert!(text.append_to(0..9, &mut Vec::new()).is_err());
        // Another name and other permissions are none of the text.
        fs::write(&path, &original).unwrap();
        File::options().append(true).open(&path).unwrap().set_modified(modified).unwrap();
        fs::rename(&path, folder.path().join("b.txt")).unwrap();
        assert!(text.append_to(0..9, &mut Vec::new()).is_ok());
    }
}
