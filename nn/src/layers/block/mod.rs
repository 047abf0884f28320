//! A Transformer block: attention moves information between positions, the feed-forward layer works on it in place.

mod config;

pub use config::{BlockConfig, NormPlacement};

use super::{Attention, AttentionConfig, FeedForward, InvalidConfig, KvCache, Memory, Norm, Padding};
use crate::init::Init;
use crate::module::{Layer, Module, Visitor};
use gradus_autograd::{Tape, Tensor, Var};

/// x → x + attention(norm1(x)), then x → x + feed_forward(norm2(x)); with [`NormPlacement::After`] x → norm1(x + attention(x))
/// and so on. A decoder block has cross-attention between the two.
#[derive(Clone, Debug)]
pub struct Block {
    /// Of the attention.
    pub norm1: Norm,
    /// Between positions.
    pub attention: Attention,
    /// Between this sequence and another one, with its norm.
    pub cross: Option<CrossPart>,
    /// Of the feed-forward layer.
    pub norm2: Norm,
    /// At each position.
    pub feed_forward: FeedForward,
    /// Where the norms stand.
    pub placement: NormPlacement,
}

/// The part of a decoder block that reads the other sequence.
#[derive(Clone, Debug)]
pub struct CrossPart {
    /// Its norm.
    pub norm: Norm,
    /// Queries from this sequence, keys and values from the other.
    pub attention: Attention,
}

/// What a block is given besides x.
#[derive(Debug, Default)]
pub struct BlockInputs<'a> {
    /// Which positions of x are real; with a cache, which of all positions so far.
    pub padding: Option<&'a Padding>,
    /// The keys and values of the positions before x, which x joins.
    pub cache: Option<&'a mut KvCache>,
    /// What the cross-attention reads: see [`Block::memory`].
    pub memory: Option<&'a Memory>,
}

impl Block {
    /// Normally distributed weights, biases of 0 and scales of 1.
    ///
    /// # Errors
    /// Where the settings do not fit each other.
    pub fn try_new(init: &mut Init, config: &BlockConfig) -> Result<Block, InvalidConfig> {
        config.validate()?;
        let width = config.attention.width;
        let mut part = |attention: &AttentionConfig| {
            Ok((Norm::new(init, width, &config.norm), Attention::try_new(init, attention)?))
        };
        let (norm1, attention) = part(&config.attention)?;
        let cross = config.cross_attention.as_ref().map(part).transpose()?;
        Ok(Block {
            norm1,
            attention,
            cross: cross.map(|(norm, attention)| CrossPart { norm, attention }),
            norm2: Norm::new(init, width, &config.norm),
            feed_forward: FeedForward::try_new(init, &config.feed_forward)?,
            placement: config.placement,
        })
    }

    /// [`Block::try_new`] that panics with the text of its error.
    ///
    /// # Panics
    /// Where the settings do not fit each other.
    #[track_caller]
    pub fn new(init: &mut Init, config: &BlockConfig) -> Block {
        Block::try_new(init, config).unwrap_or_else(|error| panic!("{error}"))
    }

    /// x [B, T, C] → [B, T, C], with what else there is.
    ///
    /// # Panics
    /// Where a decoder block has no memory, or another block has one; and as [`Attention::forward_with`].
    pub fn forward_with(&self, tape: &Tape, x: &Var, inputs: BlockInputs<'_>) -> Var {
        let BlockInputs { padding, cache, memory } = inputs;
        let mut x = self.residual(tape, x, &self.norm1, |x| self.attention.forward_with(tape, x, padding, cache));
        match (&self.cross, memory) {
            (None, None) => (),
            (Some(cross), Some(memory)) => {
                x = self.residual(tape, &x, &cross.norm, |x| cross.attention.forward_cross(tape, x, memory));
            }
            (Some(_), None) => panic!("block: its cross-attention needs a memory to read: make one with Block::memory"),
            (None, Some(_)) => panic!("block: it has no cross-attention that could read the memory"),
        }
        self.residual(tape, &x, &self.norm2, |x| self.feed_forward.forward(tape, x))
    }

    /// The new positions x [B, T, C] after those in the cache.
    ///
    /// # Panics
    /// As [`Attention::forward_with`].
    pub fn forward_cached(&self, tape: &Tape, x: &Var, cache: &mut KvCache) -> Var {
        self.forward_with(tape, x, BlockInputs { cache: Some(cache), ..BlockInputs::default() })
    }

    /// What the cross-attention of a decoder block reads of another sequence [B, Tk, C of the memory].
    ///
    /// # Panics
    /// Where this block has no cross-attention, or the padding is of another shape.
    pub fn memory(&self, tape: &Tape, sequence: &Var, padding: Option<&Padding>) -> Memory {
        let cross = self.cross.as_ref().expect("block: it has no cross-attention that could read a memory");
        cross.attention.memory(tape, sequence, padding)
    }

    /// What every head of the attention looks at when the block is given x [B, T, C]: [B, H, T, T].
    pub fn attention_probabilities(&self, tape: &Tape, x: &Var, padding: Option<&Padding>) -> Tensor {
        self.attention.probabilities(tape, &self.before(tape, x, &self.norm1), padding)
    }

    /// What a part reads of x.
    fn before(&self, tape: &Tape, x: &Var, norm: &Norm) -> Var {
        if self.placement == NormPlacement::Before { norm.forward(tape, x) } else { x.clone() }
    }

    /// x and what `part` adds to it, with the norm where it belongs.
    fn residual(&self, tape: &Tape, x: &Var, norm: &Norm, part: impl FnOnce(&Var) -> Var) -> Var {
        match self.placement {
            NormPlacement::Before => x + &part(&norm.forward(tape, x)),
            NormPlacement::After => norm.forward(tape, &(x + &part(x))),
        }
    }
}

impl Layer for Block {
    fn forward(&self, tape: &Tape, x: &Var) -> Var {
        self.forward_with(tape, x, BlockInputs::default())
    }
}

impl Module for Block {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.module("norm1", &self.norm1);
        visitor.module("attention", &self.attention);
        if let Some(cross) = &self.cross {
            visitor.module("cross_norm", &cross.norm);
            visitor.module("cross_attention", &cross.attention);
        }
        visitor.module("norm2", &self.norm2);
        visitor.module("feed_forward", &self.feed_forward);
    }
}
