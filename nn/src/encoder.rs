//! A bidirectional encoder: for every token of a sequence it says something, having seen all of them. BERT is one of these
//! (Devlin et al. 2018).

use crate::data::{IGNORED, TextBatch};
use crate::init::Init;
use crate::layers::{
    Block, BlockConfig, Embedding, InvalidConfig, LearnedPositions, Linear, Norm, NormPlacement, RotaryConfig,
    SinusoidalPositions,
};
use crate::module::{Layer, Module, Visitor};
use crate::training::Trainable;
use gradus_autograd::ops::cross_entropy::Options;
use gradus_autograd::{Tape, Tensor, Var};

/// How an [`Encoder`] knows the order of its tokens.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Not at all.
    None,
    /// [`SinusoidalPositions`] are added to the embeddings.
    Sinusoidal,
    /// [`LearnedPositions`] are added to the embeddings.
    Learned,
    /// Queries and keys are turned: see [`Rotary`](crate::layers::Rotary).
    Rotary(RotaryConfig),
}

/// The settings of an [`Encoder`].
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderConfig {
    /// How many kinds of tokens there are, which are also the answers.
    pub vocabulary: usize,
    /// The longest sequence of learned positions.
    pub context: usize,
    /// How it knows the order.
    pub order: Order,
    /// How many blocks there are.
    pub layers: usize,
    /// What each of them is.
    pub block: BlockConfig,
}

/// Embeddings and positions, blocks, and a linear layer to the answers.
#[derive(Clone, Debug)]
pub struct Encoder {
    /// A vector for each token.
    pub tokens: Embedding,
    /// What is added to them.
    pub added: Option<Added>,
    /// From the first to the last.
    pub blocks: Vec<Block>,
    /// After blocks whose norms stand before their parts, for the stream itself has passed none.
    pub norm: Option<Norm>,
    /// [vocabulary, C].
    pub head: Linear,
}

/// Positions that are added to embeddings.
#[derive(Clone, Debug)]
pub enum Added {
    /// Waves.
    Sinusoidal(SinusoidalPositions),
    /// A table.
    Learned(LearnedPositions),
}

impl Encoder {
    /// Embeddings and learned positions of standard deviation 1, a head of 1/√C.
    ///
    /// # Errors
    /// Where the settings of a block or of the positions do not fit each other.
    pub fn new(init: &mut Init, config: &EncoderConfig) -> Result<Encoder, InvalidConfig> {
        let width = config.block.attention.width;
        let mut block = config.block.clone();
        let tokens = Embedding::new(init, config.vocabulary, width, 1.0);
        let added = match &config.order {
            Order::None => None,
            Order::Sinusoidal => Some(Added::Sinusoidal(SinusoidalPositions::new(width, init.dtype())?)),
            Order::Learned => Some(Added::Learned(LearnedPositions::new(init, config.context, width, 1.0))),
            Order::Rotary(rotary) => {
                block.attention.rotary = Some(rotary.clone());
                None
            }
        };
        let blocks = (0..config.layers).map(|_| Block::try_new(init, &block)).collect::<Result<_, _>>()?;
        let norm = (block.placement == NormPlacement::Before).then(|| Norm::new(init, width, &block.norm));
        let head = Linear::new(init, width, config.vocabulary, true, (width as f64).powf(-0.5));
        Ok(Encoder { tokens, added, blocks, norm, head })
    }

    /// What the first block reads of ids [B, T]: [B, T, C].
    ///
    /// # Panics
    /// Where the sequence is longer than learned positions, or an id is not in the vocabulary.
    pub fn embed(&self, tape: &Tape, ids: &Tensor) -> Var {
        let (x, t) = (self.tokens.forward(tape, ids), ids.shape()[1]);
        match &self.added {
            None => x,
            Some(Added::Sinusoidal(waves)) => &x + &waves.forward(0..t),
            Some(Added::Learned(table)) => &x + &table.forward(tape, 0..t),
        }
    }

    /// What the last block makes of ids [B, T]: [B, T, C].
    ///
    /// # Panics
    /// As [`Encoder::embed`].
    pub fn hidden(&self, tape: &Tape, ids: &Tensor) -> Var {
        let x = self.blocks.iter().fold(self.embed(tape, ids), |x, block| block.forward(tape, &x));
        self.norm.as_ref().map_or_else(|| x.clone(), |norm| norm.forward(tape, &x))
    }

    /// A number for each possible answer at each token: ids [B, T] → [B, T, vocabulary].
    ///
    /// # Panics
    /// As [`Encoder::embed`].
    pub fn logits(&self, tape: &Tape, ids: &Tensor) -> Var {
        self.head.forward(tape, &self.hidden(tape, ids))
    }

    /// The likeliest answer at each token, [B·T].
    ///
    /// # Panics
    /// As [`Encoder::embed`].
    pub fn answers(&self, ids: &Tensor) -> Vec<u32> {
        self.logits(&Tape::inference(), ids).value().argmax(2).to_vec()
    }

    /// How many answers are those of the batch, and how many targets it has that are not [`IGNORED`].
    ///
    /// # Panics
    /// As [`Encoder::embed`].
    pub fn right(&self, batch: &TextBatch) -> (usize, usize) {
        let targets = batch.targets.to_vec::<u32>();
        let counted = || std::iter::zip(self.answers(&batch.ids), &targets).filter(|(_, target)| **target != IGNORED);
        (counted().filter(|(answer, target)| answer == *target).count(), counted().count())
    }

    /// What every head of block `layer` looks at: [B, H, T, T].
    ///
    /// # Panics
    /// Where there is no such block, and as [`Encoder::embed`].
    pub fn attention(&self, ids: &Tensor, layer: usize) -> Tensor {
        let tape = Tape::inference();
        let x = self.blocks[..layer].iter().fold(self.embed(&tape, ids), |x, block| block.forward(&tape, &x));
        self.blocks[layer].attention_probabilities(&tape, &x, None)
    }
}

impl Module for Encoder {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.module("tokens", &self.tokens);
        if let Some(Added::Learned(table)) = &self.added {
            visitor.module("positions", table);
        }
        for (i, block) in self.blocks.iter().enumerate() {
            visitor.module(&format!("blocks.{i}"), block);
        }
        if let Some(norm) = &self.norm {
            visitor.module("norm", norm);
        }
        visitor.module("head", &self.head);
    }
}

impl Trainable for Encoder {
    type Batch = TextBatch;

    /// Cross-entropy over the tokens whose target is not [`IGNORED`].
    fn loss(&self, tape: &Tape, batch: &TextBatch) -> Var {
        let options = Options { ignore_index: Some(IGNORED), ..Options::default() };
        self.logits(tape, &batch.ids).cross_entropy(&batch.targets, options)
    }
}
