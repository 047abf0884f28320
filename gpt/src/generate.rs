//! Text from a model, one token at a time.
//!
//! The model reads the tokens so far and predicts the next one. The token that is drawn becomes part of what it reads
//! for the one after; so a text is generated token by token.

use crate::error::Result;
use crate::model::{Gpt, Reader};
use crate::sampler::{Candidate, Sampler};
use crate::tokenizer::Tokenizer;
use gradus_kernels::parallel::with_spinning_pool;

/// A text that is being generated.
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
        let logits = with_spinning_pool(|| reader.read(prompt));
        Generator { reader, sampler, logits }
    }

    /// Every token that may come next with its probabilities, the likeliest first.
    ///
    /// # Errors
    /// Where the logits are not finite.
    pub fn candidates(&mut self) -> Result<Vec<Candidate>> {
        self.sampler.candidates(&self.logits)
    }

    /// Draws the next token, and reads it.
    ///
    /// # Errors
    /// Where the logits are not finite.
    pub fn next_token(&mut self) -> Result<u32> {
        let token = self.sampler.sample(&self.logits)?;
        self.logits = with_spinning_pool(|| self.reader.read(&[token]));
        Ok(token)
    }
}

/// Generates `tokens` tokens after the prompt, and hands each piece of text to `show` as soon as it is complete.
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
