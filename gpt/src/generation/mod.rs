//! From the logits of a language model to text: `sampler` draws a token, `generate` goes on from it.

pub mod generate;
pub mod sampler;
