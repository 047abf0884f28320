//! The GPT: token ids in, for every position the logits of the next token out (Radford et al. 2019).
//!
//! Everything here is built of `gradus_nn`; the shapes stand behind each line. It is nanoGPT's model: learned positions,
//! pre-norm, GELU, tied weights, optional biases, dropout.

use crate::config::ModelConfig;
use crate::recompute::Recompute;
use gradus_autograd::{DType, Device, Precision, Tape, Tensor, Var, checkpoint};
use gradus_nn::data::TextBatch;
use gradus_nn::layers::{Block, BlockConfig, Dropout, Embedding, KvCache, LayerNorm, LearnedPositions};
use gradus_nn::training::Trainable;
use gradus_nn::{Init, LanguageModel, Layer, Module, Visitor};

pub use gradus_nn::Reader;

/// Of GPT-2's first weights.
const STANDARD_DEVIATION: f64 = 0.02;

/// A decoder-only Transformer.
pub struct Gpt {
    /// A vector for each token; also, transposed, what turns the last vectors into logits. Why tie them: both say
    /// which tokens are alike, and a small model has no parameters to learn it twice (Press and Wolf 2017).
    pub token_embedding: Embedding,
    /// A vector for each position: attention alone does not know the order of what it sees.
    pub position_embedding: LearnedPositions,
    /// Of the sum of the two.
    pub dropout: Dropout,
    /// L of them.
    pub blocks: Vec<Block>,
    /// Before the logits.
    pub norm: LayerNorm,
    /// What the backward pass computes again instead of keeping it.
    pub recompute: Recompute,
    /// What products round their operands to when a loss is computed.
    pub precision: Precision,
    config: ModelConfig,
}

impl Gpt {
    /// GPT-2's first values. The settings must have been validated.
    pub fn new(config: &ModelConfig, init: &mut Init) -> Gpt {
        let block = BlockConfig::gpt(config.width, config.heads).with_bias(config.bias).with_dropout(config.dropout);
        let block = block.with_initial_weights(STANDARD_DEVIATION, config.layers);
        Gpt {
            token_embedding: Embedding::new(init, config.vocab_size, config.width, STANDARD_DEVIATION),
            position_embedding: LearnedPositions::new(init, config.context, config.width, STANDARD_DEVIATION),
            dropout: Dropout { p: config.dropout },
            blocks: (0..config.layers).map(|_| Block::new(init, &block)).collect(),
            norm: LayerNorm::new(init, config.width, config.bias),
            recompute: Recompute::None,
            precision: Precision::F32,
            config: config.clone(),
        }
    }

    /// The settings that it was made with.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Keeps the matrices in bf16, half the memory, after which the model only infers: products with them round what
    /// comes in, too. Positions, norms and biases, some thousandths of the whole, are added and not multiplied; they
    /// stay as they are. A [`Reader`] then keeps keys and values in bf16 as well.
    pub fn store_in_bf16(&self) {
        for (name, parameter) in self.distinct_parameters() {
            if parameter.shape().len() == 2 && !name.starts_with("position_embedding") {
                parameter.set_dtype(DType::Bf16);
            }
        }
    }

    /// Where its parameters are and its activations will be.
    pub fn device(&self) -> Device {
        self.token_embedding.weight.value().device().clone()
    }

    /// The type of its activations.
    pub fn dtype(&self) -> DType {
        self.norm.weight.value().dtype()
    }

    /// ids [B, T] → logits [B, T, V]; ids from the host are copied to the device of the model. Position t sees the ids up to
    /// t, so one pass trains T predictions at once.
    ///
    /// # Panics
    /// Where T is larger than the context, or an id is not in the vocabulary.
    pub fn logits(&self, tape: &Tape, ids: &Tensor) -> Var {
        let mut x = self.embed(tape, ids, 0); // [B, T, C]
        for block in &self.blocks {
            x = if self.recompute.blocks() {
                let block = block.clone();
                checkpoint(tape, &x, move |tape, x| block.forward(tape, x))
            } else {
                block.forward(tape, &x)
            };
        }
        self.head(tape, &x)
    }

