//! Text on its way into batches: where it comes from, what its tokens are, and which windows of it a model is given.
//!
//! Read `tokenizer`, then `dataset`, then `windows`. Nothing here knows a model.

pub mod corpus;
pub mod dataset;
pub mod tokenizer;
pub mod windows;
