//! The sizes of a decoder, and how many parameters follow from them.

use crate::config::ModelConfig;
use crate::preset::Preset;

/// The sizes of a decoder of the GPT or Llama family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// L.
    pub layers: u64,
    /// H, heads of the queries.
    pub heads: u64,
    /// Heads of keys and values; fewer than H where queries share them (Ainslie et al. 2023).
    pub kv_heads: u64,
    /// C.
    pub width: u64,
    /// The inner width of the feed-forward layer.
    pub feed_forward: u64,
    /// Whether a third matrix gates that layer (SwiGLU, Shazeer 2020).
    pub gated: bool,
    /// V.
    pub vocab_size: u64,
    /// T.
    pub context: u64,
    /// Whether positions are a table of parameters.
    pub learned_positions: bool,
    /// Whether the logits are made with the token embedding.
    pub tied: bool,
    /// Whether linear layers and norms have biases.
    pub bias: bool,
}

/// A published model, or a preset of this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum KnownModel {
    /// The preset demo
    Demo,
    /// The preset small
    Small,
    /// The preset large
    Large,
    /// GPT-2, 124 million parameters (Radford et al. 2019)
    Gpt2,
    /// GPT-3, 175 billion parameters (Brown et al. 2020)
    Gpt3,
    /// Llama 2 with 7 billion parameters (Touvron et al. 2023)
    #[value(name = "llama2-7b")]
    Llama2_7b,
    /// Llama 2 with 70 billion parameters (Touvron et al. 2023)
    #[value(name = "llama2-70b")]
    Llama2_70b,
}

impl KnownModel {
    /// Tokens that the presets are planned with: the characters of tinyshakespeare.
    pub const CHARACTERS: usize = 65;

    /// Its sizes.
    pub fn shape(self) -> Shape {
        let preset =
            |preset: Preset| Shape::of(&ModelConfig { vocab_size: KnownModel::CHARACTERS, ..preset.settings().0 });
        let gpt = |layers, heads, width, context| Shape {
            layers,
            heads,
            kv_heads: heads,
            width,
            feed_forward: 4 * width,
            gated: false,
            vocab_size: 50_257,
            context,
            learned_positions: true,
            tied: true,
            bias: true,
        };
        let llama = |layers, heads, kv_heads, width, feed_forward| Shape {
            kv_heads,
            feed_forward,
            gated: true,
            vocab_size: 32_000,
            learned_positions: false,
            tied: false,
            bias: false,
            ..gpt(layers, heads, width, 4096)
        };
        match self {
            KnownModel::Demo => preset(Preset::Demo),
            KnownModel::Small => preset(Preset::Small),
            KnownModel::Large => preset(Preset::Large),
            KnownModel::Gpt2 => gpt(12, 12, 768, 1024),
            KnownModel::Gpt3 => gpt(96, 96, 12_288, 2048),
            KnownModel::Llama2_7b => llama(32, 32, 32, 4096, 11_008),
            KnownModel::Llama2_70b => llama(80, 64, 8, 8192, 28_672),
        }
    }
}

impl Shape {
    /// Of a GPT of this program.
    pub fn of(model: &ModelConfig) -> Shape {
        Shape {
            layers: model.layers as u64,
            heads: model.heads as u64,
            kv_heads: model.heads as u64,
            width: model.width as u64,
            feed_forward: 4 * model.width as u64,
            gated: false,
            vocab_size: model.vocab_size as u64,
            context: model.context as u64,
            learned_positions: true,
            tied: true,
            bias: model.bias,
        }
    }

    /// Numbers in the matrices of one block that every token is multiplied with: q and the output C·C each, k and v
    /// C·(C·kv_heads/H) each, and two or three matrices C·F of the feed-forward layer.
    pub fn block_matrices(&self) -> u64 {
        let kv_width = self.width / self.heads * self.kv_heads;
        let attention = 2 * self.width * self.width + 2 * self.width * kv_width;
        attention + if self.gated { 3 } else { 2 } * self.width * self.feed_forward
    }

    /// Norms and biases of one block.
    fn block_vectors(&self) -> u64 {
        let kv_width = self.width / self.heads * self.kv_heads;
        let biases = 2 * self.width + 2 * kv_width + self.feed_forward * if self.gated { 2 } else { 1 } + self.width;
        2 * self.width + if self.bias { 2 * self.width + biases } else { 0 }
    }

    /// All parameters.
    pub fn parameters(&self) -> u64 {
        let embeddings = self.vocab_size * self.width * if self.tied { 1 } else { 2 };
        let positions = if self.learned_positions { self.context * self.width } else { 0 };
        let last_norm = self.width * if self.bias { 2 } else { 1 };
        embeddings + positions + last_norm + self.layers * (self.block_matrices() + self.block_vectors())
    }

    /// Parameters that a token is multiplied with: all matrices but the lookup tables, the logits included.
    pub fn multiplied(&self) -> u64 {
        self.layers * self.block_matrices() + self.vocab_size * self.width
    }

    /// FLOPs of one token forward, in a sequence of T tokens: 2 for each number that it is multiplied with, and for attention
    /// 2·C for each key that it sees in q·kᵀ and again in the weighted sum. Under the causal mask a token sees (T + 1)/2 keys in the
    /// mean.
    pub fn forward_flops(&self) -> f64 {
        2.0 * self.multiplied() as f64 + self.attention_flops()
    }

    /// The part of [`forward_flops`](Shape::forward_flops) that is attention between tokens.
    pub fn attention_flops(&self) -> f64 {
        4.0 * (self.layers * self.width) as f64 * (self.context + 1) as f64 / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_models_have_their_published_numbers_of_parameters() {
        for (model, parameters) in [
            (KnownModel::Gpt2, 124_439_808),
            (KnownModel::Llama2_7b, 6_738_415_616),
            (KnownModel::Llama2_70b, 68_976_648_192),
        ] {
            assert_eq!(model.shape().parameters(), parameters, "{model:?}");
        }
        let gpt_3 = KnownModel::Gpt3.shape().parameters() as f64;
        assert!((gpt_3 / 174.6e9 - 1.0).abs() < 1e-3, "{gpt_3}"); // table D.1 of its paper
    }

    #[test]
    fn presets_have_the_parameters_of_their_models() {
        for (model, preset) in
            [(KnownModel::Demo, Preset::Demo), (KnownModel::Small, Preset::Small), (KnownModel::Large, Preset::Large)]
        {
            let config = ModelConfig { vocab_size: KnownModel::CHARACTERS, ..preset.settings().0 };
            assert_eq!(u128::from(model.shape().parameters()), config.parameters(), "{model:?}");
        }
    }
}
