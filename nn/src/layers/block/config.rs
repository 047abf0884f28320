//! The settings of a block, and those of well-known models.

use crate::layers::invalid_config::require;
use crate::layers::{Activation, AttentionConfig, FeedForwardConfig, InvalidConfig, NormConfig, RotaryConfig};

/// Where the norms of a block stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormPlacement {
    /// x + f(norm(x)): the residual stream runs past the norms untouched, so a gradient reaches every layer without going
    /// through one (GPT-2, Llama).
    Before,
    /// norm(x + f(x)): 2017 and BERT. Deep stacks need a long warm-up to train (Xiong et al. 2020).
    After,
}

/// The settings of a [`Block`](super::Block). What a constructor does not set can be set by name.
///
/// ```
/// use gradus_nn::layers::{Activation, BlockConfig, FeedForwardConfig};
/// let gpt_2 = BlockConfig {
///     feed_forward: FeedForwardConfig::new(768, Activation::GeluTanh),
///     ..BlockConfig::gpt(768, 12)
/// };
/// gpt_2.with_dropout(0.1).with_initial_weights(0.02, 12).validate().unwrap();
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct BlockConfig {
    /// Attention within the sequence.
    pub attention: AttentionConfig,
    /// Attention to another sequence, in the decoder of an encoder–decoder.
    pub cross_attention: Option<AttentionConfig>,
    /// The norm of each part.
    pub norm: NormConfig,
    /// Where it stands.
    pub placement: NormPlacement,
    /// The feed-forward layer.
    pub feed_forward: FeedForwardConfig,
}

impl BlockConfig {
    /// nanoGPT's: causal, layer norms before each part, exact GELU, biases.
    pub fn gpt(width: usize, heads: usize) -> BlockConfig {
        BlockConfig {
            attention: AttentionConfig::causal(width, heads),
            cross_attention: None,
            norm: NormConfig::Layer { bias: true, eps: 1e-5 },
            placement: NormPlacement::Before,
            feed_forward: FeedForwardConfig::new(width, Activation::Gelu),
        }
    }

    /// Llama's: causal, grouped heads, rotary positions, RMS norms before each part, SwiGLU, no biases.
    pub fn llama(width: usize, heads: usize, kv_heads: usize, hidden: usize, rotary: RotaryConfig) -> BlockConfig {
        let attention = AttentionConfig { kv_heads, rotary: Some(rotary), ..AttentionConfig::causal(width, heads) };
        BlockConfig {
            attention,
            norm: NormConfig::Rms { eps: 1e-5 },
            feed_forward: FeedForwardConfig::swiglu(width, hidden),
            ..BlockConfig::gpt(width, heads)
        }
        .with_bias(false)
    }

    /// BERT's: every position sees all, layer norms after each part, exact GELU, biases.
    pub fn bert(width: usize, heads: usize) -> BlockConfig {
        BlockConfig {
            attention: AttentionConfig::bidirectional(width, heads),
            norm: NormConfig::Layer { bias: true, eps: 1e-12 },
            placement: NormPlacement::After,
            ..BlockConfig::gpt(width, heads)
        }
    }

    /// The encoder of 2017: every position sees all, layer norms after each part, ReLU, biases.
    pub fn encoder(width: usize, heads: usize) -> BlockConfig {
        BlockConfig {
            norm: NormConfig::Layer { bias: true, eps: 1e-5 },
            feed_forward: FeedForwardConfig::new(width, Activation::Relu),
            ..BlockConfig::bert(width, heads)
        }
    }

    /// The decoder of 2017: causal, then cross-attention to an encoder of the same width, otherwise as its encoder.
    pub fn decoder(width: usize, heads: usize) -> BlockConfig {
        BlockConfig {
            attention: AttentionConfig::causal(width, heads),
            cross_attention: Some(AttentionConfig::cross(width, heads, width)),
            ..BlockConfig::encoder(width, heads)
        }
    }

    fn attentions(&mut self) -> impl Iterator<Item = &mut AttentionConfig> {
        std::iter::once(&mut self.attention).chain(&mut self.cross_attention)
    }

    /// The same with or without biases in every linear layer and layer norm.
    pub fn with_bias(mut self, bias: bool) -> BlockConfig {
        self.attentions().for_each(|attention| (attention.qkv_bias, attention.out_bias) = (bias, bias));
        self.feed_forward.bias = bias;
        if let NormConfig::Layer { bias: own, .. } = &mut self.norm {
            *own = bias;
        }
        self
    }

    /// The same with this probability of every dropout.
    pub fn with_dropout(mut self, p: f32) -> BlockConfig {
        self.attentions().for_each(|attention| attention.dropout = p);
        self.feed_forward.dropout = p;
        self
    }

    /// The same with first weights of this standard deviation, in a model of so many blocks: n·L layers add to the residual
    /// stream, two or three from each block, and first weights scaled by 1/√(n·L) keep the variance of their sum (GPT-2, section
    /// 2.3).
    pub fn with_initial_weights(mut self, standard_deviation: f64, layers: usize) -> BlockConfig {
        let parts = 2.0 + f64::from(u8::from(self.cross_attention.is_some()));
        let residual = standard_deviation / (parts * layers as f64).sqrt();
        self.attentions().for_each(|attention| {
            (attention.standard_deviation, attention.residual_standard_deviation) = (standard_deviation, residual);
        });
        self.feed_forward.standard_deviation = standard_deviation;
        self.feed_forward.residual_standard_deviation = residual;
        self
    }

    /// Fails where the settings do not fit each other.
    ///
    /// # Errors
    /// One line that names both sides.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        self.attention.validate()?;
        self.norm.validate()?;
        self.feed_forward.validate()?;
        let width = self.attention.width;
        require(self.attention.memory_width.is_none(), || {
            "the attention of a block reads its own sequence: another one is for its cross-attention".into()
        })?;
        require(self.feed_forward.width == width, || {
            format!("the feed-forward layer has the width {}, the attention {width}", self.feed_forward.width)
        })?;
        let Some(cross) = &self.cross_attention else { return Ok(()) };
        cross.validate()?;
        require(cross.memory_width.is_some(), || {
            "the cross-attention of a block needs the width of the sequence that it reads".into()
        })?;
        require(cross.width == width, || {
            format!("the cross-attention has the width {}, the attention {width}", cross.width)
        })
    }
}
