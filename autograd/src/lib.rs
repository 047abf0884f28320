//! Reverse-mode automatic differentiation on an explicit tape.
//!
//! Chapter one is [`scalar`]: the whole idea in under 200 lines, one number at a time. Chapter two is the same with
//! tensors: [`tape`] (what is recorded and how it is played back), [`var`] (a value and its place on a tape), and
//! [`ops`], a file for each family of operations, where a forward pass stands beside its backward pass.
//! [`gradcheck`] holds any of them against central differences, and [`mod@checkpoint`] trades time for memory.
#![forbid(unsafe_code)]

mod agreement;
pub mod checkpoint;
pub mod gradcheck;
mod kept;
pub mod ops;
pub mod parameter;
pub mod scalar;
pub mod tape;
pub mod var;

pub use checkpoint::checkpoint;
pub use gradus_tensor::{DType, Device, Precision, Tensor};
pub use parameter::Parameter;
pub use tape::{Gradients, Tape};
pub use var::Var;

/// The value, or a panic with the text of the error.
#[track_caller]
pub(crate) fn ok<T>(result: gradus_tensor::Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}
