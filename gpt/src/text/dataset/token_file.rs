//! Ids in a file, which are read by their position when a batch needs them.

use super::{packed, positioned::read_exact_at};
use crate::error::{Error, Result};
use std::{
    fs::File,
    io::ErrorKind,
    ops::Range,
    path::{Path, PathBuf},
};

/// Bytes that are read at a time: one window, as a rule. A multiple of every width.
const CHUNK: usize = 4096;

/// An open file with ids in it. It stays readable where another file takes its name, or its name is removed.
#[derive(Debug)]
pub(super) struct TokenFile {
    file: File,
    path: PathBuf,
    begin: u64,
    width: usize,
    count: usize,
    vocab_size: usize,
}

impl TokenFile {
    /// `count` ids below `vocab_size`, `width` bytes each, from byte `begin` of the file on.
    pub fn new(file: File, path: &Path, begin: u64, width: usize, count: usize, vocab_size: usize) -> TokenFile {
        TokenFile { file, path: path.to_path_buf(), begin, width, count, vocab_size }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    /// Appends the ids in `range` to `out`.
    ///
    /// # Errors
    /// [`Error::Unreadable`]: the file was cut off, or holds what is no id.
    pub fn append_to(&self, range: Range<usize>, out: &mut Vec<u32>) -> Result<()> {
        assert!(range.end <= self.count, "ids {range:?} of {}", self.count);
        let mut buffer = [0; CHUNK];
        let per_chunk = CHUNK / self.width;
        for start in range.clone().step_by(per_chunk) {
            let count = per_chunk.min(range.end - start);
            let bytes = &mut buffer[..count * self.width];
            let offset = self.begin + (start * self.width) as u64;
            read_exact_at(&self.file, bytes, offset).map_err(|error| self.unreadable(error))?;
            let first = out.len();
            out.extend(packed::unpack(bytes, self.width));
            let wrong = out[first..].iter().position(|&id| id as usize >= self.vocab_size);
            if let Some(i) = wrong {
                let (position, id, vocab_size) = (start + i, out[first + i], self.vocab_size);
                let problem = format!("token {position} is {id}, and the vocabulary has {vocab_size} tokens");
                return Err(Error::unreadable(&self.path, problem));
            }
        }
        Ok(())
    }

    fn unreadable(&self, error: std::io::Error) -> Error {
        match (error.kind(), self.file.metadata()) {
            (ErrorKind::UnexpectedEof, Ok(metadata)) => {
                Error::unreadable(&self.path, format!("it was cut off at byte {}", metadata.len()))
            }
            _ => Error::unreadable(&self.path, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// 5 bytes, and then the ids.
    fn file(ids: &[u32], vocab_size: usize) -> (tempfile::TempDir, TokenFile) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids");
        let (mut bytes, width) = (vec![9; 5], packed::width(vocab_size));
        packed::pack(ids, width, &mut bytes);
        fs::write(&path, bytes).unwrap();
        let file = File::open(&path).unwrap();
        (folder, TokenFile::new(file, &path, 5, width, ids.len(), vocab_size))
    }

    fn read(file: &TokenFile, range: Range<usize>) -> std::result::Result<Vec<u32>, String> {
        let mut ids = Vec::new();
        file.append_to(range, &mut ids).map(|()| ids).map_err(|error| error.to_string())
    }

    #[test]
    fn ids_are_read_at_every_position_and_width() {
        for vocab_size in [200, 60_000, 70_000] {
            let ids: Vec<u32> = (0..9000).map(|i| i * 7919 % vocab_size).collect();
            let (_folder, file) = file(&ids, vocab_size as usize);
            for range in [0..0, 0..1, 0..9000, 17..5000, 4095..4097, 8999..9000, 9000..9000] {
                assert_eq!(read(&file, range.clone()).unwrap(), ids[range]);
            }
        }
    }

    #[test]
    fn a_file_that_is_cut_off_under_the_reader_is_an_error_from_there_on() {
        let (_folder, file) = file(&[1; 1000], 300);
        File::options().write(true).open(&file.path).unwrap().set_len(5 + 2 * 600 + 1).unwrap();
        assert_eq!(read(&file, 500..600).unwrap(), [1; 100]);
        let error = read(&file, 500..601).unwrap_err();
        assert!(error.contains("ids: it was cut off at byte 1206; "), "{error}");
    }

    #[test]
    fn what_is_no_id_is_an_error() {
        let (_folder, file) = file(&[5, 6, 7, 6], 7);
        assert_eq!(read(&file, 0..2).unwrap(), [5, 6]);
        let error = read(&file, 1..4).unwrap_err();
        assert!(error.contains("token 2 is 7, and the vocabulary has 7 tokens"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_removed_or_replaced_file_is_read_on() {
        let (_folder, file) = file(&[5, 6], 7);
        fs::remove_file(&file.path).unwrap();
        fs::write(&file.path, "another").unwrap();
        assert_eq!(read(&file, 0..2).unwrap(), [5, 6]);
    }
}