    /// The mean cross-entropy of the next tokens: ids and targets [B, T] → a number.
    pub fn loss(&self, tape: &Tape, ids: &Tensor, targets: &Tensor) -> Var {
        self.next_token_loss(tape, &TextBatch { ids: ids.clone(), targets: targets.clone() })
    }

    fn embed(&self, tape: &Tape, ids: &Tensor, position: usize) -> Var {
        let t = ids.shape()[1];
        let ids = &ids.to_device(&self.device());
        let positions = self.position_embedding.forward(tape, position..position + t); // [T, C]
        self.dropout.forward(tape, &(&self.token_embedding.forward(tape, ids) + &positions)) // [B, T, C]
    }

    fn head(&self, tape: &Tape, x: &Var) -> Var {
        self.norm.forward(tape, x).linear(&tape.parameter(&self.token_embedding.weight), None) // [B, T, V]
    }

    /// For each layer what every head looks at: probabilities [H, T, T] for ids [1, T].
    pub fn attention_maps(&self, ids: &Tensor) -> Vec<Tensor> {
        let tape = Tape::inference();
        let mut x = self.embed(&tape, ids, 0);
        let map = |block: &Block| {
            let map = block.attention_probabilities(&tape, &x, None); // [1, H, T, T]
            let map = map.reshape(&map.shape()[1..]);
            x = block.forward(&tape, &x);
            map
        };
        self.blocks.iter().map(map).collect()
    }
}

impl Trainable for Gpt {
    type Batch = TextBatch;

    fn loss(&self, tape: &Tape, batch: &TextBatch) -> Var {
        self.next_token_loss(tape, batch)
    }

    /// At the precision of the model, and with what it recomputes.
    fn training_tape(&self, seed: u64, index: u64) -> Tape {
        let tape = Tape::training(seed, index).with_precision(self.precision);
        tape.with_recomputation(self.recompute.activations())
    }
}

impl LanguageModel for Gpt {
    /// Keys and values of each block.
    type Cache = Vec<KvCache>;

    fn vocab_size(&self) -> usize {
        self.config.vocab_size
    }

    fn context(&self) -> Option<usize> {
        Some(self.config.context)
    }

    fn logits(&self, tape: &Tape, ids: &Tensor) -> Var {
        Gpt::logits(self, tape, ids)
    }

    /// In the type of the matrices.
    fn new_cache(&self) -> Vec<KvCache> {
        let dtype = self.token_embedding.weight.value().dtype();
        let cache = |block: &Block| block.attention.new_cache(dtype, 1, self.config.context).to_device(&self.device());
        self.blocks.iter().map(cache).collect()
    }

    fn clear(&self, caches: &mut Vec<KvCache>) {
        caches.iter_mut().for_each(KvCache::clear);
    }

    fn read(&self, tape: &Tape, ids: &Tensor, caches: &mut Vec<KvCache>) -> Var {
        let position = caches.first().map_or(0, KvCache::next_position);
        let mut x = self.embed(tape, ids, position); // [1, T, C]
        for (block, cache) in self.blocks.iter().zip(caches) {
            x = block.forward_cached(tape, &x, cache);
        }
        let last = x.slice(1, x.shape()[1] - 1..x.shape()[1]); // [1, 1, C]
        self.head(tape, &last)
    }

    fn evaluation_tape(&self) -> Tape {
        Tape::inference().with_precision(self.precision)
    }
}

impl Module for Gpt {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.module("token_embedding", &self.token_embedding);
        visitor.module("position_embedding", &self.position_embedding);
        for (i, block) in self.blocks.iter().enumerate() {
            visitor.module(&format!("blocks.{i}"), block);
        }
        visitor.module("norm", &self.norm);
    }
}
