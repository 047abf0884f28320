//! The layers of a Transformer, a file each, from the inside out.
//!
//! Every kind of block that the well-known models have is a setting: see [`BlockConfig`]. A model is its embeddings, positions,
//! blocks and head.
//!
//! ```
//! use gradus_autograd::{Tape, Tensor, Var};
//! use gradus_nn::layers::{Block, BlockConfig, RotaryConfig};
//! use gradus_nn::{Init, Layer};
//! let config = BlockConfig::llama(32, 4, 2, 88, RotaryConfig::half_split(10_000.0));
//! let block = Block::new(&mut Init::new(1), &config);
//! let (tape, x) = (Tape::inference(), Var::constant(Tensor::zeros(&[2, 7, 32])));
//! assert_eq!(block.forward(&tape, &x).shape(), [2, 7, 32]);
//! let mut cache = block.attention.new_cache(x.value().dtype(), 2, 7); // grows: positions are rotary
//! assert_eq!(block.forward_cached(&tape, &x, &mut cache).shape(), [2, 7, 32]);
//! ```

pub mod attention;
pub mod batch_norm;
pub mod block;
pub mod dropout;
pub mod embedding;
pub mod feed_forward;
pub mod invalid_config;
pub mod linear;
pub mod norm;
pub mod padding;
pub mod positions;

pub use attention::{Attention, AttentionConfig, Memory, Projection};
pub use batch_norm::BatchNorm;
pub use block::{Block, BlockConfig, BlockInputs, CrossPart, NormPlacement};
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use feed_forward::{Activation, FeedForward, FeedForwardConfig};
pub use gradus_autograd::ops::rope::Pairing;
pub use gradus_tensor::ops::kv_cache::KvCache;
pub use invalid_config::InvalidConfig;
pub use linear::Linear;
pub use norm::{LayerNorm, Norm, NormConfig, RmsNorm};
pub use padding::Padding;
pub use positions::{Alibi, FrequencyScaling, LearnedPositions, Rotary, RotaryConfig, SinusoidalPositions};
