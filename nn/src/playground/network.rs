//! The network: features, hidden layers, one output.

use super::Feature;
use crate::init::Init;
use crate::layers::Linear;
use crate::module::{Layer, Module, Visitor};
use gradus_autograd::{DType, Tape, Tensor, Var};

/// The function between two layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// max(z, 0)
    Relu,
    /// tanh z
    Tanh,
    /// 1 / (1 + e^(−z))
    Sigmoid,
    /// z
    Linear,
}

impl Activation {
    /// All of them.
    pub const ALL: [Activation; 4] = [Activation::Relu, Activation::Tanh, Activation::Sigmoid, Activation::Linear];

    /// Its name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Activation::Relu => "relu",
            Activation::Tanh => "tanh",
            Activation::Sigmoid => "sigmoid",
            Activation::Linear => "linear",
        }
    }

    fn of(self, z: &Var) -> Var {
        match self {
            Activation::Relu => z.relu(),
            Activation::Tanh => z.tanh(),
            Activation::Sigmoid => z.sigmoid(),
            Activation::Linear => z.clone(),
        }
    }
}

/// a₀ = features, aₗ = f(Wₗ·aₗ₋₁ + bₗ), and the answer g(w·a + b), in which g is tanh where points are classified, and nothing
/// where a function is learned.
#[derive(Clone, Debug)]
pub struct PlaneNetwork {
    /// What it is told, in order.
    pub features: Vec<Feature>,
    /// The hidden layers and the output.
    pub layers: Vec<Linear>,
    activation: Activation,
    classifies: bool,
}

impl PlaneNetwork {
    /// With `hidden` units in each hidden layer. Weights are normally distributed with the variance 1 / inputs, for ReLU
    /// 2 / inputs (He et al. 2015, eq. 10), because it passes half of what comes; biases are 0.
    pub fn new(
        seed: u64,
        features: &[Feature],
        hidden: &[usize],
        activation: Activation,
        classifies: bool,
    ) -> PlaneNetwork {
        let mut init = Init::with_dtype(seed, DType::F64);
        let sizes: Vec<usize> = [features.len()].iter().chain(hidden).chain(&[1]).copied().collect();
        let gain = if activation == Activation::Relu { 2.0 } else { 1.0 };
        let layer =
            |pair: &[usize]| Linear::new(&mut init, pair[0], pair[1], true, (gain / pair[0].max(1) as f64).sqrt());
        let layers = sizes.windows(2).map(layer).collect();
        PlaneNetwork { features: features.to_vec(), layers, activation, classifies }
    }

    /// The features of these points, [N, F].
    pub fn inputs(&self, points: &[[f32; 2]]) -> Tensor {
        let values: Vec<f64> =
            points.iter().flat_map(|at| self.features.iter().map(|feature| feature.of(*at))).collect();
        Tensor::from_slice(&values, &[points.len(), self.features.len()])
    }

    /// What every unit answers for these points: for each hidden layer and the output [N, units].
    pub fn units(&self, points: &[[f32; 2]]) -> Vec<Tensor> {
        let all = self.activations(&Tape::inference(), &Var::constant(self.inputs(points)));
        all.iter().map(|a| a.value().contiguous()).collect()
    }

    /// What the network answers for these points.
    pub fn answers(&self, points: &[[f32; 2]]) -> Vec<f64> {
        self.forward(&Tape::inference(), &Var::constant(self.inputs(points))).value().to_vec()
    }

    fn activations(&self, tape: &Tape, x: &Var) -> Vec<Var> {
        let mut all: Vec<Var> = Vec::with_capacity(self.layers.len());
        for (i, layer) in self.layers.iter().enumerate() {
            let z = layer.forward(tape, all.last().unwrap_or(x));
            all.push(match i + 1 == self.layers.len() {
                false => self.activation.of(&z),
                true if self.classifies => z.tanh(),
                true => z,
            });
        }
        all
    }
}

impl Layer for PlaneNetwork {
    fn forward(&self, tape: &Tape, x: &Var) -> Var {
        self.activations(tape, x).pop().expect("a network has an output")
    }
}

impl Module for PlaneNetwork {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        for (i, layer) in self.layers.iter().enumerate() {
            visitor.module(&format!("layers.{i}"), layer);
        }
    }
}
