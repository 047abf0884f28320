//! 张麻子打李麻子: who hits whom?
//!
//! Both orders of a sentence consist of the same seven characters. The question is asked at 打, and the answer is the
//! surname of the one who hits: 张 here, 李 in 李麻子打张麻子. Nothing but the order tells them apart.

use super::{Characters, IGNORED, TextBatch, shuffled};
use crate::training::Batches;
use gradus_autograd::Tensor;
use std::convert::Infallible;

const SURNAMES: [&str; 10] = ["张", "李", "王", "赵", "陈", "刘", "杨", "黄", "周", "吴"];

/// Where 打 stands, and the answer is asked for.
pub const BLOW: usize = 3;

/// The sentences of ten surnames, in both orders of each pair.
#[derive(Clone, Debug)]
pub struct Blows {
    /// The vocabulary.
    pub characters: Characters,
    /// The sentences that batches are made of, each beside its other order.
    pub learned: Vec<String>,
    /// The sentences of pairs of which no batch contains either order.
    pub held_out: Vec<String>,
}

impl Default for Blows {
    fn default() -> Blows {
        let (mut learned, mut held_out) = (Vec::new(), Vec::new());
        for (i, a) in SURNAMES.iter().enumerate() {
            for (j, b) in SURNAMES.iter().enumerate().skip(i + 1) {
                let to = if (i + j) % 4 == 0 { &mut held_out } else { &mut learned };
                to.extend([Blows::sentence(a, b), Blows::sentence(b, a)]);
            }
        }
        Blows { characters: Characters::of(learned.iter().map(String::as_str)), learned, held_out }
    }
}

impl Blows {
    /// a hits b.
    pub fn sentence(a: &str, b: &str) -> String {
        format!("{a}麻子打{b}麻子")
    }

    /// The ids of these sentences, and the targets: the first character at 打, and [`IGNORED`] elsewhere.
    ///
    /// # Errors
    /// With a character that is not in the vocabulary.
    pub fn tensors(&self, sentences: &[&str]) -> Result<TextBatch, String> {
        let (mut ids, mut targets) = (Vec::new(), Vec::new());
        for sentence in sentences {
            let row = self.characters.encode(sentence)?;
            targets.extend((0..row.len()).map(|at| if at == BLOW { row[0] } else { IGNORED }));
            ids.extend(row);
        }
        let shape = [sentences.len(), ids.len() / sentences.len().max(1)];
        Ok(TextBatch { ids: Tensor::from_slice(&ids, &shape), targets: Tensor::from_slice(&targets, &shape) })
    }
}

impl Batches for Blows {
    type Batch = TextBatch;
    type Error = Infallible;

    fn batch(&self, seed: u64, index: u64, rows: usize) -> Result<TextBatch, Infallible> {
        let first = index * rows as u64;
        let sentence = |row: u64| self.learned[shuffled(seed, row, self.learned.len())].as_str();
        let sentences: Vec<&str> = (first..first + rows as u64).map(sentence).collect();
        Ok(self.tensors(&sentences).expect("every character of the sentences is in the vocabulary"))
    }
}
