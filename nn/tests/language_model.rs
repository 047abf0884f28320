//! A language model with another kind of cache than keys and values, read token by token.

use gradus_autograd::{Tape, Tensor, Var};
use gradus_nn::{Init, LanguageModel, Module, Reader, Visitor, layers::Embedding};

const VOCAB: usize = 5;

/// The logits after a token are the sum of a row of the table for each token so far: a recurrent network without weights
/// of its own. Its cache is that sum.
struct Summing {
    table: Embedding,
    context: Option<usize>,
}

impl Summing {
    fn new(context: Option<usize>) -> Summing {
        Summing { table: Embedding::new(&mut Init::new(1), VOCAB, VOCAB, 1.0), context }
    }

    /// The sum over these ids, by hand.
    fn sum(&self, ids: &[u32]) -> Vec<f32> {
        let table: Vec<f32> = self.table.weight.value().to_vec();
        let mut sum = vec![0.0; VOCAB];
        for &id in ids {
            sum.iter_mut().zip(&table[id as usize * VOCAB..]).for_each(|(sum, x)| *sum += x);
        }
        sum
    }
}

impl Module for Summing {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.module("table", &self.table);
    }
}

impl LanguageModel for Summing {
    type Cache = Tensor;

    fn vocab_size(&self) -> usize {
        VOCAB
    }

    fn context(&self) -> Option<usize> {
        self.context
    }

    fn logits(&self, tape: &Tape, ids: &Tensor) -> Var {
        let (rows, t) = (self.table.forward(tape, ids), ids.shape()[1]);
        let earlier: Vec<Var> = (0..t).map(|i| rows.slice(1, 0..i + 1).sum(&[1], true)).collect();
        Var::concat(&earlier.iter().collect::<Vec<_>>(), 1)
    }

    fn new_cache(&self) -> Tensor {
        Tensor::zeros(&[1, 1, VOCAB])
    }

    fn read(&self, tape: &Tape, ids: &Tensor, cache: &mut Tensor) -> Var {
        let rows = self.table.forward(tape, ids).sum(&[1], true);
        *cache = &*cache + rows.value();
        Var::constant(cache.clone())
    }
}

#[track_caller]
fn assert_near(a: &[f32], b: &[f32]) {
    assert!(a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5), "{a:?} {b:?}");
}

const IDS: [u32; 9] = [0, 3, 3, 1, 4, 2, 0, 1, 1];

#[test]
fn a_model_without_a_context_forgets_nothing() {
    let model = Summing::new(None);
    let mut reader = Reader::new(&model);
    let all: Vec<f32> = model.logits(&Tape::inference(), &Tensor::from_slice(&IDS, &[1, 9])).value().to_vec();
    assert_near(&reader.read(&IDS[..2]), &all[VOCAB..2 * VOCAB]);
    for i in 2..9 {
        let logits = reader.read(&IDS[i..i + 1]);
        assert_near(&logits, &all[i * VOCAB..(i + 1) * VOCAB]);
        assert_near(&logits, &model.sum(&IDS[..i + 1]));
    }
    assert_eq!(reader.window(), IDS);
}

#[test]
fn a_full_context_is_read_again_from_its_later_half() {
    let model = Summing::new(Some(4));
    let mut reader = Reader::new(&model);
    let windows: [&[u32]; 9] = [
        &IDS[0..1],
        &IDS[0..2],
        &IDS[0..3],
        &IDS[0..4],
        &IDS[3..5], // the last two of five
        &IDS[3..6],
        &IDS[3..7],
        &IDS[6..8],
        &IDS[6..9],
    ];
    for (id, window) in IDS.into_iter().zip(windows) {
        assert_near(&reader.read(&[id]), &model.sum(window));
        assert_eq!(reader.window(), window);
    }
    let mut at_once = Reader::new(&model);
    assert_near(&at_once.read(&IDS), &model.sum(&IDS[7..]));
    let short = Summing::new(Some(1));
    let mut reader = Reader::new(&short);
    IDS.iter().for_each(|id| assert_near(&reader.read(&[*id]), &short.sum(&[*id])));
}

#[test]
fn the_loss_is_the_cross_entropy_of_the_logits() {
    let (model, tape) = (Summing::new(None), Tape::inference());
    let [ids, targets] = [&IDS[..8], &IDS[1..]].map(|ids| Tensor::from_slice(ids, &[2, 4]));
    let batch = gradus_nn::data::TextBatch { ids: ids.clone(), targets };
    let rows = IDS[..8].chunks(4).flat_map(|row| (1..=4).map(|end| model.sum(&row[..end])));
    let losses = rows.zip(&IDS[1..]).map(|(logits, &target)| {
        let total: f32 = logits.iter().map(|x| x.exp()).sum();
        total.ln() - logits[target as usize]
    });
    let expected = losses.sum::<f32>() / 8.0;
    let loss = model.next_token_loss(&tape, &batch).value().item() as f32;
    assert!((loss - expected).abs() < 1e-5, "{loss} {expected}");
}
