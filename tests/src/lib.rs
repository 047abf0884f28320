//! What the tests that cross crates share: numbers that PyTorch computed, comparisons that say what is wrong, and small
//! models. The tests themselves are in `tests/`, a file for each promise.
#![forbid(unsafe_code)]

pub mod compare;
pub mod device;
pub mod fixture;
pub mod isa;
pub mod models;

/// The Rust of the README, which runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

/// The Rust of the Chinese README.
#[cfg(doctest)]
#[doc = include_str!("../../README.zh-CN.md")]
pub struct ReadmeInChinese;

/// The Rust of the README of `tensor`.
#[cfg(doctest)]
#[doc = include_str!("../../tensor/README.md")]
pub struct ReadmeOfTensor;

/// The Rust of the README of `autograd`.
#[cfg(doctest)]
#[doc = include_str!("../../autograd/README.md")]
pub struct ReadmeOfAutograd;
