//! A vocabulary in a file: in JSON, with the pairs, or in the format of `tiktoken`, a line for each token with its bytes in
//! base64 and its rank.
//!
//! ```text
//! {"kind":"bpe","pattern":"cl100k","merges":"97+97 97+98 256+257","special":{"<|end|>":259}}
//! ```
//!
//! The format of `tiktoken` says neither which pattern cuts the text nor which special tokens there are: who reads it has to know.

use super::{Bpe, Pair, Pattern};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt::Write};

/// The form in JSON: a line that a person can read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stored {
    pattern: Pattern,
    /// The bytes of the first 256 tokens as hexadecimal digits, where their order is another than that of the numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
    merges: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    special: BTreeMap<String, u32>,
}

impl From<Bpe> for Stored {
    fn from(bpe: Bpe) -> Stored {
        let vocabulary = &*bpe.0;
        let mut merges = String::with_capacity(12 * vocabulary.merges.len());
        for (left, right) in &vocabulary.merges {
            let gap = if merges.is_empty() { "" } else { " " };
            let _ = write!(merges, "{gap}{left}+{right}"); // a string takes everything
        }
        let ordered = vocabulary.order.iter().zip(0_u32..).all(|(&byte, number)| u32::from(byte) == number);
        let hexadecimal = || vocabulary.order.iter().map(|byte| format!("{byte:02x}")).collect();
        Stored {
            pattern: vocabulary.pattern,
            bytes: (!ordered).then(hexadecimal),
            merges,
            special: vocabulary.special.iter().cloned().collect(),
        }
    }
}

impl TryFrom<Stored> for Bpe {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Bpe, String> {
        let order = match &stored.bytes {
            None => std::array::from_fn(|byte| byte as u8),
            Some(text) => order(text).ok_or("bytes has to be 256 bytes in hexadecimal digits")?,
        };
        let merges = stored.merges.split_whitespace().enumerate().map(|(i, text)| {
            pair(text).ok_or_else(|| format!("merge {} is {:?}, and not a pair such as 97+256", i + 1, shortened(text)))
        });
        Bpe::new(stored.pattern, order, merges.collect::<Result<_, _>>()?, stored.special.into_iter().collect())
    }
}

fn pair(text: &str) -> Option<Pair> {
    let (left, right) = text.split_once('+')?;
    Some((left.parse().ok()?, right.parse().ok()?))
}

fn order(text: &str) -> Option<[u8; 256]> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| Some(c.to_digit(16)? as u8)).collect();
    let bytes: Vec<u8> = digits?.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    (text.len() == 512).then_some(bytes)?.try_into().ok()
}

fn shortened(text: &str) -> String {
    text.chars().take(24).collect()
}

/// Reads the format of `tiktoken`.
///
/// # Errors
/// The first line that is wrong, and why; those of [`Bpe::from_tokens`].
pub fn read(text: &str, pattern: Pattern, special: Vec<(String, u32)>) -> Result<Bpe, String> {
    let mut tokens = Vec::new();
    for (rank, line) in text.lines().enumerate() {
        let wrong = |problem: String| format!("line {}: {problem}", rank + 1);
        let (token, number) = line
            .split_once(' ')
            .ok_or_else(|| wrong(format!("{:?} is not a token in base64, a space and its rank", shortened(line))))?;
        if number.parse() != Ok(rank) {
            return Err(wrong(format!("the rank is {:?} where {rank} comes next", shortened(number))));
        }
        let token = STANDARD.decode(token).map_err(|problem| wrong(format!("the token is not base64: {problem}")))?;
        tokens.push(token);
    }
    Bpe::from_tokens(pattern, tokens, special)
}

/// Writes the format of `tiktoken`, without the special tokens.
///
/// # Errors
/// Where reading it would not give the same merges, so that this format cannot say what they are.
pub fn write(bpe: &Bpe) -> Result<String, String> {
    let tokens = bpe.0.tokens();
    let line = |id: usize| format!("{} {id}\n", STANDARD.encode(bpe.0.token(id)));
    let text: String = (0..tokens).map(line).collect();
    match read(&text, bpe.pattern(), Vec::new()) {
        Ok(again) if again.merges() == bpe.merges() => Ok(text),
        _ => Err("its merges cannot be told from the bytes of its tokens alone; write JSON".into()),
    }
}
