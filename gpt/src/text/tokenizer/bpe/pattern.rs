//! Cutting a text into pieces, such as words with the space before them, before any pair is merged: no token reaches from one
//! word into the next.
//!
//! The rules are those of three vocabularies of OpenAI, as `tiktoken` publishes them. They are regular expressions, and two
//! things in them need more than one: `\s+(?!\S)` looks ahead, so that of several spaces before a word the last belongs to the
//! word, and possessive repetitions. Nothing that a possessive repetition here gives up could match otherwise, so an ordinary one
//! does the same. And where a run of white space is followed by something else, giving back its last character is what the look
//! ahead amounts to. So the expressions here are regular in the strict sense, and take linear time.

use regex::Regex;
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// Which rule cuts a text into pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Pattern {
    /// The text is one piece
    None,
    /// GPT-2: letters, digits and other signs apart, each with one space before it
    Gpt2,
    /// GPT-4: three digits at most, line breaks at the end of a piece, any sign before a word
    Cl100k,
    /// GPT-4o: as GPT-4, cut where a lower-case letter meets an upper-case one, combining marks stay with their letters
    O200k,
}

static GPT2: LazyLock<Regex> =
    LazyLock::new(|| compiled(r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+"));

static CL100K: LazyLock<Regex> = LazyLock::new(|| {
    compiled(r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+$|\s*[\r\n]|\s+")
});

static O200K: LazyLock<Regex> = LazyLock::new(|| {
    const UPPER: &str = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]";
    const LOWER: &str = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]";
    const BEFORE: &str = r"[^\r\n\p{L}\p{N}]?";
    const CONTRACTION: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?";
    compiled(&format!(
        r"{BEFORE}{UPPER}*{LOWER}+{CONTRACTION}|{BEFORE}{UPPER}+{LOWER}*{CONTRACTION}|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|\s+"
    ))
});

fn compiled(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern of this file, which its tests compile")
}

impl Pattern {
    /// The pieces of `text`, one after the other; together they are the text.
    pub fn pieces(self, text: &str) -> Pieces<'_> {
        let regex = match self {
            Pattern::None => None,
            Pattern::Gpt2 => Some(&*GPT2),
            Pattern::Cl100k => Some(&*CL100K),
            Pattern::O200k => Some(&*O200K),
        };
        Pieces { regex, breaks_stay: self != Pattern::Gpt2, text, at: 0 }
    }
}

/// The iterator of [`Pattern::pieces`].
#[derive(Debug)]
pub struct Pieces<'a> {
    regex: Option<&'static Regex>,
    /// Whether white space that ends with a line break is a piece, whatever follows.
    breaks_stay: bool,
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let begin = self.at;
        if begin == self.text.len() {
            return None;
        }
        let found = self.regex.and_then(|regex| regex.find_at(self.text, begin));
        self.at = found.map_or(self.text.len(), |found| self.without_last_space(begin, found.end()));
        Some(&self.text[begin..self.at])
    }
}

impl Pieces<'_> {
    /// Where the piece ends: before the last character of white space that something else follows.
    fn without_last_space(&self, begin: usize, end: usize) -> usize {
        let last = self.text[begin..end].chars().next_back();
        let Some(last) = last.filter(|c| c.is_whitespace()) else { return end };
        let followed = self.text[end..].chars().next().is_some_and(|c| !c.is_whitespace());
        let stays = self.breaks_stay && matches!(last, '\r' | '\n');
        let shorter = end - last.len_utf8();
        // The last character is white space, so either all are, or line breaks follow other signs, which stay.
        if followed && !stays && shorter > begin { shorter } else { end }
    }
}

/// Whether every pattern but [`Pattern::None`] cuts between these neighbours, whatever is before and after them, and cuts what
/// is before them as it would at the end of the text: a letter or digit, and then white space or a sign.
///
/// A mark may belong to a word, and an apostrophe to what follows it; so neither counts as a sign.
pub(crate) fn is_certain_cut(before: char, after: char) -> bool {
    static MARK: LazyLock<Regex> = LazyLock::new(|| compiled(r"^\p{M}$"));
    static ALPHANUMERIC: LazyLock<Regex> = LazyLock::new(|| compiled(r"^[\p{L}\p{N}]$"));
    let is = |class: &Regex, c: char| class.is_match(c.encode_utf8(&mut [0; 4]));
    let word = |c: char| if c.is_ascii() { c.is_ascii_alphanumeric() } else { is(&ALPHANUMERIC, c) };
    let sign = |c: char| c != '\'' && (c.is_ascii() || !is(&MARK, c));
    word(before) && !word(after) && sign(after)
}
