//! Text as a language model is trained on it: the target of each token is the token after it.

use gradus_autograd::Tensor;

/// Token ids and, for each, the one after it.
#[derive(Clone, Debug)]
pub struct TextBatch {
    /// What is read, [B, T].
    pub ids: Tensor,
    /// What is to be predicted, [B, T].
    pub targets: Tensor,
}
