//! A small Llama (rotary positions, RMS norms, SwiGLU, two heads of queries for each of keys and values) trains on a text, is
//! evaluated, stops and goes on, and writes text with a cache that grows beyond the context that it was trained on.

use gradus_autograd::{DType, Tape, Tensor, Var};
use gradus_gpt::dataset::{Dataset, Part};
use gradus_gpt::error::Error;
use gradus_gpt::evaluation::{Coverage, Evaluation, evaluate};
use gradus_gpt::files::Disk;
use gradus_gpt::generate::{Generator, stream};
use gradus_gpt::sampler::{Sampler, Sampling};
use gradus_gpt::tokenizer::{Tokenizer, TokenizerKind};
use gradus_gpt::trainer::Trainer;
use gradus_gpt::windows::Windows;
use gradus_nn::data::TextBatch;
use gradus_nn::layers::{Block, BlockConfig, Embedding, KvCache, Linear, RmsNorm, RotaryConfig};
use gradus_nn::optim::{AdamWConfig, Schedule};
use gradus_nn::training::{Step, Trainable, TrainerConfig};
use gradus_nn::{Init, LanguageModel, Layer, Module, Reader, Visitor};

const WIDTH: usize = 32;
const CONTEXT: usize = 16;
const STEPS: u64 = 50;

struct Llama {
    embedding: Embedding,
    blocks: Vec<Block>,
    norm: RmsNorm,
    head: Linear,
}

impl Llama {
    fn new(vocab_size: usize, seed: u64) -> Llama {
        let init = &mut Init::new(seed);
        let block =
            BlockConfig::llama(WIDTH, 4, 2, 48, RotaryConfig::half_split(10_000.0)).with_initial_weights(0.1, 2);
        Llama {
            embedding: Embedding::new(init, vocab_size, WIDTH, 0.1),
            blocks: (0..2).map(|_| Block::new(init, &block)).collect(),
            norm: RmsNorm::new(init, WIDTH),
            head: Linear::new(init, WIDTH, vocab_size, false, 0.1),
        }
    }

    fn predict(&self, tape: &Tape, x: &Var) -> Var {
        self.head.forward(tape, &self.norm.forward(tape, x))
    }
}

impl Module for Llama {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.module("embedding", &self.embedding);
        self.blocks.iter().enumerate().for_each(|(i, block)| visitor.module(&format!("blocks.{i}"), block));
        visitor.module("norm", &self.norm);
        visitor.module("head", &self.head);
    }
}

impl LanguageModel for Llama {
    type Cache = Vec<KvCache>;

    fn vocab_size(&self) -> usize {
        self.embedding.weight.shape()[0]
    }

    fn context(&self) -> Option<usize> {
        None
    }

    fn logits(&self, tape: &Tape, ids: &Tensor) -> Var {
        let x = self.embedding.forward(tape, ids);
        self.predict(tape, &self.blocks.iter().fold(x, |x, block| block.forward(tape, &x)))
    }

    fn new_cache(&self) -> Vec<KvCache> {
        self.blocks.iter().map(|block| block.attention.new_cache(DType::F32, 1, 4)).collect()
    }

    fn read(&self, tape: &Tape, ids: &Tensor, caches: &mut Vec<KvCache>) -> Var {
        let mut x = self.embedding.forward(tape, ids);
        for (block, cache) in self.blocks.iter().zip(caches) {
            x = block.forward_cached(tape, &x, cache);
        }
        self.predict(tape, &x.slice(1, x.shape()[1] - 1..x.shape()[1]))
    }
}

impl Trainable for Llama {
    type Batch = TextBatch;

    fn loss(&self, tape: &Tape, batch: &TextBatch) -> Var {
        self.next_token_loss(tape, batch)
    }
}

fn text() -> (Dataset, Tokenizer) {
    let text = "the cat sat on the mat, and the rat sat on the cat. ".repeat(40);
    let tokenizer = Tokenizer::new(TokenizerKind::Char, &text);
    (Dataset::new(&text, &tokenizer).unwrap(), tokenizer)
}

