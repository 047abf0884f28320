//! The step of an optimiser: parameters and their state, updated in place in one pass.
//!
//! - [`adamw`](fn@adamw): AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019), in PyTorch's
//!   order of operations;
//! - [`sgd`](fn@sgd): stochastic gradient descent with momentum, by PyTorch's rule;
//! - [`sum_of_squares`]: what the global norm of the gradients is made of; clipping to a norm is a factor
//!   (`grad_scale`) on the gradient as the step reads it, so that no pass goes into the clipping itself.
//!
//! All of it is a few operations an element, so memory is the limit: AdamW moves 28 bytes an element (p, g, m, v in; p, m, v
//! out), SGD 20, the norm 4. The gain of one fused pass over a chain of tensor operations is a factor of about three.
//!
//! Each has a ladder of the same three rungs: naive (the specification), simd, threads.

pub mod adamw;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod naive;
pub mod norm;
pub mod sgd;
#[cfg(test)]
mod tests;

pub use adamw::{ADAMW_RUNGS, AdamW, adamw};
pub use norm::{NORM_RUNGS, sum_of_squares, sum_of_squares_to};
pub use sgd::{SGD_RUNGS, Sgd, sgd};

/// Elements of a task, from the length alone.
fn per_task(len: usize) -> usize {
    crate::parallel::items_per_task(len, 2)
}
