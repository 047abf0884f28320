//! The other half of a block: each position for itself, four times wider inside.

use super::{BlockConfig, Dropout, Linear};
use crate::init::Init;
use crate::module::{Layer, Module, Visitor};
use gradus_autograd::{Tape, Var};

/// x → dropout(down(gelu(up(x)))) (Vaswani et al. 2017, section 3.3, with GELU for ReLU as in GPT-2).
#[derive(Clone, Debug)]
pub struct FeedForward {
    /// [4·C, C].
    pub up: Linear,
    /// [C, 4·C].
    pub down: Linear,
    /// Of the output.
    pub dropout: Dropout,
}

impl FeedForward {
    /// GPT-2's first values.
    pub fn new(init: &mut Init, config: &BlockConfig) -> FeedForward {
        let BlockConfig { width, bias, dropout, .. } = *config;
        FeedForward {
            up: Linear::new(init, width, 4 * width, bias, config.standard_deviation),
            down: Linear::new(init, 4 * width, width, bias, config.residual_standard_deviation()),
            dropout: Dropout { p: dropout },
        }
    }
}

impl Layer for FeedForward {
    fn forward(&self, tape: &Tape, x: &Var) -> Var {
        let hidden = self.up.forward(tape, x).gelu(); // [B, T, 4·C]
        self.dropout.forward(tape, &self.down.forward(tape, &hidden))
    }
}

impl Module for FeedForward {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.module("up", &self.up);
        visitor.module("down", &self.down);
    }
}
