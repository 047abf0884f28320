//! Sentences in which neighbouring characters have changed places, to be put back in order.
//!
//! 漢字的序順並不定一影閱響讀 is read by most people as 漢字的順序並不一定影響閱讀. A sentence is a subject, an adverb and a
//! predicate, ended and filled up with 。: parts of different lengths, so a character is to be found at many places, and a
//! model has to look at its neighbours. Every fifth combination is held out: no batch contains it.

use super::{Characters, TextBatch, shuffled};
use crate::training::Batches;
use gradus_autograd::Tensor;
use gradus_kernels::philox;
use std::convert::Infallible;

const SUBJECTS: [&str; 6] = ["漢字的順序", "音樂", "這本小說", "老師的意見", "朋友們", "城市的聲音"];
const ADVERBS: [&str; 5] = ["並不一定", "也許會", "總是", "有時候", "仍然"];
const PREDICATES: [&str; 6] = ["影響閱讀", "改變心情", "帶來希望", "吸引學生", "打動人", "決定成敗"];

/// The characters of every sentence, with the stops at its end.
pub const SENTENCE_LENGTH: usize = 14;

/// The sentences, and the characters that they are made of.
#[derive(Clone, Debug)]
pub struct Swapped {
    /// The vocabulary.
    pub characters: Characters,
    /// The sentences that batches are made of.
    pub learned: Vec<String>,
    /// The sentences that no batch contains.
    pub held_out: Vec<String>,
}

impl Default for Swapped {
    fn default() -> Swapped {
        let (mut learned, mut held_out) = (Vec::new(), Vec::new());
        for (s, subject) in SUBJECTS.iter().enumerate() {
            for (a, adverb) in ADVERBS.iter().enumerate() {
                for (p, predicate) in PREDICATES.iter().enumerate() {
                    let sentence = format!("{subject}{adverb}{predicate}");
                    let stops = "。".repeat(SENTENCE_LENGTH - sentence.chars().count());
                    let to = if (s + a + p) % 5 == 0 { &mut held_out } else { &mut learned };
                    to.push(sentence + &stops);
                }
            }
        }
        let characters = Characters::of(learned.iter().map(String::as_str));
        Swapped { characters, learned, held_out }
    }
}

impl Swapped {
    /// The sentence with some neighbours swapped, decided by `seed` and `row`: at each place a swap begins with the
    /// probability ¼. No character moves twice, and the stops stay.
    pub fn swap(sentence: &str, seed: u64, row: u64) -> String {
        let mut letters: Vec<char> = sentence.chars().collect();
        let (end, mut at) = (letters.iter().position(|&c| c == '。').unwrap_or(letters.len()), 0);
        while at + 1 < end {
            let counter = [at as u32, row as u32, (row >> 32) as u32, 0x7377_6170]; // "swap"
            let [random, ..] = philox::block(counter, [seed as u32, (seed >> 32) as u32]);
            if random % 4 == 0 {
                letters.swap(at, at + 1);
                at += 1;
            }
            at += 1;
        }
        letters.into_iter().collect()
    }

    /// Each held-out sentence, swapped by this seed.
    pub fn test_batch(&self, seed: u64) -> TextBatch {
        let pair = |(row, sentence): (usize, &'_ String)| Swapped::swap(sentence, seed, row as u64);
        let swapped: Vec<String> = self.held_out.iter().enumerate().map(pair).collect();
        let pairs: Vec<(String, &str)> = swapped.into_iter().zip(self.held_out.iter().map(String::as_str)).collect();
        self.tensors(&pairs).expect("every character of the sentences is in the vocabulary")
    }

    /// Swapped sentences and what they are to become, [B, T] each.
    ///
    /// # Errors
    /// With a character that is not in the vocabulary.
    pub fn tensors(&self, pairs: &[(String, &str)]) -> Result<TextBatch, String> {
        let (mut ids, mut targets) = (Vec::new(), Vec::new());
        for (swapped, sentence) in pairs {
            ids.extend(self.characters.encode(swapped)?);
            targets.extend(self.characters.encode(sentence)?);
        }
        let shape = [pairs.len(), ids.len() / pairs.len().max(1)];
        Ok(TextBatch { ids: Tensor::from_slice(&ids, &shape), targets: Tensor::from_slice(&targets, &shape) })
    }
}

impl Batches for Swapped {
    type Batch = TextBatch;
    type Error = Infallible;

    fn batch(&self, seed: u64, index: u64, rows: usize) -> Result<TextBatch, Infallible> {
        let first = index * rows as u64;
        let pair = |row: u64| {
            let sentence = self.learned[shuffled(seed, row, self.learned.len())].as_str();
            (Swapped::swap(sentence, seed, row), sentence)
        };
        let pairs: Vec<(String, &str)> = (first..first + rows as u64).map(pair).collect();
        Ok(self.tensors(&pairs).expect("every character of the sentences is in the vocabulary"))
    }
}
