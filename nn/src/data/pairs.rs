//! Pairs of sequences, as a model that turns one into the other is trained on.

use super::shuffled;
use crate::training::Batches;
use gradus_autograd::Tensor;
use std::convert::Infallible;

/// Sequences of ids, each with the sequence that it is to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pairs {
    pairs: Vec<(Vec<u32>, Vec<u32>)>,
    padding: u32,
}

/// Some of them, filled up with padding to the length of the longest.
#[derive(Clone, Debug)]
pub struct PairBatch {
    /// What is given, [B, S].
    pub sources: Tensor,
    /// What it is to become, [B, T].
    pub targets: Tensor,
}

impl Pairs {
    /// These pairs; `padding` is the id that shorter sequences of a batch are filled up with.
    ///
    /// # Errors
    /// Where there is no pair, or a sequence is empty or holds the padding.
    pub fn new(pairs: Vec<(Vec<u32>, Vec<u32>)>, padding: u32) -> Result<Pairs, String> {
        let wrong = |sequence: &Vec<u32>| sequence.is_empty() || sequence.contains(&padding);
        match pairs.iter().position(|(source, target)| wrong(source) || wrong(target)) {
            Some(row) => Err(format!("pair {row} has an empty sequence, or one with the padding {padding} in it")),
            None if pairs.is_empty() => Err("there are no pairs".into()),
            None => Ok(Pairs { pairs, padding }),
        }
    }

    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is none; that is never so.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// These sequences as the rows of one tensor.
    fn padded<'a>(&self, sequences: impl Iterator<Item = &'a Vec<u32>> + Clone) -> Tensor {
        let longest = sequences.clone().map(Vec::len).max().unwrap_or(0);
        let rows = sequences.clone().count();
        let fill = |sequence: &'a Vec<u32>| {
            sequence.iter().copied().chain(std::iter::repeat_n(self.padding, longest - sequence.len()))
        };
        Tensor::from_slice(&sequences.flat_map(fill).collect::<Vec<u32>>(), &[rows, longest])
    }
}

impl Batches for Pairs {
    type Batch = PairBatch;
    type Error = Infallible;

    /// Every pair comes once in each epoch.
    fn batch(&self, seed: u64, index: u64, rows: usize) -> Result<PairBatch, Infallible> {
        let first = index * rows as u64;
        let rows: Vec<_> = (first..first + rows as u64).map(|at| &self.pairs[shuffled(seed, at, self.len())]).collect();
        let [sources, targets] =
            [self.padded(rows.iter().map(|pair| &pair.0)), self.padded(rows.iter().map(|pair| &pair.1))];
        Ok(PairBatch { sources, targets })
    }
}
