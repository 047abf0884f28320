//! The linear layer: a matrix product and a bias.

use crate::init::Init;
use crate::module::{Layer, Module, Visitor};
use gradus_autograd::{Parameter, Tape, Var};

/// y = x·Wᵀ + b, with W \[out, in\] as PyTorch keeps it.
#[derive(Clone, Debug)]
pub struct Linear {
    /// W, \[out, in\].
    pub weight: Parameter,
    /// b, \[out\].
    pub bias: Option<Parameter>,
}

impl Linear {
    /// Normally distributed weights, and a bias of zeros where `bias` is set.
    pub fn new(init: &mut Init, inputs: usize, outputs: usize, bias: bool, standard_deviation: f64) -> Linear {
        Linear {
            weight: init.normal(&[outputs, inputs], standard_deviation),
            bias: bias.then(|| init.zeros(&[outputs])),
        }
    }
}

impl Layer for Linear {
    fn forward(&self, tape: &Tape, x: &Var) -> Var {
        let bias = self.bias.as_ref().map(|bias| tape.parameter(bias));
        x.linear(&tape.parameter(&self.weight), bias.as_ref())
    }
}

impl Module for Linear {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.parameter("weight", &self.weight);
        visitor.optional("bias", self.bias.as_ref());
    }
}
