//! Text as a language model is trained on it: the target of each token is the token after it.

use gradus_autograd::Tensor;

/// The target of a token that no loss counts; no vocabulary is so large.
pub const IGNORED: u32 = u32::MAX;

/// Token ids and, for each, the one after it.
#[derive(Clone, Debug)]
pub struct TextBatch {
    /// What is read, [B, T].
    pub ids: Tensor,
    /// What is to be predicted, [B, T].
    pub targets: Tensor,
}
