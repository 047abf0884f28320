//! How a Transformer knows the order of its sequence: attention alone gives every permutation of the keys the same result.
//!
//! - [`SinusoidalPositions`]: fixed sines and cosines, added to the embeddings (2017).
//! - [`LearnedPositions`]: a trained vector for each position, added to the embeddings (BERT, GPT-2). They end at the context.
//! - [`Rotary`]: queries and keys are turned by an angle that grows with the position (Llama, Qwen). Scores then depend on
//!   distances alone, and decoding may go on for ever.
//! - [`Alibi`]: a score loses a fixed amount for each position between query and key (BLOOM).

pub mod alibi;
mod angles;
pub mod learned;
pub mod rotary;
pub mod sinusoidal;

pub use alibi::Alibi;
pub use learned::LearnedPositions;
pub use rotary::{FrequencyScaling, Rotary, RotaryConfig};
pub use sinusoidal::SinusoidalPositions;
