//! The files of a run: whose the folder is, how a checkpoint gets into it, and what was measured on the way.
//!
//! `files` is the layer that every write goes through. `run_folder` says which files belong to a run, `checkpoint` saves any
//! model in training.

pub mod best;
pub mod checkpoint;
pub mod files;
pub mod metrics;
pub mod run_folder;
pub mod weights_file;
