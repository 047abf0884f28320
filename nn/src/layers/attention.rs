//! Multi-head self-attention: every position asks all earlier ones what they have for it.
//!
//! Why the mask is −∞ and not a large negative number: e^(−∞) is exactly 0, so nothing of the future leaks, however
//! large the other scores are. Why the scores are divided by √D: see `Options::scale` of the operation.

use super::{Dropout, Linear};
use crate::init::Init;
use crate::layers::BlockConfig;
use crate::module::{Layer, Module, Visitor};
use gradus_autograd::ops::attention::Options;
use gradus_autograd::{Tape, Var};
use gradus_tensor::ops::kv_cache::KvCache;

/// Causal self-attention with H heads of D = C/H channels (Vaswani et al. 2017, section 3.2).
#[derive(Clone, Debug)]
pub struct MultiHeadAttention {
    /// Queries, keys and values in one product: [3·C, C], rows ordered q, k, v.
    pub qkv: Linear,
    /// What merges the heads: [C, C].
    pub out: Linear,
    /// H.
    pub heads: usize,
    /// Of the probabilities and of the output.
    pub dropout: Dropout,
}

impl MultiHeadAttention {
    /// GPT-2's first values; the output projection is made smaller, for it adds to the residual stream.
    pub fn new(init: &mut Init, config: &BlockConfig) -> MultiHeadAttention {
        let BlockConfig { width, heads, bias, dropout, .. } = *config;
        MultiHeadAttention {
            qkv: Linear::new(init, width, 3 * width, bias, config.standard_deviation),
            out: Linear::new(init, width, width, bias, config.residual_standard_deviation()),
            heads,
            dropout: Dropout { p: dropout },
        }
    }

    /// The new positions x [B, T, C], which also see what the cache holds and are added to it.
    ///
    /// # Panics
    /// Where the cache has no room for T more or is of another shape, or the tape records: keys and values come out of the cache as constants.
    pub fn forward_cached(&self, tape: &Tape, x: &Var, cache: &mut KvCache) -> Var {
        assert!(!tape.is_recording(), "attention: no gradient flows through a cache, so the tape must not record");
        let qkv = self.qkv.forward(tape, x); // [B, T, C] → [B, T, 3·C]
        let o = cache.attend(qkv.value(), &Options { precision: qkv.precision(), ..Options::default() }); // [B, T, C]
        self.out.forward(tape, &Var::constant(o))
    }
}

impl Layer for MultiHeadAttention {
    fn forward(&self, tape: &Tape, x: &Var) -> Var {
        let qkv = self.qkv.forward(tape, x); // [B, T, C] → [B, T, 3·C]
        let options = Options { causal: true, dropout: tape.dropout(self.dropout.p), ..Options::default() };
        let o = qkv.self_attention(self.heads, &options); // [B, T, C]
        self.dropout.forward(tape, &self.out.forward(tape, &o))
    }
}

impl Module for MultiHeadAttention {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.module("qkv", &self.qkv);
        visitor.module("out", &self.out);
    }
}
