//! What it takes to run a trained model.

use super::Shape;

/// What follows from the sizes of a model and the bytes of a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InferenceCost {
    /// Bytes of the file of parameters.
    pub file_bytes: f64,
    /// Bytes that a token leaves in the cache: a key and a value for each kv head of each layer.
    pub cache_bytes_per_token: f64,
    /// FLOPs of a token with a full context before it.
    pub flops_per_token: f64,
}

impl InferenceCost {
    /// For numbers of so many bytes: 2 for bf16, 4 for `f32`.
    pub fn of(shape: &Shape, bytes: f64) -> InferenceCost {
        let head_size = (shape.width / shape.heads) as f64;
        InferenceCost {
            file_bytes: shape.parameters() as f64 * bytes,
            cache_bytes_per_token: 2.0 * (shape.layers * shape.kv_heads) as f64 * head_size * bytes,
            flops_per_token: 2.0 * shape.multiplied() as f64
                + 4.0 * (shape.layers * shape.width * shape.context) as f64,
        }
    }

    /// The most tokens a second for one reader: for each, all parameters and the cache of `context` tokens come from memory
    /// once.
    pub fn tokens_per_second(&self, bandwidth: f64, context: f64) -> f64 {
        bandwidth / (self.file_bytes + context * self.cache_bytes_per_token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::KnownModel;

    #[test]
    fn the_two_files_of_llama_2_70b_take_140_gigabytes() {
        let cost = InferenceCost::of(&KnownModel::Llama2_70b.shape(), 2.0);
        assert!((cost.file_bytes / 140e9 - 1.0).abs() < 0.02, "{}", cost.file_bytes);
        assert_eq!(cost.cache_bytes_per_token, 2.0 * 80.0 * 8.0 * 128.0 * 2.0); // 320 KiB
        assert!((cost.tokens_per_second(2.039e12, 0.0) / 14.78 - 1.0).abs() < 0.01);
        assert!(cost.tokens_per_second(2.039e12, 4096.0) < cost.tokens_per_second(2.039e12, 0.0));
    }
}
