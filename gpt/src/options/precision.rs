//! The number type of products, as it stands on the command line and in `config.json`.
//!
//! In training, `bf16` rounds the operands of every matrix product and of attention; weights, gradients, moments, norms,
//! softmax and loss stay `f32`. The reason is the updates: AdamW changes a weight by about the learning rate, 10⁻³ of it and
//! less, and bf16 has steps of 2⁻⁸, so that a weight kept in it would not move. In `sample` and `eval` nothing is
//! updated, and the weights themselves are kept in bf16, and the keys and values of the past as well: half the memory, and
//! twice the tokens where memory is the limit.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What products are computed from; sums are always `f32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floating point: 24 significant bits
    #[default]
    F32,
    /// 16-bit bfloat16: 8 significant bits and the range of f32
    Bf16,
}

impl Precision {
    /// That of the tape.
    pub fn of_products(self) -> gradus_autograd::Precision {
        match self {
            Precision::F32 => gradus_autograd::Precision::F32,
            Precision::Bf16 => gradus_autograd::Precision::Bf16,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.of_products().fmt(f)
    }
}
