//! The flags of `gradus tokenizer`.

use crate::{parse::size, tokenizer::bpe::Pattern};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// What can be done with a tokenizer.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum TokenizerCommand {
    /// Learn the tokens of a text by byte pair encoding
    ///
    /// Of a text of more than 8 MiB as much is taken, evenly spread over it.
    Train(TokenizerTrainArgs),
    /// Turn text into token ids
    ///
    /// On a terminal the tokens are shown in colour first, or with bars between them where NO_COLOR is set.
    Encode(EncodeArgs),
    /// Turn token ids into text
    Decode(DecodeArgs),
}

/// The flags of `gradus tokenizer train`.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct TokenizerTrainArgs {
    /// Text file to learn from, UTF-8, or - for standard input
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// Number of tokens: the 256 bytes, the pairs that are learned, and the special ones
    #[arg(long, value_name = "N", value_parser = size, allow_negative_numbers = true)]
    pub vocab_size: usize,
    /// File to write: JSON, or the format of tiktoken where the name ends with .tiktoken
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// How the text is cut into pieces that no token reaches out of
    #[arg(long, default_value = "cl100k")]
    pub pattern: Pattern,
    /// Text that becomes one token where it is asked for, such as "<|endoftext|>"; may be given several times
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub special: Vec<String>,
}

/// Which tokenizer.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct TokenizerArgs {
    /// File of the tokenizer, in JSON or in the format of tiktoken, or the folder of a run
    #[arg(long, value_name = "PATH")]
    pub tokenizer: PathBuf,
    /// How the text is cut into pieces, for a file in the format of tiktoken, which does not say it
    #[arg(long, default_value = "cl100k")]
    pub pattern: Pattern,
}

/// The flags of `gradus tokenizer encode`.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct EncodeArgs {
    /// The tokenizer.
    #[command(flatten)]
    pub tokenizer: TokenizerArgs,
    /// Text file, UTF-8, or - for standard input
    #[arg(long, value_name = "FILE", default_value = "-", conflicts_with = "text")]
    pub data: PathBuf,
    /// The text itself
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub text: Option<String>,
    /// Read the texts of special tokens as those tokens, and not as text like any other
    #[arg(long)]
    pub special: bool,
}

/// The flags of `gradus tokenizer decode`.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct DecodeArgs {
    /// The tokenizer.
    #[command(flatten)]
    pub tokenizer: TokenizerArgs,
    /// Token ids [default: those on standard input, with spaces or commas between them]
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
}
