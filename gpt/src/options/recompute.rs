//! What the backward pass computes again instead of keeping it in memory (Chen et al. 2016).
//!
//! The gradient of a layer is computed from its inputs and outputs of the forward pass, which therefore stay in memory:
//! 16·C numbers for each token and block of width C. Outputs of norms and activations are 6·C of them, and cheap to compute
//! again from those that stay. If whole blocks are computed again, only the C inputs of each stay, and a step does the forward
//! pass twice. The same kernels run on the same numbers, so the result has the same bits.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What is computed again. It changes memory and time, and no result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Recompute {
    /// Nothing: the most memory
    #[default]
    None,
    /// Outputs of norms and activations
    Cheap,
    /// Whole blocks: the least memory, for one more forward pass
    Blocks,
}

impl Recompute {
    /// Whether outputs of norms and activations are computed again, those in recomputed blocks included.
    pub fn activations(self) -> bool {
        self != Recompute::None
    }

    /// Whether blocks are.
    pub fn blocks(self) -> bool {
        self == Recompute::Blocks
    }
}

impl fmt::Display for Recompute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Recompute::None => "none",
            Recompute::Cheap => "cheap",
            Recompute::Blocks => "blocks",
        })
    }
}
