//! Multi-head attention: every position gathers information from the positions that it attends to.
//!
//! ```text
//! Q = x·Wqᵀ, K = m·Wkᵀ, V = m·Wvᵀ        m is x, or for cross-attention another sequence
//! O = softmax(Q·Kᵀ/√D)·V for each head    y = O·Woᵀ
//! ```
//!
//! Why the mask is −∞ and not a large negative number: e^(−∞) is exactly 0, so nothing of the future leaks, however
//! large the other scores are. Why the scores are divided by √D: see `Options::scale` of the operation.
//!
//! Sources: Vaswani et al., "Attention is all you need", 2017, section 3.2; grouped heads: Ainslie et al. 2023; rotary
//! positions: Su et al. 2021; norms of queries and keys: Henry et al., "Query-key normalization for transformers", 2020.

mod config;
mod probabilities;

pub use config::AttentionConfig;

use super::{Dropout, InvalidConfig, KvCache, Linear, Padding, RmsNorm, Rotary};
use crate::init::Init;
use crate::module::{Layer, Module, Visitor};
use gradus_autograd::ops::attention::{Heads, Options};
use gradus_autograd::{DType, Tape, Tensor, Var};

/// Attention of every kind that [`AttentionConfig`] describes.
#[derive(Clone, Debug)]
pub struct Attention {
    /// What makes queries, keys and values.
    pub projection: Projection,
    /// The RMS norms of queries and of keys over the D channels of each head.
    pub qk_norm: Option<[RmsNorm; 2]>,
    /// The rotary positions of queries and keys.
    pub rotary: Option<Rotary>,
    /// The output projection, which merges the heads: [C, H·D].
    pub out: Linear,
    /// Of the probabilities and of the output.
    pub dropout: Dropout,
    config: AttentionConfig,
}

/// The linear layers of queries, keys and values.
#[derive(Clone, Debug)]
pub enum Projection {
    /// Of one sequence, in one product.
    Own {
        /// [(H + 2·Hkv)·D, C], rows ordered q, k, v.
        qkv: Linear,
    },
    /// Of two sequences.
    Cross {
        /// [H·D, C]
        q: Linear,
        /// [2·Hkv·D, C of the memory], rows ordered k, v.
        kv: Linear,
    },
}

/// The keys and values of the sequence that cross-attention reads: computed once, and read in every step of decoding.
#[derive(Clone, Debug)]
pub struct Memory {
    /// [B, Hkv, Tk, D], as `v`.
    k: Var,
    v: Var,
    mask: Option<Tensor>,
}

impl Attention {
    /// Normally distributed weights and biases of 0.
    ///
    /// # Errors
    /// Where the settings do not fit each other.
    pub fn try_new(init: &mut Init, config: &AttentionConfig) -> Result<Attention, InvalidConfig> {
        config.validate()?;
        let AttentionConfig { width, heads, kv_heads, qkv_bias, standard_deviation, .. } = *config;
        let d = config.head_size();
        let mut linear = |inputs, heads| Linear::new(init, inputs, heads * d, qkv_bias, standard_deviation);
        let projection = match config.memory_width {
            None => Projection::Own { qkv: linear(width, heads + 2 * kv_heads) },
            Some(memory) => Projection::Cross { q: linear(width, heads), kv: linear(memory, 2 * kv_heads) },
        };
        let mut norm = |eps| RmsNorm { eps, ..RmsNorm::new(init, d) };
        let qk_norm = config.qk_norm.map(|eps| [norm(eps), norm(eps)]);
        let rotary = config.rotary.as_ref().map(|rotary| Rotary::new(rotary, d, init.dtype())).transpose()?;
        let out = Linear::new(init, heads * d, width, config.out_bias, config.residual_standard_deviation);
        let dropout = Dropout { p: config.dropout };
        Ok(Attention { projection, qk_norm, rotary, out, dropout, config: config.clone() })
    }

