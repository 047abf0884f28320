//! The layers of a Transformer, a file each, from the inside out.

pub mod attention;
pub mod block;
pub mod dropout;
pub mod embedding;
pub mod feed_forward;
pub mod linear;
pub mod norm;

pub use attention::MultiHeadAttention;
pub use block::{Block, BlockConfig};
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use feed_forward::FeedForward;
pub use gradus_tensor::ops::kv_cache::KvCache;
pub use linear::Linear;
pub use norm::{LayerNorm, RmsNorm};
