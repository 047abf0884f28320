//! Tensors: a layout over pooled storage on a device, views that move nothing, and checked operations.
//!
//! Read in this order: [`layout`] (shape, strides, offset: all view algebra), `storage` (memory and its pool),
//! `tensor` (the two put together), `device` (where memory is and what computes), [`ops`] (what can be computed). Nothing here knows gradients.
//!
//! Operators panic with the text of their [`Error`]; `try_` methods and the functions of [`ops`] return it.
#![forbid(unsafe_code)]

mod access;
mod device;
mod dims;
mod dtype;
mod error;
pub mod layout;
pub mod ops;
mod storage;
mod tensor;

pub use device::Device;
pub use dtype::{DType, Element, Precision};
pub use error::{Error, Result};
pub use layout::Layout;
pub use storage::{PoolStats, pool_stats, trim_pool};
pub use tensor::Tensor;