    /// [`Attention::try_new`] that panics with the text of its error.
    ///
    /// # Panics
    /// Where the settings do not fit each other.
    #[track_caller]
    pub fn new(init: &mut Init, config: &AttentionConfig) -> Attention {
        Attention::try_new(init, config).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The settings that it was made with.
    pub fn config(&self) -> &AttentionConfig {
        &self.config
    }

    /// An empty cache for decoding `batch` sequences, in this type. It slides where there is a window, grows where positions
    /// are rotary, and holds `context` positions otherwise.
    pub fn new_cache(&self, dtype: DType, batch: usize, context: usize) -> KvCache {
        let (heads, d) = (self.config.kv_heads, self.config.head_size());
        match self.config.window {
            Some(window) => KvCache::sliding(dtype, batch, heads, window, d),
            None if self.rotary.is_some() => KvCache::growing(dtype, batch, heads, context, d),
            None => KvCache::new(dtype, batch, heads, context, d),
        }
    }

    /// Self-attention: x [B, T, C] → [B, T, C]. No position looks at padding. With a cache x are the positions after those
    /// that are in it, which they see and join; the padding is then of all positions so far.
    ///
    /// # Panics
    /// Where this is cross-attention, or the padding is of another shape. With a cache: where it is of another shape or has no
    /// room, where this is not causal, or where the tape records, for keys and values come out of a cache as constants.
    pub fn forward_with(&self, tape: &Tape, x: &Var, padding: Option<&Padding>, cache: Option<&mut KvCache>) -> Var {
        let t = x.shape()[1];
        let Some(cache) = cache else {
            let options = Options {
                causal: self.config.causal,
                window: self.config.window,
                mask: padding.map(|padding| padding.mask(x.value(), 0..t)),
                dropout: tape.dropout(self.dropout.p),
                ..Options::default()
            };
            return self.merge(tape, &self.qkv(tape, x, 0).self_attention(self.heads(), &options));
        };
        assert!(!tape.is_recording(), "attention: no gradient flows through a cache, so the tape must not record");
        assert!(self.config.causal, "attention: a cache holds the past, and this attention sees the future too");
        let qkv = self.qkv(tape, x, cache.next_position());
        let options = Options {
            window: self.config.window,
            mask: padding.map(|padding| padding.mask(x.value(), cache.positions_with(t))),
            precision: qkv.precision(),
            ..Options::default()
        };
        self.merge(tape, &Var::constant(cache.attend(qkv.value(), &options)))
    }

    /// The keys and values of another sequence [B, Tk, C of the memory]. No position looks at its padding.
    ///
    /// # Panics
    /// Where this is self-attention, or the padding is of another shape.
    pub fn memory(&self, tape: &Tape, sequence: &Var, padding: Option<&Padding>) -> Memory {
        let Projection::Cross { kv, .. } = &self.projection else {
            panic!("attention: self-attention reads one sequence; make it with AttentionConfig::cross to read another")
        };
        let parts = self.split_heads(&kv.forward(tape, sequence), &[self.config.kv_heads; 2]);
        let k = self.normalised(tape, 1, &parts[0]);
        let mask = padding.map(|padding| padding.mask(sequence.value(), 0..sequence.shape()[1]));
        Memory { k: k.transpose(1, 2), v: parts[1].transpose(1, 2), mask }
    }

    /// Cross-attention: each position of x [B, Tq, C] looks at the whole memory.
    ///
    /// # Panics
    /// Where this is self-attention, or the memory is of another batch.
    pub fn forward_cross(&self, tape: &Tape, x: &Var, memory: &Memory) -> Var {
        let (b, t) = (x.shape()[0], x.shape()[1]);
        let dropout = tape.dropout(self.dropout.p);
        let options = Options { mask: memory.mask.clone(), dropout, ..Options::default() };
        let o = self.queries(tape, x).attention(&memory.k, &memory.v, &options); // [B, H, Tq, D]
        self.merge(tape, &o.transpose(1, 2).reshape(&[b, t, self.config.heads * self.config.head_size()]))
    }

    fn heads(&self) -> Heads {
        Heads { query: self.config.heads, key_value: self.config.kv_heads }
    }

    /// The output [B, T, C] from that of the heads [B, T, H·D].
    fn merge(&self, tape: &Tape, o: &Var) -> Var {
        self.dropout.forward(tape, &self.out.forward(tape, o))
    }

    /// Queries, keys and values of one sequence, [B, T, (H + 2·Hkv)·D], where x begins at position `first`.
    fn qkv(&self, tape: &Tape, x: &Var, first: usize) -> Var {
        let Projection::Own { qkv } = &self.projection else {
            panic!("attention: cross-attention reads two sequences: give it the memory of the other one")
        };
        let packed = qkv.forward(tape, x); // [B, T, C] → [B, T, (H + 2·Hkv)·D]
        if self.qk_norm.is_none() && self.rotary.is_none() {
            return packed; // read where the product has left it
        }
        let Heads { query, key_value } = self.heads();
        let mut by_head = packed.reshape(&self.by_head(&packed));
        if self.qk_norm.is_some() {
            let parts = by_head.split(2, &[query, key_value, key_value]);
            let [q, k] = [0, 1].map(|i| self.normalised(tape, i, &parts[i]));
            by_head = Var::concat(&[&q, &k, &parts[2]], 2);
        }
        if let Some(rotary) = &self.rotary {
            by_head = by_head
                .rope(query + key_value, &rotary.rotation(first..first + x.shape()[1]).to_device(x.value().device()));
        }
        by_head.reshape(packed.shape())
    }

    /// The queries [B, H, Tq, D] of cross-attention.
    fn queries(&self, tape: &Tape, x: &Var) -> Var {
        let Projection::Cross { q, .. } = &self.projection else {
            panic!("attention: self-attention has no memory to read; make it with AttentionConfig::cross")
        };
        let q = q.forward(tape, x);
        self.normalised(tape, 0, &q.reshape(&self.by_head(&q))).transpose(1, 2)
    }

    /// Queries (0) or keys (1) [.., D] after their norm, where there is one.
    fn normalised(&self, tape: &Tape, which: usize, x: &Var) -> Var {
        self.qk_norm.as_ref().map_or_else(|| x.clone(), |norms| norms[which].forward(tape, x))
    }

    /// The parts of a projection that have so many heads each, [B, T, heads, D].
    fn split_heads(&self, projected: &Var, heads: &[usize]) -> Vec<Var> {
        projected.reshape(&self.by_head(projected)).split(2, heads)
    }

    /// The shape [B, T, heads, D] of [B, T, heads·D].
    fn by_head(&self, projected: &Var) -> [usize; 4] {
        let (shape, d) = (projected.shape(), self.config.head_size());
        [shape[0], shape[1], shape[2] / d, d]
    }
}

impl Layer for Attention {
    fn forward(&self, tape: &Tape, x: &Var) -> Var {
        self.forward_with(tape, x, None, None)
    }
}

impl Module for Attention {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        match &self.projection {
            Projection::Own { qkv } => visitor.module("qkv", qkv),
            Projection::Cross { q, kv } => {
                visitor.module("q", q);
                visitor.module("kv", kv);
            }
        }
        if let Some([q, k]) = &self.qk_norm {
            visitor.module("q_norm", q);
            visitor.module("k_norm", k);
        }
        visitor.module("out", &self.out);
    }
}
