//! The tokens of a long text, kept beside the run so that its next start need not read the text again.
//!
//! ```text
//! gradus tokens⏎
//! {"format":1,"source":…,"stamp":…,"tokenizer":…,"width":1,"count":300000000}⏎
//! the ids, `width` little-endian bytes each
//! the FNV-1a hash of all before it, 8 bytes
//! ```
//!
//! A cache holds what the text says as long as the file has the same path, size and times; a text that came through a
//! pipe is known by its fingerprint. Whatever is wrong with a cache, the text is read instead, and another one written.

use super::{
    identity::{Fingerprint, Stamp},
    packed,
    source::Source,
    token_file::TokenFile,
    tokens::Tokens,
};
use crate::{
    error::{Error, Result},
    files::{self, FileSystem, OutFile},
    progress::Counter,
    tokenizer::{Tokenizer, TokenizerKind},
};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

pub use crate::run_folder::names::TOKENS as FILE;

const MAGIC: &[u8] = b"gradus tokens\n";

const FORMAT: u32 = 1;

/// No vocabulary makes a longer header.
const LONGEST_HEADER: u64 = 64 << 20;

/// Bytes that are read, or ids that are written, at a time.
const CHUNK: usize = 1 << 16;

#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    source: Source,
    stamp: Option<Stamp>,
    tokenizer: Tokenizer,
    width: usize,
    count: usize,
}

/// The tokens of a text, and what they are of.
pub(super) struct Cached {
    pub source: Source,
    pub tokenizer: Tokenizer,
    pub tokens: TokenFile,
}

/// The tokenizer that a text is to be read with.
#[derive(Clone, Copy)]
pub(super) enum Wanted<'a> {
    /// One of this kind that knows the whole text, for a run that begins.
    Kind(TokenizerKind),
    /// This one, for a model that is there.
    Tokenizer(&'a Tokenizer),
}

impl Wanted<'_> {
    fn matches(&self, tokenizer: &Tokenizer) -> bool {
        match self {
            Wanted::Kind(kind) => tokenizer.kind() == *kind,
            Wanted::Tokenizer(wanted) => tokenizer == *wanted,
        }
    }
}

/// Whether the file at `path` is a cache, of whatever text, so that another may take its place.
pub fn is_cache(path: &Path) -> bool {
    let mut begin = [0; MAGIC.len()];
    File::open(path).and_then(|mut file| file.read_exact(&mut begin)).is_ok() && begin == MAGIC
}

/// The tokens of `source` as it is now, where the cache in `dir` holds them, and holds them undamaged.
pub(super) fn find(dir: &Path, source: &Source, wanted: Wanted<'_>) -> Option<Cached> {
    let path = dir.join(FILE);
    let file = File::open(&path).ok()?;
    let length = file.metadata().ok()?.len();
    let mut reader = BufReader::with_capacity(CHUNK, file);
    let mut begin = [0; MAGIC.len()];
    reader.read_exact(&mut begin).ok().filter(|()| begin == MAGIC)?;
    let mut line = Vec::new();
    reader.by_ref().take(LONGEST_HEADER).read_until(b'\n', &mut line).ok()?;
    let header: Header = serde_json::from_slice(&line).ok()?;
    if header.format != FORMAT || !is_of(&header, source) || !wanted.matches(&header.tokenizer) {
        return None;
    }
    let size = header.count.checked_mul(header.width).filter(|_| [1, 2, 4].contains(&header.width))?;
    let begin = MAGIC.len() + line.len();
    if length != begin.checked_add(size)?.checked_add(8)? as u64 {
        return None;
    }
    let vocab_size = header.tokenizer.vocab_size();
    let hash = Fingerprint::default().and(MAGIC).and(&line);
    check_ids(&mut reader, size, header.width, vocab_size, hash).ok().filter(|&undamaged| undamaged)?;
    let tokens = TokenFile::new(reader.into_inner(), &path, begin as u64, header.width, header.count, vocab_size);
    Some(Cached { source: header.source, tokenizer: header.tokenizer, tokens })
}

/// Whether the next `size` bytes are ids below `vocab_size`, and the hash after them is that of all before it.
fn check_ids(
    reader: &mut impl Read,
    size: usize,
    width: usize,
    vocab_size: usize,
    mut hash: Fingerprint,
) -> io::Result<bool> {
    let progress = Counter::new("checking tokens.bin", size);
    let (mut buffer, mut done, mut largest) = (vec![0; CHUNK], 0, None);
    while done < size {
        let chunk = &mut buffer[..CHUNK.min(size - done)];
        reader.read_exact(chunk)?;
        hash = hash.and(chunk);
        largest = largest.max(match width {
            1 => chunk.iter().max().map(|&id| u32::from(id)), // as fast as memory
            _ => packed::unpack(chunk, width).max(),
        });
        done += chunk.len();
        progress.at(done);
    }
    let mut expected = [0; 8];
    reader.read_exact(&mut expected)?;
    Ok(hash.hash == u64::from_le_bytes(expected) && largest.is_none_or(|id| (id as usize) < vocab_size))
}

