//! Three sets of settings that are known to work, from two minutes on a laptop to an evening.

use crate::{
    config::{ModelConfig, TrainConfig},
    dataset::Source,
    precision::Precision,
    tokenizer::TokenizerKind,
};
use serde::{Deserialize, Serialize};

/// A set of settings; every flag of `gradus train` changes one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Two minutes at most on two cores: enough to see words and indented code appear
    #[default]
    Demo,
    /// nanoGPT's shakespeare_char for a CPU: 0.8 million parameters, 2000 steps
    Small,
    /// nanoGPT's shakespeare_char for a GPU: 10.7 million parameters, 5000 steps, dropout 0.2
    Large,
}

impl Preset {
    /// The model, the training and the tokenizer. The vocabulary is not known before the text has been read:
    /// `vocab_size` is 256 until then.
    pub fn settings(self) -> (ModelConfig, TrainConfig, TokenizerKind) {
        let small_model =
            ModelConfig { layers: 4, heads: 4, width: 128, context: 64, vocab_size: 256, dropout: 0.0, bias: false };
        let small = TrainConfig {
            preset: Preset::Small,
            data: Source::default(),
            seed: 1337, // nanoGPT's
            steps: 2000,
            batch: 12,
            grad_accum: 1,
            lr: 1e-3,
            min_lr: 1e-4,
            warmup: 100,
            weight_decay: 0.1,
            beta1: 0.9,
            beta2: 0.99, // and not 0.999 or 0.95: a batch has few tokens, so the average must be a long one
            eps: 1e-8,
            clip: 1.0,
            precision: Precision::F32,
            eval_every: 250,
            eval_batches: 20,
            log_every: 10,
        };
        let (model, train) = match self {
            // A somewhat larger batch: two thirds of the two minutes that it may take on two cores.
            Preset::Demo => (
                small_model,
                TrainConfig { preset: self, batch: 16, steps: 2000, eval_every: 250, eval_batches: 10, ..small },
            ),
            Preset::Small => (small_model, small),
            // Ten times as many parameters on the same 1.1 MB: without dropout it learns the text by heart.
            Preset::Large => (
                ModelConfig { layers: 6, heads: 6, width: 384, context: 256, dropout: 0.2, ..small_model },
                TrainConfig { preset: self, batch: 64, steps: 5000, eval_batches: 200, ..small },
            ),
        };
        (model, train, TokenizerKind::Char)
    }

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Preset::Demo => "demo",
            Preset::Small => "small",
            Preset::Large => "large",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn every_preset_is_valid_and_knows_its_name() {
        for &preset in Preset::value_variants() {
            let (model, train, _) = preset.settings();
            train.validate(&model).unwrap();
            assert_eq!(train.preset, preset);
            assert_eq!(Preset::from_str(preset.name(), false), Ok(preset));
            assert!(train.warmup <= train.steps);
            assert_eq!(train.min_lr, train.lr / 10.0, "--lr alone takes min-lr along by this rule");
        }
    }
}
