//! What a user can choose: the flags of the command line, and the settings that a run is made from and saved with.
//!
//! `config` holds the tables of settings, `args` the flags of each command, `settings` what a new and a resumed run make of
//! both. The other files are types of single settings. Nothing here computes anything.

pub mod args;
pub mod config;
pub mod coverage;
pub mod device;
pub mod parse;
pub mod plan;
pub mod play;
pub mod precision;
pub mod preset;
pub mod recompute;
pub mod settings;
pub mod token_args;
pub mod usage;
