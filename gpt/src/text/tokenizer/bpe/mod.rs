//! Byte-level byte pair encoding: tokens between a byte and a word, learned from a text.
//!
//! A vocabulary begins with the 256 bytes, so that it knows every text. Each further token is a pair of earlier ones that stood
//! beside each other often. Encoding takes the bytes of a piece of text and merges pairs, the one that was learned first before
//! all others, until none is left. Decoding joins the bytes of the tokens.
//!
//! ```text
//! aaabdaaabac        (a, b) → 257   the bytes are 97 97 97 98 100 97 97 97 98 97 99
//! X ab d X ab a c    (a, a) → 256   X is aa
//! Y d Y a c          (X, ab) → 258  Y is aaab: 258 100 258 97 99
//! ```
//!
//! Read `training`, then `merging`. `pattern` cuts a text into pieces first, and `stored` is how a vocabulary is written down.
//!
//! # Two ways to say which pairs merge
//!
//! `tiktoken` merges neighbours whose bytes *together* are a token, the lowest rank first; here a token has one pair that makes
//! it. Both give the same ids wherever each token is what its own bytes become under the merges before it, which
//! [`Bpe::from_tokens`] checks. For then the first merge that reaches over the border of such a stretch of bytes is the only
//! thing that can change what happens within it, and a stretch that a pair of tokens covers exactly has no such merge.

mod merging;
mod pattern;
mod stored;
mod training;

pub(crate) use pattern::is_certain_cut;
pub use pattern::{Pattern, Pieces};
pub use stored::{Stored, read, write};
pub use training::Merge;

use merging::Merging;
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, fmt, sync::Arc};

/// Two tokens beside each other.
pub type Pair = (u32, u32);

/// What each pair becomes.
type Rules = HashMap<Pair, u32>;

/// The token of the first merge: those before it are bytes.
const FIRST_MERGE: u32 = 256;

/// The most tokens, special ones included.
pub const MOST_TOKENS: usize = 1_000_000;

/// The most bytes of a token. A vocabulary that doubles a token's length with every merge would fill any memory otherwise.
pub const LONGEST_TOKEN: usize = 1024;

/// A vocabulary of byte pair encoding, with the pattern that cuts a text into pieces. Copies share their memory.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Bpe(Arc<Vocabulary>);

#[derive(PartialEq, Eq)]
struct Vocabulary {
    pattern: Pattern,
    /// The byte of each of the first 256 tokens.
    order: [u8; 256],
    /// The token of each byte.
    of_byte: [u32; 256],
    /// The parts of token 256, 257, ….
    merges: Vec<Pair>,
    rules: Rules,
    /// The bytes of all tokens but the special ones, and where those of each begin; one entry more for the end.
    bytes: Vec<u8>,
    begins: Vec<usize>,
    /// Texts that are one token each, where they are asked for, sorted by their ids.
    special: Vec<(String, u32)>,
}

impl PartialEq for Bpe {
    fn eq(&self, other: &Bpe) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Eq for Bpe {}

impl fmt::Debug for Bpe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bpe({:?}, {} tokens)", self.0.pattern, self.vocab_size())
    }
}

impl Bpe {
    /// A vocabulary of the bytes in this `order`, the tokens that `merges` make one after the other, and `special` ones.
    ///
    /// # Errors
    /// What is wrong: an order that has not every byte once; a merge of a token that comes later, of a pair that was merged
    /// before, or of more than [`LONGEST_TOKEN`] bytes; a special token that is empty or has the id or the text of another; too
    /// many tokens.
    pub fn new(
        pattern: Pattern,
        order: [u8; 256],
        merges: Vec<Pair>,
        special: Vec<(String, u32)>,
    ) -> Result<Bpe, String> {
        let mut of_byte = [u32::MAX; 256];
        order.iter().zip(0..).for_each(|(&byte, id)| of_byte[usize::from(byte)] = id);
        if let Some(byte) = of_byte.iter().position(|&id| id == u32::MAX) {
            return Err(format!("no token is the byte 0x{byte:02x}"));
        }
        let mut vocabulary = Vocabulary {
            pattern,
            order,
            of_byte,
            merges: Vec::new(),
            rules: HashMap::with_capacity(merges.len()),
            bytes: order.to_vec(),
            begins: (0..=256).collect(),
            special: Vec::new(),
        };
        merges.into_iter().try_for_each(|pair| vocabulary.add(pair))?;
        vocabulary.special = vocabulary.checked(special)?;
        Ok(Bpe(Arc::new(vocabulary)))
    }

