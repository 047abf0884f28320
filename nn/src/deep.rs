//! A deep network in which norms and residual connections can be put in and left out, to see what each is good for.

use crate::init::Init;
use crate::layers::{
    Activation, BatchNorm, FeedForward, FeedForwardConfig, InvalidConfig, Linear, Norm, NormConfig, NormPlacement,
};
use crate::module::{Layer, Module, Visitor};
use gradus_autograd::{Tape, Var};

/// Which norm a [`Deep`] network has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DeepNorm {
    /// None.
    None,
    /// [`BatchNorm`].
    Batch,
    /// Layer or RMS norm.
    Rows(NormConfig),
}

/// The settings of a [`Deep`] network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeepConfig {
    /// The numbers of an input.
    pub inputs: usize,
    /// C: the channels between the layers.
    pub width: usize,
    /// The hidden units within a layer.
    pub hidden: usize,
    /// The numbers of an answer.
    pub outputs: usize,
    /// How many layers there are.
    pub depth: usize,
    /// Whether a layer adds to its input, or takes its place.
    pub residual: bool,
    /// The norm of each layer.
    pub norm: DeepNorm,
    /// Where it stands.
    pub placement: NormPlacement,
    /// The function within a layer.
    pub activation: Activation,
}

/// x → enter(x), then x → x + f(norm(x)) or x → norm(x + f(x)) for each layer f, a [`FeedForward`] of two products, then
/// leave(x). Without residual connections there is no `x +`. All weights begin with the variance 1 / inputs.
#[derive(Clone, Debug)]
pub struct Deep {
    /// [C, inputs].
    pub enter: Linear,
    /// From the first to the last.
    pub layers: Vec<(Option<AnyNorm>, FeedForward)>,
    /// Before the last product, where norms stand before the layers.
    pub norm: Option<AnyNorm>,
    /// [outputs, C].
    pub leave: Linear,
    config: DeepConfig,
}

/// A norm of a [`Deep`] network.
#[derive(Clone, Debug)]
pub enum AnyNorm {
    /// Over the batch.
    Batch(BatchNorm),
    /// Over each row.
    Rows(Norm),
}

impl AnyNorm {
    fn new(init: &mut Init, config: &DeepConfig) -> Option<AnyNorm> {
        match &config.norm {
            DeepNorm::None => None,
            DeepNorm::Batch => Some(AnyNorm::Batch(BatchNorm::new(init, config.width))),
            DeepNorm::Rows(norm) => Some(AnyNorm::Rows(Norm::new(init, config.width, norm))),
        }
    }
}

impl Deep {
    /// Normally distributed weights and biases of 0.
    ///
    /// # Errors
    /// Where a layer has no channels or no hidden units, or an eps cannot be added.
    pub fn new(init: &mut Init, config: DeepConfig) -> Result<Deep, InvalidConfig> {
        let DeepConfig { inputs, width, hidden, outputs, depth, .. } = config;
        if let DeepNorm::Rows(norm) = &config.norm {
            norm.validate()?;
        }
        let deviation = |inputs: usize| (inputs as f64).powf(-0.5);
        let layer = FeedForwardConfig {
            hidden,
            standard_deviation: deviation(width),
            residual_standard_deviation: deviation(hidden),
            ..FeedForwardConfig::new(width, config.activation)
        };
        layer.validate()?;
        let enter = Linear::new(init, inputs, width, true, deviation(inputs));
        let mut one = || Ok((AnyNorm::new(init, &config), FeedForward::try_new(init, &layer)?));
        let layers = (0..depth).map(|_| one()).collect::<Result<_, InvalidConfig>>()?;
        let norm = (config.placement == NormPlacement::Before).then(|| AnyNorm::new(init, &config)).flatten();
        let leave = Linear::new(init, width, outputs, true, deviation(width));
        Ok(Deep { enter, layers, norm, leave, config })
    }

    fn through(&self, tape: &Tape, x: &Var, norm: Option<&AnyNorm>, layer: &FeedForward) -> Var {
        let normal = |x: &Var| norm.map_or_else(|| x.clone(), |norm| norm.forward(tape, x));
        let plus = |y: Var| if self.config.residual { x + &y } else { y };
        match self.config.placement {
            NormPlacement::Before => plus(layer.forward(tape, &normal(x))),
            NormPlacement::After => normal(&plus(layer.forward(tape, x))),
        }
    }
}

impl Layer for Deep {
    fn forward(&self, tape: &Tape, x: &Var) -> Var {
        let mut x = self.enter.forward(tape, x);
        for (norm, layer) in &self.layers {
            x = self.through(tape, &x, norm.as_ref(), layer);
        }
        if let Some(norm) = &self.norm {
            x = norm.forward(tape, &x);
        }
        self.leave.forward(tape, &x)
    }
}

impl Module for Deep {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.module("enter", &self.enter);
        for (i, (norm, layer)) in self.layers.iter().enumerate() {
            if let Some(norm) = norm {
                visitor.module(&format!("layers.{i}.norm"), norm);
            }
            visitor.module(&format!("layers.{i}"), layer);
        }
        if let Some(norm) = &self.norm {
            visitor.module("norm", norm);
        }
        visitor.module("leave", &self.leave);
    }
}

impl Layer for AnyNorm {
    fn forward(&self, tape: &Tape, x: &Var) -> Var {
        match self {
            AnyNorm::Batch(norm) => norm.forward(tape, x),
            AnyNorm::Rows(norm) => norm.forward(tape, x),
        }
    }
}

impl Module for AnyNorm {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        match self {
            AnyNorm::Batch(norm) => norm.visit(visitor),
            AnyNorm::Rows(norm) => norm.visit(visitor),
        }
    }
}
