//! The sizes of a whole model, and what a step of its training and a token of its text need.

use super::Work;
use gradus_gpt::{config::ModelConfig, precision::Precision, preset::Preset};
use serde::{Deserialize, Serialize};

/// The sizes of a GPT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // L, H, C, T and V of the shape alphabet, and whether there are biases
pub struct Gpt {
    pub layers: usize,
    pub heads: usize,
    pub width: usize,
    pub context: usize,
    pub vocab: usize,
    pub bias: bool,
}

impl Gpt {
    /// GPT-2 with 124 million parameters (Radford et al. 2019).
    pub const GPT2: Gpt = Gpt { layers: 12, heads: 12, width: 768, context: 1024, vocab: 50257, bias: true };

    /// The sizes of a preset, with the 65 characters of tinyshakespeare.
    pub fn of(preset: Preset) -> Gpt {
        let ModelConfig { layers, heads, width, context, bias, .. } = preset.settings().0;
        Gpt { layers, heads, width, context, vocab: 65, bias }
    }

    /// The same as settings of a model.
    pub fn config(self, dropout: f32) -> ModelConfig {
        let Gpt { layers, heads, width, context, vocab, bias } = self;
        ModelConfig { layers, heads, width, context, vocab_size: vocab, dropout, bias }
    }

    /// All of its parameters.
    pub fn parameters(self) -> u64 {
        self.config(0.0).parameters() as u64
    }

    /// The parameters that every token is multiplied with: all but positions, biases and norms.
    fn weights(self) -> u64 {
        (12 * self.width * self.width * self.layers + self.vocab * self.width) as u64
    }

    /// The FLOPs of the products and of the causal half of attention, forward and backward; gradients and the moments of
    /// AdamW are read and written once.
    pub fn training_step(self, batch: usize) -> Work {
        let Gpt { layers, width, context, .. } = self;
        let products = 6 * self.weights() * (batch * context) as u64; // forward, and two products as large backward
        let attention = 14 * (batch * context * context * width / 2 * layers) as u64;
        let parameters = self.parameters();
        Work { flops: products + attention, read: 16 * parameters, written: 12 * parameters, updated: 12 * parameters }
    }

    /// Every weight is read once, and the keys and values of the tokens before: of half of the `tokens`, on the average.
    /// In bf16 either has half the bytes.
    pub fn token(self, tokens: usize, weights: Precision, cache: Precision) -> Work {
        let Gpt { layers, width, vocab, .. } = self;
        let position = (2 * layers * width) as u64; // a key and a value in every layer
        let past = position * tokens as u64 / 2;
        let [weight, key] = [weights, cache].map(|precision| if precision == Precision::Bf16 { 2 } else { 4 });
        Work {
            flops: 2 * (self.weights() + past),
            read: weight * self.weights() + key * past,
            written: key * position + 4 * vocab as u64,
            updated: 0,
        }
    }

    /// L4 H4 C128 T64 V65
    pub(super) fn sizes(self) -> String {
        let Gpt { layers, heads, width, context, vocab, bias } = self;
        format!("L{layers} H{heads} C{width} T{context} V{vocab}{}", if bias { ", biases" } else { "" })
    }
}
