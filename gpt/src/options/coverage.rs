//! How much of a text an evaluation covers, and the setting of the last validation of a run.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// How much of a part of a text is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// Every target.
    Whole,
    /// About so many targets: the number is rounded up to whole windows of the context, at least two.
    Tokens(usize),
}

/// How much of the validation part the last validation of a run covers: `--final-eval`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FinalEval {
    /// A tenth as many tokens as the run has trained on, and at least [`FinalEval::LEAST`].
    #[default]
    Default,
    /// The whole validation part.
    All,
    /// About so many tokens.
    Tokens(usize),
}

impl FinalEval {
    /// That it covers something.
    ///
    /// # Errors
    /// For 0 tokens.
    pub fn check(&self) -> Result<(), String> {
        if *self == FinalEval::Tokens(0) { Err("must be at least 1 token, or all".into()) } else { Ok(()) }
    }

    /// The fewest tokens by default: they take a moment, and are enough for two digits of the loss.
    pub const LEAST: u128 = 1 << 14;

    /// What is covered after a training on `trained` tokens. Without a backward pass a token takes a third of the time of
    /// training, so a tenth of the tokens takes about 3% of the time.
    pub fn coverage(self, trained: u128) -> Coverage {
        match self {
            FinalEval::Default => {
                Coverage::Tokens(usize::try_from((trained / 10).max(Self::LEAST)).unwrap_or(usize::MAX))
            }
            FinalEval::All => Coverage::Whole,
            FinalEval::Tokens(tokens) => Coverage::Tokens(tokens),
        }
    }
}

impl FromStr for FinalEval {
    type Err = String;

    fn from_str(text: &str) -> Result<FinalEval, String> {
        match text {
            "all" => Ok(FinalEval::All),
            "default" => Ok(FinalEval::Default),
            number => number.parse().map(FinalEval::Tokens).map_err(|_| "give a number of tokens, or all".into()),
        }
    }
}

impl fmt::Display for FinalEval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FinalEval::Default => f.write_str("default"),
            FinalEval::All => f.write_str("all"),
            FinalEval::Tokens(tokens) => write!(f, "{tokens}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_it_is_a_tenth_of_the_training() {
        assert_eq!(FinalEval::Default.coverage(1_536_000), Coverage::Tokens(153_600));
        assert_eq!(FinalEval::Default.coverage(0), Coverage::Tokens(16_384));
        assert_eq!(FinalEval::Default.coverage(u128::MAX), Coverage::Tokens(usize::MAX));
        assert_eq!(FinalEval::All.coverage(0), Coverage::Whole);
        assert_eq!(FinalEval::Tokens(7).coverage(1 << 40), Coverage::Tokens(7));
    }

    #[test]
    fn it_is_read_as_it_is_written() {
        for (text, value) in [("all", FinalEval::All), ("default", FinalEval::Default), ("50", FinalEval::Tokens(50))] {
            assert_eq!((text.parse(), value.to_string()), (Ok(value), text.to_string()));
            let json = serde_json::to_string(&value).unwrap();
            assert_eq!(serde_json::from_str::<FinalEval>(&json).unwrap(), value);
        }
        assert!(["-1", "1e6", "", "some"].iter().all(|text| text.parse::<FinalEval>().is_err()));
    }
}
