//! Where a text comes from, and its bytes read in pieces, so that a text of any length passes through a small buffer.

use super::{
    identity::{Fingerprint, Stamp},
    waiting::Waiting,
};
use crate::{
    corpus,
    error::{Error, Result},
};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, Metadata},
    io::{self, ErrorKind, Read},
    path::{Path, PathBuf},
};

/// What a file may begin with to say that it is UTF-8. It says something about the file, and is no part of the text.
pub(super) const BYTE_ORDER_MARK: &str = "\u{feff}";

/// `--data -`.
const STANDARD_INPUT: &str = "-";

/// Where a text comes from, and how to tell whether it is still the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The file, or `-` for standard input; without one, the built-in corpus.
    #[serde(with = "any_path")]
    pub path: Option<PathBuf>,
    /// Its length and the 64-bit FNV-1a hash of its bytes, without a byte order mark; empty as long as it has not been
    /// read.
    #[serde(default)]
    pub fingerprint: String,
}

/// A path in JSON: as text where it is text, and otherwise in the form that serde has for the system's own strings, so
/// that the name of any file can be saved.
mod any_path {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::{ffi::OsString, path::PathBuf};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Stored {
        Text(String),
        System(OsString),
    }

    pub fn serialize<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
        let stored = path.as_ref().map(|path| match path.to_str() {
            Some(text) => Stored::Text(text.into()),
            None => Stored::System(path.clone().into()),
        });
        stored.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
        Ok(Option::deserialize(deserializer)?.map(|stored| match stored {
            Stored::Text(text) => text.into(),
            Stored::System(text) => text.into(),
        }))
    }
}

/// A piece of a text, which begins and ends between two characters.
pub(super) struct Piece<'a> {
    pub text: &'a str,
    /// Line breaks before it.
    pub lines: usize,
    /// Bytes read up to its end.
    pub bytes: u64,
}

impl Piece<'_> {
    /// Where it begins in the source, in bytes.
    pub fn begin(&self) -> u64 {
        self.bytes - self.text.len() as u64
    }
}

impl Source {
    /// The file at `path` (`-` for standard input), or the built-in corpus, not yet read.
    pub fn new(path: Option<&Path>) -> Source {
        let absolute = |path: &Path| match path.to_str() {
            Some(STANDARD_INPUT) => path.to_path_buf(),
            _ => std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()),
        };
        Source { path: path.map(absolute), fingerprint: String::new() }
    }

    /// The name of the text in messages.
    pub fn name(&self) -> String {
        match &self.path {
            None => corpus::NAME.into(),
            Some(_) if self.is_standard_input() => "standard input".into(),
            Some(path) => path.display().to_string(),
        }
    }

    /// Whether it is a pipe or a terminal, which can be read only once.
    pub fn is_stream(&self) -> bool {
        let other = |path: &PathBuf| fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir());
        self.is_standard_input() || self.path.as_ref().is_some_and(other)
    }

    fn is_standard_input(&self) -> bool {
        self.path.as_ref().is_some_and(|path| path.as_os_str() == STANDARD_INPUT)
    }

    /// The stamp of the file as it is now; `None` where it is no file.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        let path = self.path.as_ref().filter(|_| !self.is_stream())?;
        fs::metadata(path).ok().filter(Metadata::is_file).map(|metadata| Stamp::of(&metadata))
    }

    /// Reads the text, hands it on in pieces, and remembers its fingerprint. Returns whether the byte order mark at its
    /// beginning, which was not handed on, is a character of the text after all: so it was for earlier versions of this
    /// program, and a run of theirs is known by its fingerprint.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::EmptyText`], [`Error::NotUtf8`]; [`Error::TextChanged`] where a fingerprint was known and
    /// is another one now.
    pub(super) fn read(&mut self, piece: impl FnMut(Piece<'_>)) -> Result<bool> {
        let (plain, marked) = pieces(self.open()?, &self.name(), piece)?;
        if plain.length == 0 {
            return Err(Error::EmptyText { text: self.name() });
        }
        let marked = marked.filter(|marked| marked.to_string() == self.fingerprint);
        let found = marked.unwrap_or(plain).to_string();
        if !self.fingerprint.is_empty() && self.fingerprint != found {
            return Err(Error::TextChanged { text: self.name(), found, saved: self.fingerprint.clone() });
        }
        self.fingerprint = found;
        Ok(marked.is_some())
    }

    fn open(&self) -> Result<Box<dyn Read>> {
        let Some(path) = &self.path else { return Ok(Box::new(corpus::TEXT.as_bytes())) };
        let waiting = self.is_stream().then(|| Waiting::begin(&self.name())); // a named pipe waits when it is opened
        if self.is_standard_input() {
            return Ok(Box::new(Awaited { inner: io::stdin().lock(), waiting }));
        }
        let file = File::open(path).map_err(Error::io("read", path))?;
        Ok(Box::new(Awaited { inner: file, waiting }))
    }
}

/// Ends the waiting when something comes.
struct Awaited<R> {
    inner: R,
    waiting: Option<Waiting>,
}

impl<R: Read> Read for Awaited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer);
        self.waiting = None;
        read
    }
}

