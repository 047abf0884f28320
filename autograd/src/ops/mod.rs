//! The differentiable operations, a file for each family: the forward pass beside its backward pass.
//!
//! A new operation is one file here and one line in [`registry`]. What stands in the registry is gradient-checked by
//! the tests, and what does not stand there cannot be recorded.

pub mod attention;
pub mod cross_entropy;
pub mod dropout;
pub mod elementwise;
pub mod embedding;
pub mod matmul;
pub mod norm;
pub mod reduce;
pub mod rope;
pub mod shape;
pub mod softmax;

use crate::gradcheck::Case;

/// A differentiable operation: its name on the tape, what it computes, and where its gradient is to be checked.
pub struct Op {
    /// The name that its [`Backward`](crate::tape::Backward) gives.
    pub name: &'static str,
    /// What it computes.
    pub formula: &'static str,
    /// Functions and inputs for [`gradcheck`](crate::gradcheck::gradcheck): broadcasting, views, odd and empty sizes.
    pub cases: fn() -> Vec<Case>,
}

/// Every differentiable operation.
pub fn registry() -> impl Iterator<Item = &'static Op> {
    [
        attention::OPS,
        crate::checkpoint::OPS,
        cross_entropy::OPS,
        dropout::OPS,
        elementwise::OPS,
        embedding::OPS,
        matmul::OPS,
        norm::OPS,
        reduce::OPS,
        rope::OPS,
        shape::OPS,
        softmax::OPS,
    ]
    .into_iter()
    .flatten()
}

/// The operation of this name.
pub fn find(name: &str) -> Option<&'static Op> {
    registry().find(|op| op.name == name)
}
