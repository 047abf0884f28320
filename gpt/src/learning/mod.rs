//! Training and evaluation of a language model on a text.
//!
//! `trainer` makes the steps, `evaluation` measures the loss, `training` is the loop around both, which `gradus train` runs.

pub mod clock;
pub mod evaluation;
pub mod overfitting;
pub mod trainer;
pub mod training;
