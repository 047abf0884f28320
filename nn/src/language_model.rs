//! What generates: a model that predicts, after every token of a sequence, the next one.
//!
//! Evaluation and sampling know a model by this trait alone, as [`training`](crate::training) knows it by its own. What a
//! model keeps of the tokens it has read is its own affair: keys and values in a Transformer, a state in a recurrent
//! network.

use crate::data::TextBatch;
use crate::module::Module;
use gradus_autograd::ops::cross_entropy::Options;
use gradus_autograd::{DType, Tape, Tensor, Var};

/// A model that predicts the next token.
pub trait LanguageModel: Module {
    /// What is kept of the tokens that have been read, so that one more costs one position and not all of them.
    type Cache;

    /// V: how many tokens the model knows.
    fn vocab_size(&self) -> usize;

    /// The most tokens of one sequence, for a model whose positions end; `None` for one that reads any number, as with
    /// rotary positions.
    fn context(&self) -> Option<usize>;

    /// ids [B, T] → logits [B, T, V]. The logits at position t are those of the token after it, and depend on the ids up
    /// to t alone.
    ///
    /// # Panics
    /// Where T is larger than the context, or an id is not in the vocabulary.
    fn logits(&self, tape: &Tape, ids: &Tensor) -> Var;

    /// A cache that holds nothing, for one sequence.
    fn new_cache(&self) -> Self::Cache;

    /// Makes the cache hold nothing again.
    fn clear(&self, cache: &mut Self::Cache) {
        *cache = self.new_cache();
    }

    /// ids [1, T] after those in the cache, which they join → the logits [1, 1, V] of the token after the last of them: those
    /// that [`LanguageModel::logits`] has there for the whole sequence.
    ///
    /// # Panics
    /// Where the cache has no room, an id is not in the vocabulary, or the tape records.
    fn read(&self, tape: &Tape, ids: &Tensor, cache: &mut Self::Cache) -> Var;

    /// The tape on which a loss is computed outside of training. A model that trains at a lower precision says so here.
    fn evaluation_tape(&self) -> Tape {
        Tape::inference()
    }

    /// The mean cross-entropy of the next tokens of a batch, one number: what such a model is trained on.
    fn next_token_loss(&self, tape: &Tape, batch: &TextBatch) -> Var {
        let logits = self.logits(tape, &batch.ids);
        let targets = batch.targets.to_device(logits.value().device());
        logits.cross_entropy(&targets, Options::default())
    }
}

/// Reads one sequence token by token, with the cache of its model.
pub struct Reader<'a, M: LanguageModel> {
    model: &'a M,
    cache: M::Cache,
    /// The ids in the cache, in order.
    window: Vec<u32>,
}

impl<'a, M: LanguageModel> Reader<'a, M> {
    /// Nothing read so far.
    pub fn new(model: &'a M) -> Reader<'a, M> {
        Reader { model, cache: model.new_cache(), window: Vec::new() }
    }

    /// Reads more ids and returns the logits \[V\] of the one after them.
    ///
    /// Where the model has a context and it is full, the later half of it is read again from position 0, one pass for every
    /// T/2 tokens: learned positions cannot slide.
    ///
    /// # Panics
    /// Where there are no ids, or one is not in the vocabulary.
    pub fn read(&mut self, ids: &[u32]) -> Vec<f32> {
        assert!(!ids.is_empty(), "there is nothing to read");
        match self.model.context() {
            Some(context) if self.window.len() + ids.len() > context => self.read_later_half(ids, context),
            _ => self.extend(ids),
        }
    }

    fn read_later_half(&mut self, ids: &[u32], context: usize) -> Vec<f32> {
        let all: Vec<u32> = self.window.iter().chain(ids).copied().collect();
        let keep = (context / 2).max(1);
        self.window.clear();
        self.model.clear(&mut self.cache);
        self.extend(&all[all.len() - keep..])
    }

    fn extend(&mut self, ids: &[u32]) -> Vec<f32> {
        let logits = self.model.read(&Tape::inference(), &Tensor::from_slice(ids, &[1, ids.len()]), &mut self.cache);
        self.window.extend_from_slice(ids);
        logits.value().to_dtype(DType::F32).to_vec()
    }

    /// The ids that the next token is predicted from.
    pub fn window(&self) -> &[u32] {
        &self.window
    }
}
