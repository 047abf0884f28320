//! The other half of a block: each position for itself, wider inside.
//!
//! Why wider: attention only mixes what is there; here new features are made, each hidden unit from all channels. A gate lets
//! one half of the hidden units decide how much of the other half passes.

use super::invalid_config::{check_deviations, check_dropout, require};
use super::{Dropout, InvalidConfig, Linear};
use crate::init::Init;
use crate::module::{Layer, Module, Visitor};
use gradus_autograd::{Tape, Var};

/// The function between the two products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// max(x, 0): the Transformer of 2017.
    Relu,
    /// x·Φ(x) with the error function: nanoGPT, BERT.
    Gelu,
    /// GELU in its form with tanh: GPT-2.
    GeluTanh,
    /// x·σ(x): Llama, Qwen.
    Silu,
}

impl Activation {
    /// The function of each element.
    pub fn apply(self, x: &Var) -> Var {
        match self {
            Activation::Relu => x.relu(),
            Activation::Gelu => x.gelu(),
            Activation::GeluTanh => x.gelu_tanh(),
            Activation::Silu => x.silu(),
        }
    }
}

/// The settings of a [`FeedForward`] layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FeedForwardConfig {
    /// C.
    pub width: usize,
    /// The hidden units, of each half where there is a gate.
    pub hidden: usize,
    /// The function between the products.
    pub activation: Activation,
    /// Whether the hidden units are multiplied with those of a gate.
    pub gated: bool,
    /// Whether the linear layers have a bias.
    pub bias: bool,
    /// The dropout of the output.
    pub dropout: f32,
    /// Of the first weights.
    pub standard_deviation: f64,
    /// Of the first weights of the output, which adds to a residual stream.
    pub residual_standard_deviation: f64,
}

impl FeedForwardConfig {
    /// 4·C hidden units, as since 2017, biases, no dropout, GPT-2's first weights of deviation 0.02.
    pub fn new(width: usize, activation: Activation) -> FeedForwardConfig {
        FeedForwardConfig {
            width,
            hidden: 4 * width,
            activation,
            gated: false,
            bias: true,
            dropout: 0.0,
            standard_deviation: 0.02,
            residual_standard_deviation: 0.02,
        }
    }

    /// SwiGLU: SiLU in the gate, and no biases (Shazeer, "GLU variants improve Transformer", 2020).
    pub fn swiglu(width: usize, hidden: usize) -> FeedForwardConfig {
        FeedForwardConfig { hidden, gated: true, bias: false, ..FeedForwardConfig::new(width, Activation::Silu) }
    }

    /// Fails where the settings make no layer.
    ///
    /// # Errors
    /// One line that says which.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        let FeedForwardConfig { width, hidden, .. } = *self;
        require(width > 0 && hidden > 0, || {
            format!("a feed-forward layer needs sizes above 0: width {width}, {hidden} hidden units")
        })?;
        check_dropout(self.dropout)?;
        check_deviations(&[self.standard_deviation, self.residual_standard_deviation])
    }
}

/// x → dropout(down(f(up(x)))), or with a gate dropout(down(f(gate(x))∘up(x))) (Vaswani et al. 2017, section 3.3; Shazeer 2020).
#[derive(Clone, Debug)]
pub struct FeedForward {
    /// [hidden, C], where there is a gate.
    pub gate: Option<Linear>,
    /// [hidden, C].
    pub up: Linear,
    /// [C, hidden].
    pub down: Linear,
    /// The function between the products.
    pub activation: Activation,
    /// Of the output.
    pub dropout: Dropout,
}

impl FeedForward {
    /// Normally distributed weights and biases of 0.
    ///
    /// # Errors
    /// Where the settings make no layer.
    pub fn try_new(init: &mut Init, config: &FeedForwardConfig) -> Result<FeedForward, InvalidConfig> {
        config.validate()?;
        let FeedForwardConfig { width, hidden, activation, gated, bias, dropout, standard_deviation, .. } = *config;
        let mut widen = || Linear::new(init, width, hidden, bias, standard_deviation);
        let (gate, up) = (gated.then(&mut widen), widen());
        let down = Linear::new(init, hidden, width, bias, config.residual_standard_deviation);
        Ok(FeedForward { gate, up, down, activation, dropout: Dropout { p: dropout } })
    }

    /// [`FeedForward::try_new`] that panics with the text of its error.
    ///
    /// # Panics
    /// Where the settings make no layer.
    #[track_caller]
    pub fn new(init: &mut Init, config: &FeedForwardConfig) -> FeedForward {
        FeedForward::try_new(init, config).unwrap_or_else(|error| panic!("{error}"))
    }
}

impl Layer for FeedForward {
    fn forward(&self, tape: &Tape, x: &Var) -> Var {
        let up = self.up.forward(tape, x); // [B, T, hidden]
        let hidden = match &self.gate {
            None => self.activation.apply(&up),
            Some(gate) => &self.activation.apply(&gate.forward(tape, x)) * &up,
        };
        self.dropout.forward(tape, &self.down.forward(tape, &hidden))
    }
}

impl Module for FeedForward {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        if let Some(gate) = &self.gate {
            visitor.module("gate", gate);
        }
        visitor.module("up", &self.up);
        visitor.module("down", &self.down);
    }
}
