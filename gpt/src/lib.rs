//! A GPT on text: data, settings, training, checkpoints, generation, and the command line around them.
//!
//! This crate computes nothing itself; it says what is computed, on what data, and what becomes of it. Each folder has one
//! subject and says at its head what is in it. Read [`text`] for the way of a text into batches, [`options`] for what a model
//! is made of, [`model`] for the model, [`learning`] for its training, [`run`] for the files, and [`generation`] for the way
//! back from numbers to text; [`plan`] for what a model costs. [`commands`] has a file for each command of the program.
//!
//! Modules are named without their folder: `gradus_gpt::dataset` is `gradus_gpt::text::dataset`.
#![forbid(unsafe_code)]

pub mod commands;
pub mod error;
pub mod generation;
pub mod learning;
pub mod model;
pub mod options;
pub mod plan;
pub mod plot;
pub mod process;
pub mod run;
pub mod summary;
pub mod text;

pub use error::{Error, Result};
pub use generation::{generate, sampler};
pub use learning::{clock, evaluation, overfitting, trainer, training};
pub use options::{
    args, config, coverage, device, parse, play, precision, preset, recompute, settings, token_args, usage,
};
pub use process::{device_failure, interrupt, memory, output, progress, shell, threads};
pub use run::{best, checkpoint, files, metrics, run_folder, weights_file};
pub use text::{corpus, dataset, tokenizer, windows};
