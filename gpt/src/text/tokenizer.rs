//! From text to numbers and back: a token is a character, a byte, or a piece of text between a byte and a word.
//!
//! A character tokenizer has a vocabulary of just the characters that its text uses (65 for Shakespeare, some thousands
//! for Chinese) and a context of 64 sees 64 of them. A byte tokenizer knows every text, with 256 tokens, but spends
//! three of them on a Chinese character. Byte pair encoding ([`bpe`]), which the larger models use, begins with the bytes and
//! learns from the text which of them to join.
//!
//! The vocabulary is part of the model: token 17 means nothing without it. It is kept in `config.json`.

pub mod bpe;
mod encoder;
mod file;
mod kind;

use crate::error::{Error, Result};
use bpe::{Bpe, Pattern};
pub use encoder::{Encoder, TokenizerBuilder, Unknown};
pub use kind::TokenizerKind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How a model's text is cut into pieces before byte pair encoding merges them.
pub const PATTERN: Pattern = Pattern::Cl100k;

/// What turns text into token ids and back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Tokenizer {
    /// Token i is the i-th character of the vocabulary.
    Char(Vocabulary),
    /// Token i is the byte i.
    Byte,
    /// Token i is the byte i, and from 256 on a pair of earlier tokens.
    Bpe(Bpe),
}

/// The distinct characters of a text, in the order of their code points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Vocabulary(Vec<char>);

/// The form in `config.json`: one string, which a person can read.
#[derive(Serialize, Deserialize)]
struct Stored {
    vocabulary: String,
}

impl From<Vocabulary> for Stored {
    fn from(vocabulary: Vocabulary) -> Stored {
        Stored { vocabulary: vocabulary.0.into_iter().collect() }
    }
}

impl TryFrom<Stored> for Vocabulary {
    type Error = String;

    fn try_from(stored: Stored) -> std::result::Result<Vocabulary, String> {
        let characters: Vec<char> = stored.vocabulary.chars().collect();
        match characters.windows(2).find(|pair| pair[0] >= pair[1]) {
            Some(pair) => Err(format!("the vocabulary is not in order at {:?} {:?}", pair[0], pair[1])),
            None if characters.is_empty() => Err("the vocabulary is empty".into()),
            None => Ok(Vocabulary(characters)),
        }
    }
}

impl Tokenizer {
    /// A tokenizer for `text`, which knows every character of it.
    ///
    /// # Panics
    /// Where byte pair encoding finds fewer tokens in `text` than it is to have; [`Bpe::train`] returns that as an error.
    pub fn new(kind: TokenizerKind, text: &str) -> Tokenizer {
        match kind {
            TokenizerKind::Char => {
                Tokenizer::Char(Vocabulary(text.chars().collect::<BTreeSet<char>>().into_iter().collect()))
            }
            TokenizerKind::Byte => Tokenizer::Byte,
            TokenizerKind::Bpe(size) => match Bpe::train(PATTERN, text, size, |_| ()) {
                Ok(bpe) => Tokenizer::Bpe(bpe),
                Err(error) => panic!("{error}"),
            },
        }
    }

    /// Which kind it is.
    pub fn kind(&self) -> TokenizerKind {
        match self {
            Tokenizer::Char(_) => TokenizerKind::Char,
            Tokenizer::Byte => TokenizerKind::Byte,
            Tokenizer::Bpe(bpe) => TokenizerKind::Bpe(bpe.vocab_size()),
        }
    }

    /// How many tokens there are.
    pub fn vocab_size(&self) -> usize {
        match self {
            Tokenizer::Char(vocabulary) => vocabulary.0.len(),
            Tokenizer::Byte => 256,
            Tokenizer::Bpe(bpe) => bpe.vocab_size(),
        }
    }

