//! Multi-head self-attention: every position asks all earlier ones what they have for it.
//!
//! Why the mask is −∞ and not a large negative number: e^(−∞) is exactly 0, so nothing of the future leaks, however
//! large the other scores are. Why the scores are divided by √D: see `Options::scale` of the operation.

use super::{Dropout, Linear};
use crate::init::Init;
use crate::layers::BlockConfig;
use crate::module::{Layer, Module, Visitor};
use gradus_autograd::ops::attention::Options;
use gradus_autograd::{DType, Tape, Tensor, Var};

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
    /// Where the cache has no room for T more, or the tape records: keys and values come out of the cache as constants.
    pub fn forward_cached(&self, tape: &Tape, x: &Var, cache: &mut KvCache) -> Var {
        assert!(!tape.is_recording(), "attention: no gradient flows through a cache, so the tape must not record");
        let [b, t, c] = *x.shape() else { panic!("attention: x needs the axes [B, T, C], not {:?}", x.shape()) };
        let d = c / self.heads;
        let qkv = self.qkv.forward(tape, x); // [B, T, 3·C]
        let qkv = qkv.value().reshape(&[b, t, 3, self.heads, d]);
        let part = |i: usize| qkv.slice(2, i..i + 1).reshape(&[b, t, self.heads, d]).permute(&[0, 2, 1, 3]);
        cache.push(&part(1), &part(2));
        let (k, v) = cache.filled(); // [B, H, filled, D]
        let options = Options { causal: true, ..Options::default() };
        let o = Var::constant(part(0)).attention(&Var::constant(k), &Var::constant(v), &options); // [B, H, T, D]
        self.out.forward(tape, &o.permute(&[0, 2, 1, 3]).reshape(&[b, t, c]))
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

/// Keys and values of the positions that are past: with them, one more position costs one query, not T.
///
/// A key depends only on its own position's input, and under the causal mask that never changes.
#[derive(Debug)]
pub struct KvCache {
    k: Tensor,
    v: Tensor,
    filled: usize,
}

impl KvCache {
    /// Room for `context` positions of B sequences.
    pub fn new(dtype: DType, batch: usize, heads: usize, context: usize, head_size: usize) -> KvCache {
        let zeros = || Tensor::zeros_of(dtype, &[batch, heads, context, head_size]);
        KvCache { k: zeros(), v: zeros(), filled: 0 }
    }

    /// The number of positions in it.
    pub fn len(&self) -> usize {
        self.filled
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.filled = 0;
    }

    fn push(&mut self, k: &Tensor, v: &Tensor) {
        let end = self.filled + k.shape()[2];
        assert!(end <= self.k.shape()[2], "the cache has room for {} positions, not {end}", self.k.shape()[2]);
        self.k.write_slice(2, self.filled, k);
        self.v.write_slice(2, self.filled, v);
        self.filled = end;
    }

    fn filled(&self) -> (Tensor, Tensor) {
        (self.k.slice(2, 0..self.filled), self.v.slice(2, 0..self.filled))
    }
}
