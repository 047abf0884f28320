//! A tokenizer in a file of its own.

use super::{
    Tokenizer,
    bpe::{self, Pattern},
};
use crate::{
    error::{Error, Result},
    files::{self, FileSystem},
};
use std::{fs, path::Path};

/// How the name of a file in the format of `tiktoken` ends.
const RANKS: &str = "tiktoken";

/// No vocabulary makes a longer file.
const LONGEST: u64 = 256 << 20;

impl Tokenizer {
    /// Reads a tokenizer: JSON, as [`Tokenizer::save`] writes it, or lines of tokens in base64 with their ranks, as `tiktoken`
    /// has it, whose text is cut by `pattern`.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Damaged`] with what is wrong.
    pub fn load(path: &Path, pattern: Pattern) -> Result<Tokenizer> {
        let length = fs::metadata(path).map_err(Error::io("read", path))?.len();
        if length > LONGEST {
            return Err(Error::damaged(path, format!("it has {length} bytes, and a tokenizer has {LONGEST} at most")));
        }
        let bytes = fs::read(path).map_err(Error::io("read", path))?;
        let text = str::from_utf8(&bytes).map_err(|_| Error::damaged(path, "it is not UTF-8 text"))?;
        if text.trim_start().starts_with('{') {
            return serde_json::from_str(text).map_err(|problem| Error::damaged(path, problem));
        }
        bpe::read(text, pattern, Vec::new()).map(Tokenizer::Bpe).map_err(|problem| Error::damaged(path, problem))
    }

    /// Writes it to `path`: in JSON, or where that ends with `.tiktoken` in the format of `tiktoken`, for which it has to be byte
    /// pair encoding without special tokens.
    ///
    /// # Errors
    /// [`Error::Setting`] where that format cannot hold it; [`Error::Io`].
    pub fn save(&self, files: &dyn FileSystem, path: &Path) -> Result<()> {
        let refuse = |problem: String| Error::setting("out", path.display(), problem);
        if path.extension().is_none_or(|extension| extension != RANKS) {
            let json = serde_json::to_string(self).map_err(|error| refuse(error.to_string()))? + "\n";
            return files::write(files, path, json.as_bytes());
        }
        let text = match self {
            Tokenizer::Bpe(bpe) if bpe.special().is_empty() => bpe::write(bpe).map_err(refuse)?,
            Tokenizer::Bpe(_) => {
                return Err(refuse("this format has no special tokens; choose a name with .json".into()));
            }
            Tokenizer::Char(_) | Tokenizer::Byte => {
                return Err(refuse("this format is for byte pair encoding; choose a name with .json".into()));
            }
        };
        files::write(files, path, text.as_bytes())
    }
}
