//! A character GPT: text, settings, training, checkpoints, generation, and the command line around them.
//!
//! This crate computes nothing itself; it says what is computed, on what, and what becomes of it. Read `tokenizer` and
//! `dataset` for the way of a text into batches, `config` and `preset` for what a model is made of, `checkpoint` for
//! what is left of it on the disk, and `sampler` for the way back from numbers to text.
#![forbid(unsafe_code)]

// Text.
pub mod corpus;
pub mod dataset;
pub mod sampler;
pub mod tokenizer;

// Settings.
pub mod args;
pub mod config;
pub mod coverage;
pub mod parse;
pub mod precision;
pub mod preset;
pub mod recompute;
pub mod settings;

// Files and pictures.
pub mod best;
pub mod checkpoint;
pub mod files;
pub mod metrics;
pub mod plot;
pub mod run_folder;
pub mod weights_file;

// The model.
pub mod evaluation;
pub mod generate;
pub mod model;
pub mod summary;
pub mod trainer;
pub mod windows;

// The program.
pub mod clock;
pub mod commands;
pub mod error;
pub mod interrupt;
pub mod memory;
pub mod output;
pub mod overfitting;
pub mod progress;
pub mod shell;
pub mod threads;
pub mod training;
pub mod usage;

pub use error::{Error, Result};