/// Reads UTF-8 and hands it on in pieces. Returns the fingerprint of what was handed on, and where a byte order mark
/// came before it, the one with that mark.
fn pieces(
    mut reader: impl Read,
    name: &str,
    mut piece: impl FnMut(Piece<'_>),
) -> Result<(Fingerprint, Option<Fingerprint>)> {
    let (mut plain, mut marked) = (Fingerprint::default(), None);
    let mut buffer = vec![0; 1 << 16];
    // Bytes before the buffer, and those at its beginning, of a character that is not complete.
    let (mut before, mut waiting, mut lines) = (0, 0, 0);
    loop {
        let read = match reader.read(&mut buffer[waiting..]) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read.map_err(Error::io("read", Path::new(name)))?,
        };
        let filled = waiting + read;
        let valid = match str::from_utf8(&buffer[..filled]) {
            Err(error) if error.error_len().is_some() || read == 0 => {
                return Err(Error::NotUtf8 { text: name.into(), offset: before + error.valid_up_to() });
            }
            Err(error) => error.valid_up_to(),
            Ok(all) => all.len(),
        };
        if read == 0 {
            return Ok((plain, marked));
        }
        let mut text = str::from_utf8(&buffer[..valid]).unwrap_or_default();
        if before == 0
            && let Some(rest) = text.strip_prefix(BYTE_ORDER_MARK)
        {
            marked = Some(Fingerprint::default().and(BYTE_ORDER_MARK.as_bytes()));
            text = rest;
        }
        plain = plain.and(text.as_bytes());
        marked = marked.map(|marked| marked.and(text.as_bytes()));
        before += valid;
        piece(Piece { text, lines, bytes: before as u64 });
        lines += text.bytes().filter(|&byte| byte == b'\n').count();
        buffer.copy_within(valid..filled, 0);
        waiting = filled - valid;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of the file, read in pieces, and whether its byte order mark is part of it.
    fn read(source: &mut Source) -> Result<(String, bool)> {
        let (mut all, mut lines) = (String::new(), 0);
        let marked = source.read(|piece| {
            assert_eq!(piece.lines, lines);
            all.push_str(piece.text);
            lines = all.matches('\n').count();
        })?;
        Ok((all, marked))
    }

    fn file(content: &[u8]) -> (tempfile::TempDir, Source) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        fs::write(&path, content).unwrap();
        (folder, Source::new(Some(&path)))
    }

    #[test]
    fn files_that_are_no_text_are_refused() {
        let refused = |content: &[u8]| read(&mut file(content).1).unwrap_err();
        assert!(matches!(refused(b""), Error::EmptyText { .. }));
        assert!(matches!(refused("\u{feff}".as_bytes()), Error::EmptyText { .. }));
        assert!(matches!(refused(b"abc\xff\xfe"), Error::NotUtf8 { offset: 3, .. }));
        assert!(matches!(refused(b"abc\xe5\xa4"), Error::NotUtf8 { offset: 3, .. }));
        let far = [&vec![b'a'; 200_000][..], b"\xe5\xa4a"].concat();
        assert!(matches!(refused(&far), Error::NotUtf8 { offset: 200_000, .. }));
        let error = read(&mut Source::new(Some(Path::new("no such file")))).unwrap_err().to_string();
        assert!(error.contains("no such file"), "{error}");
    }

    #[test]
    fn characters_that_lie_across_two_pieces_stay_whole() {
        for shift in 0..4 {
            let text = "a".repeat(shift) + &"🦀\n".repeat(40_000);
            let (_folder, mut source) = file(text.as_bytes());
            assert_eq!(read(&mut source).unwrap(), (text, false));
        }
    }

    #[test]
    fn the_fingerprint_is_that_of_earlier_versions() {
        let (_folder, mut source) = file("a\n天".as_bytes());
        read(&mut source).unwrap();
        assert_eq!(source.fingerprint, "5 bytes, 9877dfca8cf038de");
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_text() {
        let (_folder, mut source) = file("\u{feff}a\u{feff}b".as_bytes());
        assert_eq!(read(&mut source).unwrap(), ("a\u{feff}b".into(), false));
        let (_folder, mut plain) = file("a\u{feff}b".as_bytes());
        read(&mut plain).unwrap();
        assert_eq!(source.fingerprint, plain.fingerprint);
        // A run that was begun when the mark was a token is resumed with it.
        source.fingerprint = Fingerprint::default().and("\u{feff}a\u{feff}b".as_bytes()).to_string();
        assert!(read(&mut source).unwrap().1);
    }

    #[test]
    fn a_changed_text_is_noticed() {
        let (folder, mut source) = file(b"abc");
        read(&mut source).unwrap();
        assert!(read(&mut source).is_ok());
        fs::write(folder.path().join("a.txt"), "abd").unwrap();
        assert!(matches!(read(&mut source), Err(Error::TextChanged { .. })));
    }

    #[test]
    fn a_stamp_changes_with_the_file_and_not_otherwise() {
        let (folder, source) = file(b"abc");
        let stamp = source.stamp().unwrap();
        assert_eq!((stamp.size, source.stamp()), (3, Some(stamp)));
        fs::write(folder.path().join("a.txt"), "abcd").unwrap();
        assert_ne!(source.stamp(), Some(stamp));
        assert_eq!((Source::new(None).stamp(), Source::new(Some(Path::new("-"))).stamp()), (None, None));
        assert!(Source::new(Some(Path::new("-"))).is_stream() && !source.is_stream());
        assert_eq!(Source::new(Some(Path::new("-"))).name(), "standard input");
    }
}
