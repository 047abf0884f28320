//! Plain functions on slices and sizes, made fast one idea at a time.
//!
//! Each operation is a folder: `mod.rs` states the contract (formula, derivative, shapes, cost) and lists the rungs of the
//! ladder; `naive.rs` is the shortest correct code and the oracle in `f64`. A further rung has, as a rule, a file of its
//! name, or two where its backward pass has one of its own. Short rungs share a file: those of a function in
//! [`elementwise`] and [`optimizer`], of decoding, of attention in bf16 and of products with stored bf16; `simd` and
//! `threads` of [`reduce`]. Attention has a folder for its ladder and one for each of the parts that several rungs share.
//!
//! This crate knows neither tensors nor gradient tapes; it is the only one with `unsafe` in it.
//!
//! # The shape alphabet
//! B batch, T time (positions of a sequence), C channels (width), H heads, D head size (C = H·D), V vocabulary,
//! L layers; M, N, K for matrices: (M×K)·(K×N) = M×N.

// The operations, a folder each.
pub mod attention;
pub mod cast;
pub mod cross_entropy;
pub mod dropout;
pub mod elementwise;
pub mod embedding;
pub mod kv_cache;
pub mod matmul;
pub mod norm;
pub mod optimizer;
pub mod reduce;
pub mod rope;
pub mod softmax;

// What they stand on.
pub mod corners;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod float;
pub mod isa;
pub mod ladder;
pub mod memory;
pub mod oracle;
pub mod parallel;
pub mod philox;
mod prefetch;
#[cfg(feature = "cuda")]
pub mod probe;
mod rows;
pub mod scratch;
pub mod simd;
#[cfg(test)]
mod trials;

pub use float::Float;
pub use isa::{Bf16Isa, Isa};
pub use ladder::Rung;
