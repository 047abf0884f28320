//! Text from a model, one token at a time: read, choose, and read what was chosen.
//!
//! That is why an answer comes token by token: the model only ever predicts the next one, and what it chose is part of
//! the question for the one after.

use crate::error::Result;
use crate::model::{Gpt, Reader};
use crate::sampler::Sampler;
use crate::tokenizer::Tokenizer;
use gradus_kernels::parallel::keep_awake;

/// A text that is being written.
pub struct Generator<'a> {
    reader: Reader<'a>,
    sampler: Sampler,
    logits: Vec<f32>,
}

impl<'a> Generator<'a> {
    /// Reads the prompt.
    ///
    /// # Panics
    /// Where the prompt is empty, or holds an id that is not in the vocabulary.
    pub fn new(model: &'a Gpt, sampler: Sampler, prompt: &[u32]) -> Generator<'a> {
        let mut reader = Reader::new(model);
        let logits = keep_awake(|| reader.read(prompt));
        Generator { reader, sampler, logits }
    }

    /// The likeliest next tokens with their chances.
    ///
    /// # Errors
    /// Where the logits are not finite.
    pub fn likeliest(&mut self, count: usize) -> Result<&[(u32, f64)]> {
        self.sampler.likeliest(&self.logits, count)
    }

    /// Chooses the next token, and reads it.
    ///
    /// # Errors
    /// Where the logits are not finite.
    pub fn next_token(&mut self) -> Result<u32> {
        let token = self.sampler.sample(&self.logits)?;
        self.logits = keep_awake(|| self.reader.read(&[token]));
        Ok(token)
    }
}

/// Writes `tokens` tokens after the prompt, and hands each piece of text to `show` as soon as there is one.
///
/// # Errors
/// Those of the sampler and of `show`.
pub fn stream(
    generator: &mut Generator<'_>,
    tokenizer: &Tokenizer,
    tokens: usize,
    mut show: impl FnMut(&str) -> Result<()>,
) -> Result<()> {
    let mut decoder = tokenizer.decoder();
    for _ in 0..tokens {
        show(decoder.push(generator.next_token()?)?)?;
    }
    show(decoder.finish())
}