/// Whether the tokens are those of `source`: of the file as it is, and of the text that the run began with.
fn is_of(header: &Header, source: &Source) -> bool {
    let known = !source.fingerprint.is_empty();
    let same_text = header.source.fingerprint == source.fingerprint;
    header.source.path == source.path
        && match header.stamp {
            Some(stamp) => source.stamp() == Some(stamp) && (same_text || !known),
            None => known && same_text, // it came through a pipe, which nobody can look at again
        }
}

/// Writes the tokens of `source` into `dir`, in place of an older cache, and opens them there.
///
/// # Errors
/// [`Error::Unreadable`] where the tokens cannot be read; [`Error::Foreign`] for a file of that name that is no cache, which
/// stays; [`Error::Io`].
pub(super) fn write(
    files: &dyn FileSystem,
    dir: &Path,
    source: &Source,
    stamp: Option<Stamp>,
    tokenizer: &Tokenizer,
    tokens: &Tokens,
) -> Result<TokenFile> {
    let path = dir.join(FILE);
    if path.symlink_metadata().is_ok() && !is_cache(&path) {
        return Err(Error::Foreign { path });
    }
    let (vocab_size, count) = (tokenizer.vocab_size(), tokens.len());
    let width = packed::width(vocab_size);
    let (source, tokenizer) = (source.clone(), tokenizer.clone());
    let header = Header { format: FORMAT, source, stamp, tokenizer, width, count };
    let io = |error| Error::io("write", &path)(error);
    let mut line = serde_json::to_vec(&header).map_err(|error| io(error.into()))?;
    line.push(b'\n');
    let mut unreadable = None;
    let written = files::replace(files, &path, |file| {
        let hash = Fingerprint::default().and(MAGIC).and(&line);
        file.write_all(MAGIC)?;
        file.write_all(&line)?;
        write_ids(file, tokens, width, hash, &mut unreadable)
    });
    match unreadable {
        Some(error) => return Err(error),
        None => written?,
    }
    let file = File::open(&path).map_err(Error::io("read", &path))?;
    Ok(TokenFile::new(file, &path, (MAGIC.len() + line.len()) as u64, width, count, vocab_size))
}

