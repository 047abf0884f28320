//! The multi-layer perceptron: with one hidden layer it does what no single perceptron can.

use crate::init::Init;
use crate::layers::Linear;
use crate::module::{Layer, Module, Visitor};
use gradus_autograd::{Tape, Var};

/// Linear layers with tanh between them, none after the last.
#[derive(Clone, Debug)]
pub struct Mlp {
    /// From the input to the output.
    pub layers: Vec<Linear>,
}

impl Mlp {
    /// Layers between these sizes, `[2, 16, 1]` for two inputs, 16 hidden units and one output; weights have the
    /// variance 1 / inputs, so that signals keep their size (LeCun et al. 1998, section 4.6).
    ///
    /// # Panics
    /// Where a layer has no inputs.
    pub fn new(init: &mut Init, sizes: &[usize]) -> Mlp {
        let layer = |pair: &[usize]| Linear::new(init, pair[0], pair[1], true, (pair[0] as f64).powf(-0.5));
        Mlp { layers: sizes.windows(2).map(layer).collect() }
    }
}

impl Layer for Mlp {
    fn forward(&self, tape: &Tape, x: &Var) -> Var {
        let mut x = x.clone();
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(tape, &if i == 0 { x } else { x.tanh() });
        }
        x
    }
}

impl Module for Mlp {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        for (i, layer) in self.layers.iter().enumerate() {
            visitor.module(&format!("layers.{i}"), layer);
        }
    }
}
