//! Models that are no GPT, through the trainer, checkpoints, evaluation, generation and metrics that the GPT uses.

mod classifier;
mod llama;
