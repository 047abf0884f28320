//! Learning which pairs to merge: count all pairs of neighbours, merge the most frequent one, and again.
//!
//! Equal pieces are kept once, with their number. A merge changes only the pieces that have the pair, and only the counts of
//! pairs in them, so it costs what it changes and not the text. The most frequent pair is on top of a heap, whose entries may be
//! out of date: a pair of old tokens can only become rarer, so the entry that is on top and still true is the largest.

use super::{Bpe, FIRST_MERGE, LONGEST_TOKEN, MOST_TOKENS, Pair, Pattern};
use crate::error::{Error, Result};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

/// A merge that was just learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merge<'a> {
    /// How many were learned, with this one.
    pub number: usize,
    /// The new token.
    pub id: u32,
    /// The two that it is made of.
    pub pair: Pair,
    /// How often they stood beside each other. In `aaa` the pair of `a` and `a` counts twice.
    pub count: u64,
    /// The tokens that the text has now.
    pub tokens: u64,
    /// The bytes of the new token.
    pub bytes: &'a [u8],
}

impl Bpe {
    /// Learns a vocabulary of `vocab_size` tokens, the 256 bytes among them, from `text`; `watch` sees each merge. Of equally
    /// frequent pairs the one with the smaller tokens is merged, the first token counting first. Nothing depends on the order
    /// of a hash table, so equal texts give equal vocabularies.
    ///
    /// Source: Sennrich, Haddow and Birch, *Neural Machine Translation of Rare Words with Subword Units* (2016), algorithm 1,
    /// on bytes as in Radford et al., *Language Models are Unsupervised Multitask Learners* (2019), section 2.2.
    ///
    /// # Errors
    /// [`Error::Setting`] for a size below 256 or above a million; [`Error::FewPairs`] where no pair occurs twice before there
    /// are so many.
    pub fn train(pattern: Pattern, text: &str, vocab_size: usize, mut watch: impl FnMut(Merge<'_>)) -> Result<Bpe> {
        if !(256..=MOST_TOKENS).contains(&vocab_size) {
            let problem = format!("must be from 256, which are the bytes, to {MOST_TOKENS}");
            return Err(Error::setting("vocab-size", vocab_size, problem));
        }
        let mut learning = Learning::new(pattern, text);
        let merges = vocab_size - FIRST_MERGE as usize;
        for number in 1..=merges {
            let Some((count, pair)) = learning.most_frequent() else {
                return Err(Error::FewPairs { asked: vocab_size, most: 255 + number });
            };
            let id = learning.merge(pair);
            watch(Merge { number, id, pair, count, tokens: learning.tokens, bytes: &learning.bytes[id as usize] });
        }
        let identity = std::array::from_fn(|byte| byte as u8);
        Bpe::new(pattern, identity, learning.merges, Vec::new())
            .map_err(|problem| Error::setting("vocab-size", vocab_size, problem))
    }
}

/// A piece of the text, and how often it occurs.
struct Piece {
    tokens: Vec<u32>,
    count: u64,
}

/// How often a pair occurs, and in which pieces; some of them may have lost it.
#[derive(Default)]
struct Occurrences {
    count: u64,
    pieces: Vec<u32>,
}

struct Learning {
    pieces: Vec<Piece>,
    pairs: HashMap<Pair, Occurrences>,
    heap: BinaryHeap<(u64, Reverse<Pair>)>,
    merges: Vec<Pair>,
    /// Of each token.
    bytes: Vec<Vec<u8>>,
    /// Of the whole text.
    tokens: u64,
}

impl Learning {
    fn new(pattern: Pattern, text: &str) -> Learning {
        let mut counts: HashMap<&str, u64> = HashMap::new();
        pattern.pieces(text).for_each(|piece| *counts.entry(piece).or_default() += 1);
        let mut counted: Vec<(&str, u64)> = counts.into_iter().collect();
        counted.sort_unstable();
        let tokens = |text: &str| text.bytes().map(u32::from).collect();
        let pieces = counted.into_iter().map(|(text, count)| Piece { tokens: tokens(text), count }).collect();
        let bytes = (0..=255).map(|byte| vec![byte]).collect();
        let (pairs_of, heap, tokens) = (HashMap::new(), BinaryHeap::new(), text.len() as u64);
        let mut learning = Learning { pieces, pairs: pairs_of, heap, merges: Vec::new(), bytes, tokens };
        for (piece, number) in learning.pieces.iter().zip(0..) {
            for pair in pairs(&piece.tokens) {
                let found = learning.pairs.entry(pair).or_default();
                found.count += piece.count;
                if found.pieces.last() != Some(&number) {
                    found.pieces.push(number);
                }
            }
        }
        learning.heap = learning.pairs.iter().map(|(&pair, found)| (found.count, Reverse(pair))).collect();
        learning
    }

    /// The pair that occurs most often, at least twice.
    fn most_frequent(&mut self) -> Option<(u64, Pair)> {
        while let Some((count, Reverse(pair))) = self.heap.pop() {
            let now = self.pairs.get(&pair).map_or(0, |found| found.count);
            if now == count && count > 1 {
                return Some((count, pair));
            }
            if now > 1 && now < count {
                self.heap.push((now, Reverse(pair)));
            }
        }
        None
    }

    /// Merges `pair` in every piece, and returns the new token.
    fn merge(&mut self, pair: Pair) -> u32 {
        let id = self.bytes.len() as u32;
        self.bytes.push([&self.bytes[pair.0 as usize][..], &self.bytes[pair.1 as usize]].concat());
        self.merges.push(pair);
        // A pair with a new token is new itself, so what it gains here is all of it.
        let mut gained: HashMap<Pair, Occurrences> = HashMap::new();
        let found = self.pairs.get_mut(&pair).map(|found| std::mem::take(&mut found.pieces)).unwrap_or_default();
        for number in found {
            let Piece { tokens, count } = &mut self.pieces[number as usize];
            for old in pairs(tokens) {
                if let Some(found) = self.pairs.get_mut(&old) {
                    found.count -= *count;
                }
            }
            let before = tokens.len();
            replace(tokens, pair, id);
            self.tokens -= (before - tokens.len()) as u64 * *count;
            for new in pairs(tokens) {
                let is_new = new.0 == id || new.1 == id;
                let found = if is_new { gained.entry(new).or_default() } else { self.pairs.entry(new).or_default() };
                found.count += *count;
                if is_new && found.pieces.last() != Some(&number) {
                    found.pieces.push(number);
                }
            }
        }
        self.pairs.remove(&pair);
        let length = |id: u32| self.bytes[id as usize].len();
        let short = |pair: &Pair| length(pair.0) + length(pair.1) <= LONGEST_TOKEN;
        self.heap
            .extend(gained.iter().filter(|(pair, _)| short(pair)).map(|(&pair, found)| (found.count, Reverse(pair))));
        self.pairs.extend(gained);
        id
    }
}

/// All neighbours, each with the one after it.
fn pairs(tokens: &[u32]) -> impl Iterator<Item = Pair> + '_ {
    tokens.windows(2).map(|pair| (pair[0], pair[1]))
}

/// Puts `id` in the place of every `pair`, from left to right.
fn replace(tokens: &mut Vec<u32>, pair: Pair, id: u32) {
    let (mut read, mut written) = (0, 0);
    while read < tokens.len() {
        let found = read + 1 < tokens.len() && (tokens[read], tokens[read + 1]) == pair;
        tokens[written] = if found { id } else { tokens[read] };
        read += 1 + usize::from(found);
        written += 1;
    }
    tokens.truncate(written);
}
