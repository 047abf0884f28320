//! A whole training step of a GPT, by the trainer that `gradus train` uses, on a made-up text.
//!
//! It has one rung: whatever the engine does today. The oracle of a step is the fixture made with PyTorch, in the tests
//! of the workspace; here the loss has to start at that of guessing, and to fall.

use super::{Case, Entry};
use crate::{
    Result,
    timing::seconds,
    workload::{Gpt, Precision},
};
use gradus_autograd::Device;
use gradus_gpt::{
    config::{FORMAT, RunConfig},
    dataset::Dataset,
    preset::Preset,
    tokenizer::{Tokenizer, TokenizerKind},
    trainer::Trainer,
};
use gradus_kernels::{Isa, oracle};

/// Above so many FLOPs, two steps are all that the loss is watched for.
const SLOW: u64 = 100_000_000_000;

struct TrainingStep {
    trainer: Trainer<'static>,
    vocab: usize,
    precision: Precision,
    /// How many steps are made before the losses are judged.
    steps: u64,
    first: f32,
    last: f32,
}

/// 100,000 characters out of 65, the lower ones likelier: something to learn, though not much.
fn text() -> String {
    let character = |x: f32| char::from(b' ' + (x * x * 64.99) as u8);
    oracle::values(1, 100_000).into_iter().map(character).collect()
}

pub(super) fn case(device: &Device, gpt: Gpt, batch: usize, dropout: f32, precision: Precision) -> impl Case + use<> {
    let text = text();
    let tokenizer = Tokenizer::new(TokenizerKind::Char, &text);
    let data = Dataset::new(&text, &tokenizer).expect("the tokenizer was made for this text");
    assert_eq!(tokenizer.vocab_size(), gpt.vocab, "the text has as many characters as the model");
    let mut train = Preset::Small.settings().1;
    train.batch = batch;
    train.precision = precision;
    train.steps = u64::MAX; // it may be timed for longer than a run takes
    let run = RunConfig { format: FORMAT, model: gpt.config(dropout), train, tokenizer };
    // The trainer borrows them, and a case is made a few times in a process.
    let (run, data): (&'static RunConfig, &'static Dataset) = (Box::leak(Box::new(run)), Box::leak(Box::new(data)));
    let steps = if gpt.training_step(batch).flops > SLOW { 2 } else { 21 };
    let trainer = Trainer::new_on(device, run, data);
    TrainingStep { trainer, vocab: gpt.vocab, precision, steps, first: f32::NAN, last: f32::NAN }
}

impl Case for TrainingStep {
    fn rungs(&self) -> Vec<Entry> {
        let (idea, precision) = ("the top rung of everything, on the tape", self.precision);
        vec![Entry { name: "trainer", idea, simd: true, peer: false, precision }]
    }

    fn run(&mut self, _: usize, _: Isa) {
        let is_first = self.trainer.step_count() == 0;
        self.last = self.trainer.step().expect("a step on a text of letters is finite").loss;
        if is_first {
            self.first = self.last;
        }
    }

    /// Goes on until there are steps enough to judge by.
    fn check(&mut self, rung: usize, isa: Isa) -> Result<f64> {
        let mut once = 0.0;
        while self.trainer.step_count() < self.steps {
            once = seconds(|| self.run(rung, isa));
        }
        let guessing = (self.vocab as f32).ln();
        // After two steps of the warm-up there is nothing to see but that it has not run away.
        let highest = if self.steps > 2 { self.first - 0.02 } else { self.first + 0.01 };
        if (self.first / guessing - 1.0).abs() < 0.05 && self.last < highest {
            return Ok(once);
        }
        Err(format!("the loss goes from {} to {}; it should start at {guessing} and fall", self.first, self.last))
    }
}
