//! The sizes of a GPT, and what a token is.

use super::rules::{any, fits, probability, within};
use super::table::{default_of, settings};
use crate::error::{Error, Result};
use crate::parse::{real32, size};
use crate::tokenizer::TokenizerKind;

settings! {
    /// The sizes of a GPT.
    ModelConfig, flags ModelFlags, under "Model";
    stored {
        /// V: distinct tokens; 256 until the text has been read
        vocab_size: usize = 256, within(1, 0x11_0000);
    }
    /// Number of transformer blocks
    #[arg(value_name = "N", value_parser = size)]
    layers: usize = [4, 4, 6], within(1, 1000), fixed;
    /// Attention heads per block; must divide --width
    #[arg(value_name = "N", value_parser = size)]
    heads: usize = [4, 4, 6], within(1, 1 << 16), fixed;
    /// Width of the residual stream, also called embedding size
    #[arg(value_name = "N", value_parser = size)]
    width: usize = [128, 128, 384], within(1, 1 << 20), fixed;
    /// Context length: the most preceding tokens that a prediction can use
    #[arg(value_name = "N", value_parser = size)]
    context: usize = [64, 64, 256], within(1, 1 << 24), fixed;
    /// Dropout probability during training
    #[arg(value_name = "P", value_parser = real32)]
    dropout: f32 = [0.0, 0.0, 0.2], probability, fixed; // without it, large learns a text of 1 MB by heart
    /// Whether linear layers and layer norms have a bias
    #[arg(value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", hide_possible_values = true)]
    bias: bool = false, any, fixed;
}

settings! {
    /// What a token is. `config.json` keeps the whole tokenizer, with its vocabulary.
    TokenizerConfig, flags TokenizerFlags, under "Model";
    stored {}
    /// What a token is: a character of the text; a byte of its UTF-8 encoding; or bpe:512 for 512 tokens that byte pair encoding
    /// learns from the text
    #[arg(value_name = "char|byte|bpe:N")]
    tokenizer: TokenizerKind = (TokenizerKind::Char), TokenizerKind::check, fixed;
}

impl ModelConfig {
    /// D: channels of a head.
    pub fn head_size(&self) -> usize {
        self.width / self.heads
    }

    /// The parameters: V·C token embeddings (shared with the output), T·C positions, and in each block 4·C² for
    /// attention, 8·C² for the feed-forward part and 2·C for two norms, then C for the last norm; biases on top.
    /// Saturates at sizes that no machine has.
    pub fn parameters(&self) -> u128 {
        let [c, t, v, l] = [self.width, self.context, self.vocab_size, self.layers].map(|size| size as u128);
        let biases = if self.bias { 11 * c } else { 0 }; // 2 norms, 3 + 1 in attention, 4 + 1 in feed-forward
        let block = c.saturating_mul(c).saturating_mul(12).saturating_add(2 * c + biases);
        let last = if self.bias { 2 * c } else { c };
        let embeddings = (v + t).saturating_mul(c);
        block.saturating_mul(l).saturating_add(embeddings).saturating_add(last)
    }

    /// That a model of these sizes can be built.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first size that is wrong.
    pub fn validate(&self) -> Result<()> {
        self.check_each()?;
        if !self.width.is_multiple_of(self.heads) {
            let problem =
                format!("does not divide the width {}; choose a width that is a multiple of the heads", self.width);
            return Err(Error::setting("heads", self.heads, problem));
        }
        fits(self.parameters().saturating_mul(4), self.parameters())
    }
}

impl TokenizerConfig {
    /// That the tokenizer can be used.
    ///
    /// # Errors
    /// [`Error::Setting`] for a number of tokens that byte pair encoding cannot have.
    pub fn validate(&self) -> Result<()> {
        self.check_each()
    }
}