/// Writes all ids and the hash. Where they cannot be read, the reason goes into `unreadable`.
fn write_ids(
    file: &mut dyn OutFile,
    tokens: &Tokens,
    width: usize,
    mut hash: Fingerprint,
    unreadable: &mut Option<Error>,
) -> io::Result<()> {
    let progress = Counter::new("writing tokens.bin", tokens.len());
    let (mut ids, mut bytes) = (Vec::new(), Vec::new());
    for start in (0..tokens.len()).step_by(CHUNK) {
        let end = tokens.len().min(start + CHUNK);
        ids.clear();
        bytes.clear();
        if let Err(error) = tokens.append_to(start..end, &mut ids) {
            *unreadable = Some(error);
            return Err(io::Error::other("the tokens cannot be read"));
        }
        packed::pack(&ids, width, &mut bytes);
        hash = hash.and(&bytes);
        file.write_all(&bytes)?;
        progress.at(end);
    }
    file.write_all(&hash.hash.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Disk;
    use std::{fs, path::PathBuf};

    fn ids(tokens: &Tokens) -> Vec<u32> {
        let mut ids = Vec::new();
        tokens.append_to(0..tokens.len(), &mut ids).unwrap();
        ids
    }

    /// A folder with a text, its cache, and what the cache was made of.
    struct Place {
        folder: tempfile::TempDir,
        source: Source,
        tokenizer: Tokenizer,
        tokens: Tokens,
    }

    impl Place {
        fn new(characters: u32) -> Place {
            let folder = tempfile::tempdir().unwrap();
            let text: String = (0x100..0x100 + characters).filter_map(char::from_u32).collect();
            let path = folder.path().join("a.txt");
            fs::write(&path, &text).unwrap();
            let mut source = Source::new(Some(&path));
            source.read(|_| ()).unwrap();
            let tokenizer = Tokenizer::new(TokenizerKind::Char, &text);
            let tokens = Tokens::in_memory(&tokenizer.encode(&text).unwrap(), tokenizer.vocab_size());
            let place = Place { folder, source, tokenizer, tokens };
            place.write().unwrap();
            place
        }

        fn dir(&self) -> &Path {
            self.folder.path()
        }

        fn file(&self) -> PathBuf {
            self.dir().join(FILE)
        }

        fn write(&self) -> Result<TokenFile> {
            write(&Disk, self.dir(), &self.source, self.source.stamp(), &self.tokenizer, &self.tokens)
        }

        fn find(&self) -> Option<Cached> {
            find(self.dir(), &self.source, Wanted::Tokenizer(&self.tokenizer))
        }
    }

    #[test]
    fn tokens_come_back_with_their_tokenizer_and_fingerprint() {
        for characters in [200, 300, 70_000] {
            let place = Place::new(characters);
            assert_eq!(ids(&Tokens::File(place.find().unwrap().tokens)), ids(&place.tokens));
            assert_eq!(ids(&Tokens::File(place.write().unwrap())), ids(&place.tokens));
            let new = Source::new(place.source.path.as_deref());
            let found = find(place.dir(), &new, Wanted::Kind(TokenizerKind::Char)).unwrap();
            assert_eq!((found.source, found.tokenizer), (place.source.clone(), place.tokenizer.clone()));
            assert!(find(place.dir(), &new, Wanted::Kind(TokenizerKind::Byte)).is_none());
            assert!(find(place.dir(), &new, Wanted::Tokenizer(&Tokenizer::new(TokenizerKind::Char, "ab"))).is_none());
        }
    }

    #[test]
    fn a_cache_of_another_text_is_not_taken() {
        let place = Place::new(200);
        let path = place.source.path.clone().unwrap();
        let text = fs::read(&path).unwrap();

        let other = place.dir().join("b.txt");
        fs::copy(&path, &other).unwrap();
        assert!(find(place.dir(), &Source::new(Some(&other)), Wanted::Kind(TokenizerKind::Char)).is_none());

        let mut begun_with_another = place.source.clone();
        begun_with_another.fingerprint = "7 bytes, 0000000000000000".into();
        assert!(find(place.dir(), &begun_with_another, Wanted::Tokenizer(&place.tokenizer)).is_none());

        fs::write(&path, [&text[..], b"a"].concat()).unwrap(); // longer
        assert!(place.find().is_none());
        fs::write(&path, &text).unwrap(); // the same again, but later: only reading it tells
        assert!(place.find().is_none());
        place.write().unwrap();
        assert!(place.find().is_some());

        // Changed, and given back its old time: no program can set the time of that.
        let old = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, text.iter().rev().map(|byte| byte & 0x7f).collect::<Vec<u8>>()).unwrap();
        fs::File::options().append(true).open(&path).unwrap().set_modified(old).unwrap();
        assert!(!cfg!(unix) || place.find().is_none());
        fs::remove_file(&path).unwrap();
        assert!(place.find().is_none());
    }

    #[test]
    fn a_text_from_a_pipe_is_known_by_its_fingerprint() {
        let place = Place::new(200);
        let wanted = Wanted::Tokenizer(&place.tokenizer);
        let pipe = Source { path: Some("-".into()), fingerprint: place.source.fingerprint.clone() };
        write(&Disk, place.dir(), &pipe, None, &place.tokenizer, &place.tokens).unwrap();
        assert!(find(place.dir(), &pipe, wanted).is_some());
        assert!(find(place.dir(), &Source::new(Some(Path::new("-"))), wanted).is_none(), "a new text comes");
        assert!(find(place.dir(), &place.source, wanted).is_none());
    }

    #[test]
    fn a_damaged_cache_is_not_taken_wherever_it_is_damaged() {
        for characters in [200, 300] {
            let place = Place::new(characters);
            let good = fs::read(place.file()).unwrap();
            for length in [0, 1, 13, 14, 15, 100, good.len() / 2, good.len() - 9, good.len() - 1] {
                fs::write(place.file(), &good[..length]).unwrap();
                assert!(place.find().is_none(), "cut off at {length}");
            }
            for at in (0..good.len()).step_by(7).chain([good.len() - 1]) {
                let mut bad = good.clone();
                bad[at] ^= 1;
                fs::write(place.file(), &bad).unwrap();
                assert!(place.find().is_none(), "byte {at} changed");
            }
            fs::write(place.file(), [&good[..], b"x"].concat()).unwrap();
            assert!(place.find().is_none(), "a byte too much");
            let (body, last_id) = (&good[..good.len() - 8], good.len() - 8 - packed::width(characters as usize));
            let mut bad = body.to_vec();
            bad[last_id] = 0xff; // with the right hash, but 300 characters have no id 511, and 200 have no 255
            bad.extend(Fingerprint::default().and(&bad).hash.to_le_bytes());
            fs::write(place.file(), bad).unwrap();
            assert!(place.find().is_none(), "an id outside of the vocabulary");
            place.write().unwrap();
            assert!(place.find().is_some(), "a damaged one is replaced");
        }
    }

    #[test]
    fn a_foreign_file_of_the_same_name_stays() {
        let place = Place::new(200);
        fs::remove_file(place.file()).unwrap();
        for foreign in [&b"my own tokens"[..], b""] {
            fs::write(place.file(), foreign).unwrap();
            assert!(!is_cache(&place.file()) && place.find().is_none());
            assert!(matches!(place.write(), Err(Error::Foreign { .. })));
            assert_eq!(fs::read(place.file()).unwrap(), foreign);
        }
    }
}
