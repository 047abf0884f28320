//! How much memory a training takes, counted tensor by tensor.
//!
//! A tensor that is freed goes to a pool and is used again for one of the same size. So what a training holds is, for each
//! size, the most tensors of that size that are alive at once. These are, with the backward pass in mind, in the forward
//! pass of the last block or the backward pass of it, for L blocks of width C and each of the B·T tokens of a micro-batch:
//!
//! | numbers a token | what | none | cheap | blocks |
//! | --- | --- | --- | --- | --- |
//! | C | inputs of the two parts of each block, outputs of heads; with `none` those of the norms | 5L + 3 | 3L + 3 | L + 6 |
//! | 3·C | queries, keys and values; their gradient | L + 1 | L + 1 | 2 |
//! | 4·C | inputs of the activation; with `none` its outputs; their gradient | 2L + 1 | L + 1 | 2 |
//! | V | logits and their gradient | 2 | 2 | 2 |
//! | 1 | two statistics of each norm, ln Σ eˢ of each of the H heads | L·(H + 4) | L·(H + 4) | H + 4 |
//!
//! Dropout keeps no mask: the backward pass draws it again.

use super::{ModelConfig, TrainConfig};
use crate::recompute::Recompute;

/// The bytes that a training holds at most, but for the program and its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrainingMemory {
    /// Weights, their gradients, and the two moments of each.
    pub parameters: u128,
    /// What the forward pass keeps for the backward pass, and the gradients of it.
    pub activations: u128,
    /// Working memory of the kernels: a packed operand of a product, and sums of its parts.
    pub working: u128,
}

impl TrainingMemory {
    /// All of it.
    pub fn total(&self) -> u128 {
        self.parameters.saturating_add(self.activations).saturating_add(self.working)
    }
}

/// Bytes of a number.
const F32: u128 = 4;

impl TrainConfig {
    /// The bytes that the training of `model` holds at most.
    pub fn memory(&self, model: &ModelConfig) -> TrainingMemory {
        let numbers = TrainingMemory {
            parameters: self.parameter_numbers(model),
            activations: self.tokens_of_batch(model).saturating_mul(self.numbers_a_token(model)),
            working: self.working_numbers(model),
        };
        TrainingMemory {
            parameters: numbers.parameters.saturating_mul(F32),
            activations: numbers.activations.saturating_mul(F32),
            working: numbers.working.saturating_mul(F32),
        }
    }

    /// The bytes that a validation on so many targets adds: its batches have the shape of those of the training, but where
    /// there are fewer windows than a batch has, and for a last window that is shorter. Tensors of other sizes are not in
    /// the pool. Per token these are 16·C in the last block, and V logits.
    pub fn validation_memory(&self, model: &ModelConfig, targets: usize) -> u128 {
        let full = targets / model.context;
        let chosen = full.min(self.eval_batches.saturating_mul(self.batch));
        let short = if chosen == full { targets % model.context } else { 0 };
        let few = if chosen < self.batch { chosen * model.context } else { 0 };
        let [c, v] = [model.width, model.vocab_size].map(|size| size as u128);
        ((few + short) as u128).saturating_mul(16 * c + v).saturating_mul(F32)
    }

    /// B·T.
    fn tokens_of_batch(&self, model: &ModelConfig) -> u128 {
        (self.batch as u128).saturating_mul(model.context as u128)
    }

    /// Weights, gradients and two moments. The embedding, which is the head too, has two gradients at the end of the backward
    /// pass; where gradients are accumulated, those of a block are there twice.
    fn parameter_numbers(&self, model: &ModelConfig) -> u128 {
        let [c, v] = [model.width, model.vocab_size].map(|size| size as u128);
        let accumulated = if self.grad_accum > 1 { 8 * c.saturating_mul(c) } else { 0 };
        let twice = v.saturating_mul(c).saturating_add(accumulated);
        model.parameters().saturating_mul(4).saturating_add(twice)
    }

    /// The table at the top.
    fn numbers_a_token(&self, model: &ModelConfig) -> u128 {
        const IDS_LOSSES_AND_LAST_NORM: u128 = 8;
        let [c, v, l, h] = [model.width, model.vocab_size, model.layers, model.heads].map(|size| size as u128);
        let (one, three, four, blocks) = match self.recompute {
            Recompute::None => (5 * l + 3, l + 1, 2 * l + 1, l),
            Recompute::Cheap => (3 * l + 3, l + 1, l + 1, l),
            Recompute::Blocks => (l + 6, 2, 2, 1),
        };
        c.saturating_mul(one + 3 * three + 4 * four) + 2 * v + blocks.saturating_mul(h + 4) + IDS_LOSSES_AND_LAST_NORM
    }

    /// A product packs one of its operands, two million elements at a time. The gradient of a matrix is a sum over all tokens,
    /// which is cut into parts (`matmul::split_k` of the kernels): up to 16 of a small matrix and 8 of a larger one, none where
    /// it has over a million elements.
    fn working_numbers(&self, model: &ModelConfig) -> u128 {
        let [c, v] = [model.width, model.vocab_size].map(|size| size as u128);
        let tokens = self.tokens_of_batch(model);
        let parts = |rows: u128, columns: u128| match rows.saturating_mul(columns) {
            size if size > 1 << 20 || tokens < 768 || tokens / 4 < rows.min(columns) => 0,
            size => size * (tokens / 192).min(if size > 1 << 16 { 8 } else { 16 }),
        };
        let shapes = [(c, c), (3 * c, c), (4 * c, c), (v, c)];
        let sums = shapes.map(|(rows, columns)| parts(rows, columns)).into_iter().max().unwrap_or(0);
        let packed = shapes.map(|(rows, columns)| rows.saturating_mul(columns)).into_iter().max().unwrap_or(0);
        sums + packed.min(1 << 21)
    }
}
