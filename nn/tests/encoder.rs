//! A bidirectional encoder that fills in the blank: a model of BERT's kind is made of the layers and trained by the
//! general trainer, in one file.

use gradus_autograd::ops::cross_entropy::Options;
use gradus_autograd::{Tape, Tensor, Var};
use gradus_kernels::philox;
use gradus_nn::layers::{Block, BlockConfig, Embedding, LearnedPositions, Linear};
use gradus_nn::optim::{AdamWConfig, Schedule};
use gradus_nn::training::{Batches, Trainable, Trainer, TrainerConfig};
use gradus_nn::{Init, Layer, Module, Visitor};
use std::convert::Infallible;

const LETTERS: u32 = 6;
const MASK: u32 = LETTERS;
const WIDTH: usize = 32;
const TIME: usize = 8;

struct Encoder {
    tokens: Embedding,
    positions: LearnedPositions,
    block: Block,
    head: Linear,
}

impl Encoder {
    fn new(init: &mut Init, config: &BlockConfig) -> Encoder {
        Encoder {
            tokens: Embedding::new(init, LETTERS as usize + 1, WIDTH, 0.5),
            positions: LearnedPositions::new(init, TIME, WIDTH, 0.5),
            block: Block::new(init, config),
            head: Linear::new(init, WIDTH, LETTERS as usize, true, 0.1),
        }
    }

    /// ids [B, T] → [B, T, letters].
    fn logits(&self, tape: &Tape, ids: &Tensor) -> Var {
        let x = &self.tokens.forward(tape, ids) + &self.positions.forward(tape, 0..TIME);
        self.head.forward(tape, &self.block.forward(tape, &x))
    }
}

impl Module for Encoder {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.module("tokens", &self.tokens);
        visitor.module("positions", &self.positions);
        visitor.module("block", &self.block);
        visitor.module("head", &self.head);
    }
}

/// Sequences with one blank each, and what belongs there; everywhere else the target is to be ignored.
struct Blanks {
    ids: Tensor,
    targets: Tensor,
}

impl Trainable for Encoder {
    type Batch = Blanks;

    fn loss(&self, tape: &Tape, batch: &Blanks) -> Var {
        let options = Options { ignore_index: Some(MASK), ..Options::default() };
        self.logits(tape, &batch.ids).cross_entropy(&batch.targets, options)
    }
}

/// Every letter comes twice, `aabbddaa`, and one of the pair is hidden: the left one is known only to a model that sees
/// what comes after it.
struct Pairs;

impl Batches for Pairs {
    type Batch = Blanks;
    type Error = Infallible;

    fn batch(&self, seed: u64, index: u64, rows: usize) -> Result<Blanks, Infallible> {
        let (mut ids, mut targets) = (Vec::new(), vec![MASK; rows * TIME]);
        for row in 0..rows {
            let random = philox::block([row as u32, index as u32, 0, 0], [seed as u32, 0]);
            let letter = |pair: usize| (random[0] >> (8 * pair) & 255) % LETTERS;
            ids.extend((0..TIME).map(|t| letter(t / 2)));
            let blank = row * TIME + random[1] as usize % TIME;
            targets[blank] = std::mem::replace(&mut ids[blank], MASK);
        }
        let tensor = |ids: &[u32]| Tensor::from_slice(ids, &[rows, TIME]);
        Ok(Blanks { ids: tensor(&ids), targets: tensor(&targets) })
    }
}

/// The mean loss of the last of 150 steps.
fn loss_after_training(config: &BlockConfig) -> f32 {
    let schedule = Schedule { learning_rate: 0.01, min_learning_rate: 0.001, warmup: 10, steps: 150 };
    let config_of_training =
        TrainerConfig { seed: 1, batch: 32, grad_accum: 1, clip: 1.0, schedule, adamw: AdamWConfig::default() };
    let mut trainer = Trainer::new(Encoder::new(&mut Init::new(1), config), config_of_training);
    let losses: Vec<f32> = (0..150).map(|_| trainer.step(&Pairs).unwrap().loss).collect();
    losses[130..].iter().sum::<f32>() / 20.0
}

#[test]
fn a_blank_is_filled_from_both_sides() {
    let bert = BlockConfig::bert(WIDTH, 4);
    let both_sides = loss_after_training(&bert);
    assert!(both_sides < 0.1, "{both_sides}");

    // Half of the blanks are the left ones of their pairs, of which a causal model can only guess: ½·ln 6 = 0.90.
    let mut causal = bert;
    causal.attention.causal = true;
    let one_side = loss_after_training(&causal);
    assert!((0.7..1.2).contains(&one_side), "{one_side}");
}
