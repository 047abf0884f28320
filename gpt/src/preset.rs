//! Three sets of settings that are known to work, from two minutes on a laptop to an evening.

use crate::{
    config::{ModelConfig, TrainConfig},
    dataset::Source,
    final_eval::FinalEval,
    precision::Precision,
    tokenizer::TokenizerKind,
};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A set of settings; every flag of `gradus train` changes one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// 0.8 million parameters, 2000 steps: two minutes at most on two cores
    #[default]
    Demo,
    /// 0.8 million parameters, 2000 steps, smaller batches: nanoGPT's shakespeare_char for a CPU
    Small,
    /// 10.7 million parameters, 5000 steps, dropout: nanoGPT's shakespeare_char for a GPU
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
            final_eval: FinalEval::Default,
            best: false,
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

    /// The value of the setting that `config.json` calls `name`, as it is written there; `None` where no preset sets it.
    fn value_of(self, name: &str) -> Option<String> {
        let (model, train, tokenizer) = self.settings();
        let model = serde_json::to_string(&model).ok()?; // as text: a dropout of 0.2 in f32 is then 0.2
        let train = serde_json::to_string(&train).ok()?;
        let tokenizer = format!(r#"{{"tokenizer":{}}}"#, serde_json::to_string(&tokenizer).ok()?);
        let value = [model, train, tokenizer].iter().find_map(|text| {
            let settings: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).ok()?;
            settings.get(name).filter(|value| name != "preset" && !value.is_object()).cloned()
        })?;
        Some(value.as_str().map_or_else(|| value.to_string(), str::to_string))
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

/// Adds to the help of a flag of `gradus train` the value that it has in each preset; leaves a flag alone that is no
/// setting of one.
pub fn with_defaults(flag: clap::Arg) -> clap::Arg {
    let values: Option<Vec<(&str, String)>> = Preset::value_variants()
        .iter()
        .map(|preset| Some((preset.name(), preset.value_of(flag.get_id().as_str())?)))
        .collect();
    match (values, flag.get_help()) {
        (Some(values), Some(help)) => {
            let text = format!("{help} [default: {}]", summary(&values));
            flag.help(text)
        }
        _ => flag,
    }
}

/// The one value that all presets share, or the value of each.
fn summary(values: &[(&str, String)]) -> String {
    match values {
        [(_, first), others @ ..] if others.iter().all(|(_, value)| value == first) => first.clone(),
        _ => values.iter().map(|(preset, value)| format!("{preset} {value}")).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_the_settings() {
        let value = |name| Preset::Large.value_of(name);
        assert_eq!(value("lr"), Some("0.001".into()));
        assert_eq!(value("dropout"), Some("0.2".into()));
        assert_eq!(value("bias"), Some("false".into()));
        assert_eq!(value("tokenizer"), Some("char".into()));
        assert_eq!(value("precision"), Some("f32".into()));
        assert_eq!([value("threads"), value("data"), value("preset")], [None, None, None]);
    }

    #[test]
    fn values_that_all_presets_share_are_said_once() {
        let values = |texts: [&str; 2]| summary(&[("demo", texts[0].into()), ("small", texts[1].into())]);
        assert_eq!(values(["7", "7"]), "7");
        assert_eq!(values(["7", "8"]), "demo 7, small 8");
    }

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
