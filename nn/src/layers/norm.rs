//! Layer norm and RMS norm, with their learned scales, and the choice between them.

use super::InvalidConfig;
use super::invalid_config::check_eps;
use crate::init::Init;
use crate::module::{Layer, Module, Visitor};
use gradus_autograd::{Parameter, Tape, Var};

/// Mean 0 and variance 1 for each row, then a learned scale and, where configured, a learned bias (Ba et al. 2016).
#[derive(Clone, Debug)]
pub struct LayerNorm {
    /// The scale, \[C\].
    pub weight: Parameter,
    /// The bias, \[C\].
    pub bias: Option<Parameter>,
    /// Added to the variance.
    pub eps: f32,
}

impl LayerNorm {
    /// Scale 1, bias 0, eps 1e-5.
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

/// Root mean square 1 for each row, then a learned scale: layer norm without the mean (Zhang and Sennrich 2019).
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

/// Which norm, and what it adds to the variance or the mean square.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NormConfig {
    /// [`LayerNorm`].
    Layer {
        /// Whether it has a bias.
        bias: bool,
        /// Added to the variance: 1e-5 in GPT-2 and the Transformer of 2017, 1e-12 in BERT.
        eps: f32,
    },
    /// [`RmsNorm`].
    Rms {
        /// Added to the mean square: 1e-5 or 1e-6 in Llama and Qwen.
        eps: f32,
    },
}

impl NormConfig {
    /// Fails where eps cannot be added.
    ///
    /// # Errors
    /// Where it is negative or not finite.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        match *self {
            NormConfig::Layer { eps, .. } | NormConfig::Rms { eps } => check_eps(eps),
        }
    }
}

/// A norm of either kind. Its parameters have the names that they have in the norm itself.
#[derive(Clone, Debug)]
pub enum Norm {
    /// Layer norm.
    Layer(LayerNorm),
    /// RMS norm.
    Rms(RmsNorm),
}

impl Norm {
    /// Scale 1, bias 0. The settings must have been validated.
    pub fn new(init: &mut Init, width: usize, config: &NormConfig) -> Norm {
        match *config {
            NormConfig::Layer { bias, eps } => Norm::Layer(LayerNorm { eps, ..LayerNorm::new(init, width, bias) }),
            NormConfig::Rms { eps } => Norm::Rms(RmsNorm { eps, ..RmsNorm::new(init, width) }),
        }
    }
}

impl Layer for Norm {
    fn forward(&self, tape: &Tape, x: &Var) -> Var {
        match self {
            Norm::Layer(norm) => norm.forward(tape, x),
            Norm::Rms(norm) => norm.forward(tape, x),
        }
    }
}

impl Module for Norm {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        match self {
            Norm::Layer(norm) => norm.visit(visitor),
            Norm::Rms(norm) => norm.visit(visitor),
        }
    }
}