fn trainer<'a>(data: &'a Dataset, tokenizer: &Tokenizer, seed: u64) -> Trainer<'a, Llama> {
    let schedule = Schedule { learning_rate: 0.02, min_learning_rate: 0.002, warmup: 5, steps: STEPS };
    let adamw = AdamWConfig::default();
    let config = TrainerConfig { seed: 3, batch: 8, grad_accum: 1, clip: 1.0, schedule, adamw };
    let model = Llama::new(tokenizer.vocab_size(), seed);
    Trainer::with_model(model, config, Windows::new(data, CONTEXT), "a small llama".into())
}

fn steps(trainer: &mut Trainer<'_, Llama>, count: u64) -> Vec<Step> {
    (0..count).map(|_| trainer.step().unwrap()).collect()
}

fn validated(trainer: &Trainer<'_, Llama>) -> Evaluation {
    trainer.evaluate(Part::Validation, Coverage::Whole, |_, _| Ok::<(), Error>(())).unwrap()
}

/// The likeliest next tokens by the logits of the whole text so far, without a cache.
fn greedy(model: &Llama, prompt: &[u32], count: usize) -> Vec<u32> {
    let mut ids = prompt.to_vec();
    for _ in 0..count {
        let logits = model.logits(&Tape::inference(), &Tensor::from_slice(&ids, &[1, ids.len()]));
        let all: Vec<f32> = logits.value().to_vec();
        let last = &all[all.len() - model.vocab_size()..];
        let best = (0..last.len()).max_by(|&i, &j| last[i].total_cmp(&last[j])).unwrap();
        ids.push(best as u32);
    }
    ids.split_off(prompt.len())
}

#[test]
fn it_learns_is_evaluated_stops_and_goes_on_bit_for_bit() {
    let (folder, (data, tokenizer)) = (tempfile::tempdir().unwrap(), text());
    let mut whole = trainer(&data, &tokenizer, 1);
    let before = validated(&whole);
    let losses = steps(&mut whole, STEPS);
    let after = validated(&whole);
    assert!((before.loss / (tokenizer.vocab_size() as f64).ln() - 1.0).abs() < 0.3, "a guess: {before:?}");
    assert!(after.loss < 1.0 && after.tokens == data.len(Part::Validation) - 1, "{after:?}");

    let mut first = trainer(&data, &tokenizer, 1);
    let mut seen = steps(&mut first, 20);
    first.save(&Disk, folder.path()).unwrap();
    let mut second = trainer(&data, &tokenizer, 2); // other first weights, which the checkpoint replaces
    second.go_on(folder.path()).unwrap();
    assert_eq!(second.step_count(), 20);
    seen.extend(steps(&mut second, STEPS - 20));
    assert_eq!((seen, validated(&second)), (losses, after));

    // A window may be longer than those that it was trained on: rotary positions go on.
    let longer =
        evaluate(
            second.model(),
            &data,
            Part::Validation,
            [2, 3 * CONTEXT],
            Coverage::Whole,
            |_, _| Ok::<(), Error>(()),
        );
    assert!(longer.unwrap().loss.is_finite());
}

#[test]
fn with_its_cache_it_writes_what_its_logits_say_without_one() {
    let (data, tokenizer) = text();
    let mut trainer = trainer(&data, &tokenizer, 1);
    steps(&mut trainer, STEPS);
    let (model, prompt) = (trainer.model(), tokenizer.encode("the ").unwrap());
    let expected = greedy(model, &prompt, 3 * CONTEXT);

    let mut generator = Generator::new(model, Sampler::new(Sampling::GREEDY, 0).unwrap(), &prompt);
    let mut written = String::new();
    stream(&mut generator, &tokenizer, 3 * CONTEXT, |part| {
        written.push_str(part);
        Ok(())
    })
    .unwrap();
    assert_eq!(tokenizer.encode(&written).unwrap(), expected, "{written:?}");

    let mut reader = Reader::new(model);
    let all = [&prompt[..], &expected].concat();
    all.iter().for_each(|&id| _ = reader.read(&[id]));
    assert_eq!(reader.window(), all, "nothing is forgotten");
}
