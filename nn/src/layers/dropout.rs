//! Dropout as a layer: it acts on a training tape and is the identity elsewhere.

use crate::module::{Layer, Module, Visitor};
use gradus_autograd::{Tape, Var};

/// Drops each element with probability `p` during training, and scales the others by 1 / (1 − p).
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    /// The probability, in [0, 1).
    pub p: f32,
}

impl Layer for Dropout {
    fn forward(&self, tape: &Tape, x: &Var) -> Var {
        x.dropout(tape.dropout(self.p))
    }
}

impl Module for Dropout {
    fn visit(&self, _: &mut Visitor<'_>) {}
}
