//! Layer norm and RMS norm, with their learned scales.

use crate::init::Init;
use crate::module::{Layer, Module, Visitor};
use gradus_autograd::{Parameter, Tape, Var};

/// Mean 0 and variance 1 for each row, then a learned scale and, where asked for, a learned shift.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    /// The scale, \[C\].
    pub weight: Parameter,
    /// The shift, \[C\].
    pub bias: Option<Parameter>,
    /// Added to the variance.
    pub eps: f32,
}

impl LayerNorm {
    /// Scale 1, shift 0, eps 1e-5.
    pub fn new(init: &mut Init, width: usize, bias: bool) -> LayerNorm {
        LayerNorm { weight: init.ones(&[width]), bias: bias.then(|| init.zeros(&[width])), eps: 1e-5 }
    }
}

impl Layer for LayerNorm {
    fn forward(&self, tape: &Tape, x: &Var) -> Var {
        let bias = self.bias.as_ref().map(|bias| tape.parameter(bias));
        x.layer_norm(Some(&tape.parameter(&self.weight)), bias.as_ref(), self.eps)
    }
}

impl Module for LayerNorm {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.parameter("weight", &self.weight);
        visitor.optional("bias", self.bias.as_ref());
    }
}

/// Root mean square 1 for each row, then a learned scale: layer norm without the mean.
#[derive(Clone, Debug)]
pub struct RmsNorm {
    /// The scale, \[C\].
    pub weight: Parameter,
    /// Added to the mean square.
    pub eps: f32,
}

impl RmsNorm {
    /// Scale 1, eps 1e-5.
    pub fn new(init: &mut Init, width: usize) -> RmsNorm {
        RmsNorm { weight: init.ones(&[width]), eps: 1e-5 }
    }
}

impl Layer for RmsNorm {
    fn forward(&self, tape: &Tape, x: &Var) -> Var {
        x.rms_norm(Some(&tape.parameter(&self.weight)), self.eps)
    }
}

impl Module for RmsNorm {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.parameter("weight", &self.weight);
    }
}
