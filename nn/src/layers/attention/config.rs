//! The settings of an attention layer.

use crate::layers::invalid_config::{check_deviations, check_dropout, check_eps, require};
use crate::layers::{InvalidConfig, RotaryConfig};

/// Which attention: the kinds that models have are settings of one layer.
///
/// ```
/// use gradus_nn::layers::{AttentionConfig, RotaryConfig};
/// let llama = AttentionConfig {
///     kv_heads: 2,
///     qkv_bias: false,
///     out_bias: false,
///     rotary: Some(RotaryConfig::half_split(10_000.0)),
///     ..AttentionConfig::causal(64, 8)
/// };
/// llama.validate().unwrap();
/// let wrong = AttentionConfig { kv_heads: 3, ..llama };
/// assert_eq!(wrong.validate().unwrap_err().to_string(), "3 heads of keys and values do not divide the 8 heads of queries");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionConfig {
    /// C: the channels of the sequence of the queries, and of the output.
    pub width: usize,
    /// H: the heads of queries.
    pub heads: usize,
    /// Hkv: the heads of keys and of values, each of which serves H/Hkv heads of queries (Ainslie et al. 2023).
    pub kv_heads: usize,
    /// D: the channels of a head; C/H where none are given.
    pub head_size: Option<usize>,
    /// Where keys and values come from another sequence: the channels of that one.
    pub memory_width: Option<usize>,
    /// Whether a position sees itself and earlier ones only.
    pub causal: bool,
    /// How many positions a position sees, itself and those before it; causal attention alone has a window.
    pub window: Option<usize>,
    /// Whether queries, keys and values have a bias.
    pub qkv_bias: bool,
    /// Whether the output has a bias.
    pub out_bias: bool,
    /// The eps of RMS norms over the channels of each head of queries and keys, where there are such norms (Qwen3).
    pub qk_norm: Option<f32>,
    /// Rotary positions, where there are some.
    pub rotary: Option<RotaryConfig>,
    /// The dropout of the probabilities and of the output.
    pub dropout: f32,
    /// Of the first weights of queries, keys and values.
    pub standard_deviation: f64,
    /// Of the first weights of the output, which adds to a residual stream.
    pub residual_standard_deviation: f64,
}

impl AttentionConfig {
    /// A position sees itself and earlier ones: GPT. Biases, no dropout, GPT-2's first weights of deviation 0.02.
    pub fn causal(width: usize, heads: usize) -> AttentionConfig {
        AttentionConfig { causal: true, ..AttentionConfig::bidirectional(width, heads) }
    }

    /// A position sees all positions: BERT, and the encoder of 2017.
    pub fn bidirectional(width: usize, heads: usize) -> AttentionConfig {
        AttentionConfig {
            width,
            heads,
            kv_heads: heads,
            head_size: None,
            memory_width: None,
            causal: false,
            window: None,
            qkv_bias: true,
            out_bias: true,
            qk_norm: None,
            rotary: None,
            dropout: 0.0,
            standard_deviation: 0.02,
            residual_standard_deviation: 0.02,
        }
    }

    /// A position sees all positions of another sequence, of `memory_width` channels: the decoder of 2017.
    pub fn cross(width: usize, heads: usize, memory_width: usize) -> AttentionConfig {
        AttentionConfig { memory_width: Some(memory_width), ..AttentionConfig::bidirectional(width, heads) }
    }

    /// D.
    pub fn head_size(&self) -> usize {
        self.head_size.unwrap_or(self.width / self.heads.max(1))
    }

    /// Fails where the settings do not fit each other.
    ///
    /// # Errors
    /// One line that names both sides.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        let AttentionConfig { width, heads, kv_heads, .. } = *self;
        require(
            width > 0 && heads > 0 && kv_heads > 0 && self.head_size != Some(0) && self.memory_width != Some(0),
            || {
                format!(
                    "attention needs sizes above 0: width {width}, {heads} heads of queries, {kv_heads} of keys and values, \
                 head size {:?}, memory width {:?}",
                    self.head_size, self.memory_width
                )
            },
        )?;
        require(self.head_size.is_some() || width.is_multiple_of(heads), || {
            format!("{heads} heads do not divide the width {width}: set the head size, or another number of heads")
        })?;
        require(heads.is_multiple_of(kv_heads), || {
            format!("{kv_heads} heads of keys and values do not divide the {heads} heads of queries")
        })?;
        require(self.window.is_none_or(|window| window > 0 && self.causal), || {
            format!(
                "a window of {} positions needs causal attention and at least 1 position",
                self.window.unwrap_or_default()
            )
        })?;
        require(self.memory_width.is_none() || !self.causal, || {
            "cross-attention sees another sequence as a whole: it cannot be causal".into()
        })?;
        require(self.memory_width.is_none() || self.rotary.is_none(), || {
            "rotary positions are distances within one sequence: cross-attention reads two".into()
        })?;
        self.rotary.as_ref().map_or(Ok(()), |rotary| rotary.validate(self.head_size()))?;
        self.qk_norm.map_or(Ok(()), check_eps)?;
        check_dropout(self.dropout)?;
        check_deviations(&[self.standard_deviation, self.residual_standard_deviation])
    }
}
