//! Which kind of tokenizer.

use super::bpe::MOST_TOKENS;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Which kind of tokenizer: `char`, `byte` or `bpe:N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum TokenizerKind {
    /// A token for every distinct character of the text
    Char,
    /// 256 tokens, one for each byte: reads every text, with up to four tokens per character
    Byte,
    /// So many tokens, learned from the text by byte pair encoding: the 256 bytes, and frequent pairs of tokens
    Bpe(usize),
}

impl TokenizerKind {
    /// That a model can have such a tokenizer.
    ///
    /// # Errors
    /// For a number of tokens that byte pair encoding cannot have.
    pub fn check(&self) -> Result<(), String> {
        match self {
            TokenizerKind::Bpe(size) if *size <= 256 || *size > MOST_TOKENS => {
                Err(format!("must have from 257 tokens, the bytes and one merge, to {MOST_TOKENS}"))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for TokenizerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenizerKind::Char => f.write_str("char"),
            TokenizerKind::Byte => f.write_str("byte"),
            TokenizerKind::Bpe(size) => write!(f, "bpe:{size}"),
        }
    }
}

impl FromStr for TokenizerKind {
    type Err = String;

    fn from_str(text: &str) -> Result<TokenizerKind, String> {
        let size = |text: &str| text.strip_prefix("bpe:")?.parse().ok();
        match text {
            "char" => Ok(TokenizerKind::Char),
            "byte" => Ok(TokenizerKind::Byte),
            _ => size(text).map(TokenizerKind::Bpe).ok_or_else(|| "give char, byte, or bpe:512 for 512 tokens".into()),
        }
    }
}

impl TryFrom<String> for TokenizerKind {
    type Error = String;

    fn try_from(text: String) -> Result<TokenizerKind, String> {
        text.parse()
    }
}

impl From<TokenizerKind> for String {
    fn from(kind: TokenizerKind) -> String {
        kind.to_string()
    }
}
