//! autograd
pub mod scalar;
