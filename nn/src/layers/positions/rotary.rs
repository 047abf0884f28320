//! Rotary positions: queries and keys are turned, and nothing is added to the embeddings.

use super::angles::Angles;
use crate::layers::InvalidConfig;
use crate::layers::invalid_config::require;
use gradus_autograd::DType;
pub use gradus_autograd::ops::rope::{Pairing, Rotation};
use std::f64::consts::TAU;
use std::ops::Range;

/// How fast each pair of channels turns, and which two channels are a pair.
///
/// ```
/// use gradus_nn::layers::{FrequencyScaling, RotaryConfig};
/// let llama_3 = RotaryConfig {
///     scaling: FrequencyScaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, context: 8192 },
///     ..RotaryConfig::half_split(500_000.0)
/// };
/// let frequencies = llama_3.frequencies(128);
/// assert_eq!(frequencies[0], 1.0); // a full turn takes 6.3 positions: as it was
/// assert_eq!(frequencies[63], 500_000_f64.powf(-126.0 / 128.0) / 8.0); // over 8192: eight times slower
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RotaryConfig {
    /// Pair i of R/2 turns by θᵢ = base^(−2i/R) with every position (Su et al. 2021, section 3.2.2): 10000 in the paper.
    pub base: f64,
    /// Which two channels make a pair: weights trained with one pairing are wrong with the other.
    pub pairing: Pairing,
    /// R, how many channels of a head turn, the first ones; all where none are given.
    pub channels: Option<usize>,
    /// How the frequencies are changed for sequences longer than those of the first training.
    pub scaling: FrequencyScaling,
}

/// A change of the frequencies θᵢ of a trained model, by which it reads longer sequences.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FrequencyScaling {
    /// None.
    None,
    /// θ/factor: as if the positions stood closer together (Chen et al., "Extending context window of large language models via
    /// positional interpolation", 2023).
    Linear {
        /// How much longer the sequences may be.
        factor: f64,
    },
    /// Llama 3.1's (Grattafiori et al., "The Llama 3 herd of models", 2024): pairs that turn at least `high` times within
    /// `context` positions keep θ, pairs that turn at most `low` times take θ/factor, and between them the two are mixed:
    ///
    /// ```text
    /// turns = context·θ/2π,   share = (turns − low)/(high − low),   θ' = (1 − share)·θ/factor + share·θ
    /// ```
    Llama3 {
        /// By how much the slow pairs become slower.
        factor: f64,
        /// Turns within `context` at and below which θ is divided by the whole factor.
        low: f64,
        /// Turns within `context` at and above which θ stays.
        high: f64,
        /// The length of the sequences of the first training.
        context: usize,
    },
}

impl RotaryConfig {
    /// Pairs of channels i and i + R/2, as in GPT-NeoX and Hugging Face's Llama and Qwen.
    pub fn half_split(base: f64) -> RotaryConfig {
        RotaryConfig { base, pairing: Pairing::HalfSplit, channels: None, scaling: FrequencyScaling::None }
    }

    /// Pairs of neighbouring channels, as in the paper, GPT-J and llama2.c.
    pub fn interleaved(base: f64) -> RotaryConfig {
        RotaryConfig { pairing: Pairing::Interleaved, ..RotaryConfig::half_split(base) }
    }

    /// Fails where it does not fit heads of this size.
    ///
    /// # Errors
    /// Where the channels that turn are odd in number or more than a head has, or the base or the scaling is no number that
    /// gives frequencies above 0.
    pub fn validate(&self, head_size: usize) -> Result<(), InvalidConfig> {
        let channels = self.channels.unwrap_or(head_size);
        require(channels.is_multiple_of(2), || {
            format!("rotary positions turn pairs of channels: {channels} of a head of {head_size} are odd in number")
        })?;
        require(channels <= head_size, || {
            format!("rotary positions cannot turn {channels} channels of a head of {head_size}")
        })?;
        let positive = |x: f64| x.is_finite() && x > 0.0;
        require(positive(self.base), || format!("the rotary base {} is not above 0", self.base))?;
        match self.scaling {
            FrequencyScaling::None => Ok(()),
            FrequencyScaling::Linear { factor } => {
                require(positive(factor), || format!("the rotary factor {factor} is not above 0"))
            }
            FrequencyScaling::Llama3 { factor, low, high, context } => {
                require(positive(factor), || format!("the rotary factor {factor} is not above 0"))?;
                require(positive(low) && high.is_finite() && low < high && context > 0, || {
                    format!("rotary frequencies cannot be scaled between {low} and {high} turns of {context} positions")
                })
            }
        }
    }

    /// θᵢ for heads of this size, in radians a position.
    pub fn frequencies(&self, head_size: usize) -> Vec<f64> {
        let channels = self.channels.unwrap_or(head_size);
        let frequency = |i: usize| self.base.powf(-((2 * i) as f64) / channels as f64);
        (0..channels / 2).map(|i| self.scaling.apply(frequency(i))).collect()
    }
}

impl FrequencyScaling {
    /// θ' of one frequency θ.
    pub fn apply(self, frequency: f64) -> f64 {
        match self {
            FrequencyScaling::None => frequency,
            FrequencyScaling::Linear { factor } => frequency / factor,
            FrequencyScaling::Llama3 { factor, low, high, context } => {
                let turns = context as f64 * frequency / TAU;
                let share = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                (1.0 - share) * (frequency / factor) + share * frequency
            }
        }
    }
}

/// Turns the heads of queries and keys: the scores of two positions then depend on their distance alone.
#[derive(Clone, Debug)]
pub struct Rotary {
    angles: Angles,
    pairing: Pairing,
}

impl Rotary {
    /// For heads of this size and activations of this type.
    ///
    /// # Errors
    /// As [`RotaryConfig::validate`].
    pub fn new(config: &RotaryConfig, head_size: usize, dtype: DType) -> Result<Rotary, InvalidConfig> {
        config.validate(head_size)?;
        Ok(Rotary { angles: Angles::new(config.frequencies(head_size), dtype), pairing: config.pairing })
    }

    /// The angles of these positions: an argument of `Var::rope`.
    pub fn rotation(&self, positions: Range<usize>) -> Rotation {
        let [cos, sin] = self.angles.cos_sin(positions);
        Rotation { cos, sin, pairing: self.pairing }
    }
}