    /// The ids of a short text, such as a prompt; an [`Encoder`] is made for long ones.
    ///
    /// # Errors
    /// [`Error::UnknownCharacter`] with the first character that the vocabulary lacks.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        match self {
            Tokenizer::Char(vocabulary) => {
                let id = |c| vocabulary.id(c).ok_or_else(|| self.unknown(c, "prompt", None));
                text.chars().map(id).collect()
            }
            Tokenizer::Byte => Ok(text.bytes().map(u32::from).collect()),
            Tokenizer::Bpe(bpe) => Ok(bpe.encode(text)),
        }
    }

    /// The error for a character of `text` that the vocabulary lacks; `place` says where it is.
    pub fn unknown(&self, character: char, text: &'static str, place: Option<String>) -> Error {
        let known = match self {
            Tokenizer::Char(vocabulary) => vocabulary.excerpt(),
            Tokenizer::Byte | Tokenizer::Bpe(_) => "bytes".into(), // every character is made of them, so this is never said
        };
        Error::UnknownCharacter { character, known, text, place }
    }

    /// The text of `ids`; bytes that are no UTF-8 become `U+FFFD`.
    ///
    /// # Errors
    /// [`Error::UnknownToken`] for an id outside of the vocabulary.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        let mut decoder = self.decoder();
        let mut text = String::new();
        for &id in ids {
            text.push_str(decoder.push(id)?);
        }
        text.push_str(decoder.finish());
        Ok(text)
    }

    /// A decoder that takes one token at a time.
    pub fn decoder(&self) -> Decoder<'_> {
        Decoder { tokenizer: self, waiting: Vec::with_capacity(4), text: String::new() }
    }

    /// The bytes of one token; `None` for an id outside of the vocabulary.
    pub fn bytes(&self, id: u32) -> Option<Vec<u8>> {
        match self {
            Tokenizer::Char(vocabulary) => vocabulary.0.get(id as usize).map(|c| c.to_string().into_bytes()),
            Tokenizer::Byte => u8::try_from(id).ok().map(|byte| vec![byte]),
            Tokenizer::Bpe(bpe) => bpe.bytes(id).map(<[u8]>::to_vec),
        }
    }

    /// One token as it is shown in a table: `'a'`, `'\n'`, `' the'`; `0xe4`, `0xe4b8` where it is no whole characters.
    pub fn label(&self, id: u32) -> String {
        match self {
            Tokenizer::Char(vocabulary) => vocabulary.0.get(id as usize).map_or("?".into(), |c| format!("{c:?}")),
            Tokenizer::Byte => match u8::try_from(id) {
                Ok(byte) if byte.is_ascii_graphic() || byte.is_ascii_whitespace() => format!("{:?}", byte as char),
                _ => format!("0x{id:02x}"),
            },
            Tokenizer::Bpe(bpe) => match bpe.bytes(id).map(|bytes| (bytes, str::from_utf8(bytes))) {
                None => "?".into(),
                Some((_, Ok(text))) => format!("'{}'", text.escape_debug()),
                Some((bytes, Err(_))) => bytes.iter().fold("0x".into(), |text, byte| format!("{text}{byte:02x}")),
            },
        }
    }
}

impl Vocabulary {
    fn id(&self, character: char) -> Option<u32> {
        self.0.binary_search(&character).ok().map(|i| i as u32)
    }

    /// A few characters of each kind that a reader would recognise.
    fn excerpt(&self) -> String {
        const SHOWN: usize = 24;
        let visible: String = self.0.iter().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
        let count = visible.chars().count();
        let step = count.div_ceil(SHOWN).max(1);
        let shown: String = visible.chars().step_by(step).collect();
        format!("{} characters such as {shown}", self.0.len())
    }
}

/// Turns tokens into text as they come; a UTF-8 character that is not complete waits for its last byte.
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    tokenizer: &'a Tokenizer,
    waiting: Vec<u8>,
    text: String,
}