    /// A vocabulary of these tokens in the order of their ranks, as `tiktoken` has it: the 256 bytes first, in any order.
    ///
    /// # Errors
    /// Where a token is not two earlier ones, in the sense that the merges before it leave two tokens of its bytes; those of
    /// [`Bpe::new`].
    pub fn from_tokens(
        pattern: Pattern,
        tokens: impl IntoIterator<Item = Vec<u8>>,
        special: Vec<(String, u32)>,
    ) -> Result<Bpe, String> {
        let mut tokens = tokens.into_iter();
        let mut order = [0; 256];
        for (id, place) in order.iter_mut().enumerate() {
            match tokens.next().as_deref() {
                Some(&[byte]) => *place = byte,
                _ => return Err(format!("token {id} is not a single byte, as the first 256 have to be")),
            }
        }
        let mut vocabulary = match Arc::try_unwrap(Bpe::new(pattern, order, Vec::new(), Vec::new())?.0) {
            Ok(vocabulary) => vocabulary,
            Err(_) => return Err("the vocabulary is in use".into()), // nobody has a copy of what was just made
        };
        let (mut merging, mut parts) = (Merging::default(), Vec::new());
        for (id, token) in (FIRST_MERGE..).zip(tokens) {
            parts.clear();
            vocabulary.merge(&token, &mut merging, &mut parts);
            let [left, right] = parts[..] else {
                let made = parts.len();
                return Err(format!("token {id} has to be two earlier tokens, and the merges before it leave {made}"));
            };
            vocabulary.add((left, right))?;
        }
        vocabulary.special = vocabulary.checked(special)?;
        Ok(Bpe(Arc::new(vocabulary)))
    }

    /// The pattern that cuts a text into pieces.
    pub fn pattern(&self) -> Pattern {
        self.0.pattern
    }

    /// One more than the largest id, special tokens included. `cl100k_base` and `o200k_base` have ids below it that are no token.
    pub fn vocab_size(&self) -> usize {
        let special = self.0.special.last().map_or(0, |token| token.1 as usize + 1);
        special.max(self.0.tokens())
    }

    /// The pairs that are merged; the first becomes token 256.
    pub fn merges(&self) -> &[Pair] {
        &self.0.merges
    }

    /// The special tokens, sorted by their ids.
    pub fn special(&self) -> &[(String, u32)] {
        &self.0.special
    }

    /// The bytes of a token; `None` where there is no such token.
    pub fn bytes(&self, id: u32) -> Option<&[u8]> {
        let vocabulary = &*self.0;
        if (id as usize) < vocabulary.tokens() {
            return Some(vocabulary.token(id as usize));
        }
        let at = vocabulary.special.binary_search_by_key(&id, |token| token.1).ok()?;
        Some(vocabulary.special[at].0.as_bytes())
    }

