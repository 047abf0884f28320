//! The differentiable operations, a file for each family: the forward pass beside its backward pass.
//!
//! A new operation is one file here and one line in [`registry`]. The tests check the gradient of every operation in
//! the registry, and that no operation of this crate is missing there. An operation may as well be defined in another
//! crate: it implements [`Backward`](crate::tape::Backward), is recorded with [`record`](crate::var::record), and is
//! checked by [`Op::check`].

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

use crate::gradcheck::Op;

/// Every differentiable operation of this crate.
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
    .copied()
}