impl Decoder<'_> {
    /// The text that became certain with this token; it may be empty.
    ///
    /// # Errors
    /// [`Error::UnknownToken`] for an id outside of the vocabulary.
    pub fn push(&mut self, id: u32) -> Result<&str> {
        let unknown = || Error::UnknownToken { token: id, vocabulary: self.tokenizer.vocab_size() };
        self.text.clear();
        match self.tokenizer {
            Tokenizer::Char(vocabulary) => self.text.push(*vocabulary.0.get(id as usize).ok_or_else(unknown)?),
            Tokenizer::Byte => {
                self.waiting.push(u8::try_from(id).map_err(|_| unknown())?);
                self.release();
            }
            Tokenizer::Bpe(bpe) => {
                self.waiting.extend_from_slice(bpe.bytes(id).ok_or_else(unknown)?);
                self.release();
            }
        }
        Ok(&self.text)
    }

    /// The bytes of a character that is not complete yet.
    pub fn waiting(&self) -> &[u8] {
        &self.waiting
    }

    /// What is left when no more tokens come: `U+FFFD` for a character that was never completed.
    pub fn finish(&mut self) -> &str {
        self.text.clear();
        if !self.waiting.is_empty() {
            self.text.push(char::REPLACEMENT_CHARACTER);
            self.waiting.clear();
        }
        &self.text
    }

    /// Moves all that is certain from the waiting bytes into the text.
    fn release(&mut self) {
        while !self.waiting.is_empty() {
            let (good, wrong) = match std::str::from_utf8(&self.waiting) {
                Ok(all) => (all.len(), None),
                Err(error) => (error.valid_up_to(), Some(error.error_len())),
            };
            self.text.push_str(&String::from_utf8_lossy(&self.waiting[..good]));
            self.waiting.drain(..good);
            match wrong {
                Some(Some(length)) => {
                    self.text.push(char::REPLACEMENT_CHARACTER);
                    self.waiting.drain(..length);
                }
                Some(None) => return, // a character that has only begun
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIXED: &str = "First Citizen:\nBefore we proceed, 天地玄黄，宇宙洪荒。 naïve 🦀\n";

    #[test]
    fn text_comes_back_as_it_was() {
        for kind in [TokenizerKind::Char, TokenizerKind::Byte, TokenizerKind::Bpe(259)] {
            let tokenizer = Tokenizer::new(kind, &MIXED.repeat(3));
            assert_eq!(tokenizer.kind(), kind);
            let ids = tokenizer.encode(MIXED).unwrap();
            assert_eq!(tokenizer.decode(&ids).unwrap(), MIXED);
            assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocab_size()));
        }
    }

    #[test]
    fn the_vocabulary_is_sorted_and_distinct() {
        let tokenizer = Tokenizer::new(TokenizerKind::Char, "hello, 世界");
        assert_eq!(tokenizer.encode(" ,ehlo世界").unwrap(), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(tokenizer.vocab_size(), 8);
    }

    #[test]
    fn an_unknown_character_is_named_with_some_known_ones() {
        let error = Tokenizer::new(TokenizerKind::Char, "abc\n").encode("cab€").unwrap_err().to_string();
        assert_eq!(
            error,
            "the model does not know the character '€': it was trained on 4 characters such as abc; take another prompt, \
             or train a model with --tokenizer byte, which knows every text"
        );
    }

    #[test]
    fn an_id_outside_of_the_vocabulary_is_refused() {
        let tokenizer = Tokenizer::new(TokenizerKind::Char, "abc");
        assert!(matches!(tokenizer.decode(&[3]), Err(Error::UnknownToken { token: 3, vocabulary: 3 })));
        assert!(matches!(Tokenizer::Byte.decode(&[256]), Err(Error::UnknownToken { token: 256, .. })));
        let pairs = Tokenizer::new(TokenizerKind::Bpe(257), "abab");
        assert!(matches!(pairs.decode(&[256, 257]), Err(Error::UnknownToken { token: 257, vocabulary: 257 })));
    }

    #[test]
    fn bytes_wait_until_the_character_is_complete() {
        let mut decoder = Tokenizer::Byte.decoder();
        let mut pieces = Vec::new();
        for byte in "é界🦀a".bytes() {
            pieces.push(decoder.push(u32::from(byte)).unwrap().to_string());
        }
        assert_eq!(pieces, ["", "é", "", "", "界", "", "", "", "🦀", "a"]);
        assert_eq!(decoder.finish(), "");
    }

    #[test]
    fn wrong_bytes_become_replacement_characters_and_lose_nothing_else() {
        // A lone continuation byte, a character cut short by a letter, and one cut short by the end.
        let bytes = [0x80, b'a', 0xe4, 0xb8, b'b', 0xe4, 0xb8].map(u32::from);
        assert_eq!(Tokenizer::Byte.decode(&bytes).unwrap(), "\u{fffd}a\u{fffd}b\u{fffd}");
    }

    #[test]
    fn the_stored_form_is_readable_and_checked() {
        let tokenizer = Tokenizer::new(TokenizerKind::Char, "ab\"天");
        let json = serde_json::to_string(&tokenizer).unwrap();
        assert_eq!(json, r#"{"kind":"char","vocabulary":"\"ab天"}"#);
        assert_eq!(serde_json::from_str::<Tokenizer>(&json).unwrap(), tokenizer);
        assert_eq!(serde_json::from_str::<Tokenizer>(r#"{"kind":"byte"}"#).unwrap(), Tokenizer::Byte);
        let pairs = Tokenizer::new(TokenizerKind::Bpe(258), "ababab");
        let json = serde_json::to_string(&pairs).unwrap();
        assert_eq!(json, r#"{"kind":"bpe","pattern":"cl100k","merges":"97+98 256+256"}"#);
        assert_eq!(serde_json::from_str::<Tokenizer>(&json).unwrap(), pairs);
        for wrong in
            [r#"{"kind":"char","vocabulary":"aab"}"#, r#"{"kind":"char","vocabulary":""}"#, r#"{"kind":"word"}"#]
        {
            assert!(serde_json::from_str::<Tokenizer>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn labels_show_what_cannot_be_seen() {
        let tokenizer = Tokenizer::new(TokenizerKind::Char, "\n天");
        assert_eq!([tokenizer.label(0), tokenizer.label(1)], ["'\\n'", "'天'"]);
        assert_eq!([Tokenizer::Byte.label(97), Tokenizer::Byte.label(0xe4)], ["'a'", "0xe4"]);
        let pairs = Tokenizer::new(TokenizerKind::Bpe(258), "天天 天天");
        assert_eq!([97, 256, 257, 258].map(|id| pairs.label(id)), ["'a'", "0xa4a9", "'天'", "?"]);
    }
}
