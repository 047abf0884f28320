//! A whole training step of the `small` preset, by the trainer that `gradus train` uses, on a made-up text.
//!
//! It has one rung: whatever the engine does today. The oracle of a step is the fixture made with PyTorch, in the tests
//! of the workspace; here the loss has to start at that of guessing, and to fall.

use super::{Case, Entry};
use crate::{Result, workload::Problem};
use gradus_gpt::{
    config::{FORMAT, RunConfig},
    dataset::Dataset,
    preset::Preset,
    tokenizer::{Tokenizer, TokenizerKind},
    trainer::Trainer,
};
use gradus_kernels::{Isa, oracle};
use std::sync::LazyLock;

/// The settings and the text, which the trainer borrows.
static RUN: LazyLock<(RunConfig, Dataset)> = LazyLock::new(|| {
    let text = text();
    let tokenizer = Tokenizer::new(TokenizerKind::Char, &text);
    let data = Dataset::new(&text, &tokenizer).expect("the tokenizer was made for this text");
    let (mut model, mut train, _) = Preset::Small.settings();
    model.vocab_size = tokenizer.vocab_size();
    train.steps = u64::MAX; // it may be timed for longer than a run takes
    (RunConfig { format: FORMAT, model, train, tokenizer }, data)
});

/// 100,000 characters out of 65, the lower ones likelier: something to learn, though not much.
fn text() -> String {
    let character = |x: f32| char::from(b' ' + (x * x * 64.99) as u8);
    oracle::values(1, 100_000).into_iter().map(character).collect()
}

struct TrainingStep(Trainer<'static>);

pub(super) fn case(problem: &Problem) -> Box<dyn Case> {
    let (run, data) = &*RUN;
    let model = &run.model;
    let made = Problem::TrainingStep {
        layers: model.layers,
        heads: model.heads,
        width: model.width,
        context: model.context,
        batch: run.train.batch,
        vocab: model.vocab_size,
    };
    assert_eq!(*problem, made, "the training step is that of the small preset");
    Box::new(TrainingStep(Trainer::new(run, data)))
}

impl Case for TrainingStep {
    fn rungs(&self) -> Vec<Entry> {
        vec![Entry { name: "trainer", idea: "the best rung of everything, on the tape", simd: true, peer: false }]
    }

    fn run(&mut self, _: usize, _: Isa) {
        self.0.step().expect("a step on a text of letters is finite");
    }

    fn check(&mut self, _: usize, _: Isa) -> Result<()> {
        let (run, data) = &*RUN;
        let mut trainer = Trainer::new(run, data);
        let guessing = (run.model.vocab_size as f32).ln();
        let mut step = || trainer.step().map(|step| step.loss).map_err(|error| error.to_string());
        let first = step()?;
        let mut last = first;
        for _ in 0..20 {
            last = step()?;
        }
        if (first / guessing - 1.0).abs() < 0.02 && last < first - 0.05 {
            return Ok(());
        }
        Err(format!("the loss goes from {first} to {last}; it should start at {guessing} and fall"))
    }
}
