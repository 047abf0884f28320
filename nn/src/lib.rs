//! nn
pub mod data;
pub mod perceptron;