    /// The ids of `text`. What looks like a special token is text like any other.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        self.encode_into(text, &mut ids);
        ids
    }

    /// Appends the ids of `text` to `out`.
    pub fn encode_into(&self, text: &str, out: &mut Vec<u32>) {
        let mut merging = Merging::default();
        self.0.pattern.pieces(text).for_each(|piece| self.0.merge(piece.as_bytes(), &mut merging, out));
    }

    /// The ids of `text`, where the text of a special token becomes that token: the leftmost, and of several at one place the
    /// longest. Only for text that nobody else has written, for a special token says where a document ends or who speaks.
    pub fn encode_with_special(&self, text: &str) -> Vec<u32> {
        let (mut ids, mut rest) = (Vec::new(), text);
        let next = |rest: &str| {
            let found = |token: &'_ (String, u32)| Some((rest.find(&token.0)?, token.0.len(), token.1));
            self.0.special.iter().filter_map(found).min_by_key(|&(at, length, _)| (at, usize::MAX - length))
        };
        while let Some((at, length, id)) = next(rest) {
            self.encode_into(&rest[..at], &mut ids);
            ids.push(id);
            rest = &rest[at + length..];
        }
        self.encode_into(rest, &mut ids);
        ids
    }

    /// The bytes of `ids`, which are UTF-8 where they come from encoding a whole text; the first id that is no token otherwise.
    ///
    /// # Errors
    /// That id.
    pub fn decode(&self, ids: &[u32]) -> Result<Vec<u8>, u32> {
        let mut bytes = Vec::new();
        ids.iter().try_for_each(|&id| self.bytes(id).map(|token| bytes.extend_from_slice(token)).ok_or(id))?;
        Ok(bytes)
    }
}

impl Vocabulary {
    /// All but the special ones.
    fn tokens(&self) -> usize {
        256 + self.merges.len()
    }

    fn token(&self, id: usize) -> &[u8] {
        &self.bytes[self.begins[id]..self.begins[id + 1]]
    }

    /// Adds the token that `pair` becomes.
    fn add(&mut self, pair: Pair) -> Result<(), String> {
        let (id, number) = (self.tokens(), self.merges.len() + 1);
        if let Some(later) = [pair.0, pair.1].into_iter().find(|&part| part as usize >= id) {
            return Err(format!("merge {number} makes token {id} of token {later}, which does not come before it"));
        }
        let length = self.token(pair.0 as usize).len() + self.token(pair.1 as usize).len();
        if length > LONGEST_TOKEN {
            return Err(format!("token {id} has {length} bytes, and the limit is {LONGEST_TOKEN}"));
        }
        if id >= MOST_TOKENS {
            return Err(format!("there are more than {MOST_TOKENS} tokens"));
        }
        if let Some(earlier) = self.rules.insert(pair, id as u32) {
            return Err(format!(
                "merge {number} is of the pair {}+{}, which token {earlier} is made of",
                pair.0, pair.1
            ));
        }
        for part in [pair.0, pair.1] {
            let part = part as usize;
            self.bytes.extend_from_within(self.begins[part]..self.begins[part + 1]);
        }
        self.begins.push(self.bytes.len());
        self.merges.push(pair);
        Ok(())
    }

    /// Special tokens, sorted by their ids.
    fn checked(&self, mut special: Vec<(String, u32)>) -> Result<Vec<(String, u32)>, String> {
        special.sort_by_key(|token| token.1);
        for (text, id) in &special {
            let id = *id as usize;
            if text.is_empty() || id < self.tokens() || id >= MOST_TOKENS {
                let (first, last) = (self.tokens(), MOST_TOKENS - 1);
                return Err(format!(
                    "the special token {text:?} needs a text, and an id from {first} to {last}, not {id}"
                ));
            }
        }
        let same = |a: &(String, u32), b: &(String, u32)| a.0 == b.0 || a.1 == b.1;
        let pairs = special.iter().enumerate().flat_map(|(i, a)| special[i + 1..].iter().map(move |b| (a, b)));
        match pairs.into_iter().find(|(a, b)| same(a, b)) {
            Some((a, b)) => Err(format!("the special tokens {:?} and {:?} have the same text or id", a.0, b.0)),
            None => Ok(special),
        }
    }

    /// Appends the tokens of a piece to `out`.
    fn merge(&self, piece: &[u8], merging: &mut Merging, out: &mut Vec<u32>) {
        match piece {
            [byte] => out.push(self.of_byte[usize::from(*byte)]),
            _ => {
                let ids = piece.iter().map(|&byte| self.of_byte[usize::from(byte)]);
                merging.run(ids, &self.rules, &self.merges, out);
            }
        }
    }
}

#[cfg(test)]
mod tests;
