//! A Transformer block: attention moves information between positions, the feed-forward layer works on it in place.
//!
//! Why pre-norm: here a norm stands before each half and the residual stream runs past it untouched, so a gradient
//! reaches every layer without going through a norm. The 2017 paper normalises after the addition (post-norm), which
//! needs a long warm-up to train deep stacks (Xiong et al. 2020).

use super::{FeedForward, KvCache, LayerNorm, MultiHeadAttention};
use crate::init::Init;
use crate::module::{Layer, Module, Visitor};
use gradus_autograd::{Tape, Var};

/// The sizes of a block.
#[derive(Clone, Copy, Debug)]
pub struct BlockConfig {
    /// C.
    pub width: usize,
    /// H, which divides C.
    pub heads: usize,
    /// Whether linear layers and norms have a shift.
    pub bias: bool,
    /// The probability of every dropout.
    pub dropout: f32,
    /// Of first weights; GPT-2's is 0.02.
    pub standard_deviation: f64,
    /// L, how many blocks add to one residual stream.
    pub layers: usize,
}

impl BlockConfig {
    /// 2·L layers add to the residual stream; scaled by 1/√(2·L), their sum keeps its variance (GPT-2, section 2.3).
    pub fn residual_standard_deviation(&self) -> f64 {
        self.standard_deviation / (2.0 * self.layers as f64).sqrt()
    }
}

/// x → x + attention(norm1(x)), then x → x + feed_forward(norm2(x)).
#[derive(Clone, Debug)]
pub struct Block {
    /// Before the attention.
    pub norm1: LayerNorm,
    /// Between positions.
    pub attention: MultiHeadAttention,
    /// Before the feed-forward layer.
    pub norm2: LayerNorm,
    /// At each position.
    pub feed_forward: FeedForward,
}

impl Block {
    /// First values as in GPT-2.
    ///
    /// # Panics
    /// Where the heads do not divide the width.
    pub fn new(init: &mut Init, config: &BlockConfig) -> Block {
        let BlockConfig { width, heads, bias, .. } = *config;
        assert!(heads > 0 && width % heads == 0, "{heads} heads do not divide the width {width}");
        Block {
            norm1: LayerNorm::new(init, width, bias),
            attention: MultiHeadAttention::new(init, config),
            norm2: LayerNorm::new(init, width, bias),
            feed_forward: FeedForward::new(init, config),
        }
    }

    /// The new positions x [B, T, C] after those in the cache.
    ///
    /// # Panics
    /// As [`MultiHeadAttention::forward_cached`].
    pub fn forward_cached(&self, tape: &Tape, x: &Var, cache: &mut KvCache) -> Var {
        let x = x + &self.attention.forward_cached(tape, &self.norm1.forward(tape, x), cache);
        &x + &self.feed_forward.forward(tape, &self.norm2.forward(tape, &x))
    }
}

impl Layer for Block {
    fn forward(&self, tape: &Tape, x: &Var) -> Var {
        let x = x + &self.attention.forward(tape, &self.norm1.forward(tape, x));
        &x + &self.feed_forward.forward(tape, &self.norm2.forward(tape, &x))
    }
}

impl Module for Block {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.module("norm1", &self.norm1);
        visitor.module("attention", &self.attention);
        visitor.module("norm2", &self.norm2);
        visitor.module("feed_forward", &self.feed_forward);
    }
}
