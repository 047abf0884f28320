//! The sizes of a model, the settings of a run, and `config.json`, which keeps both beside the weights.
//!
//! A file of weights is a list of numbers. What makes a model of it is the other file: how many layers and heads, what
//! token 17 stands for, and how far the learning rate has come by step 500.

mod memory;
mod model;
mod rules;
mod table;
mod train;

use crate::{
    dataset::Fingerprint,
    error::{Error, Result},
    files::{self, FileSystem},
    preset::Preset,
    run_folder::ownership,
    tokenizer::{Tokenizer, TokenizerKind},
};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::{fs, path::Path};

pub use memory::TrainingMemory;
pub use model::{ModelConfig, ModelFlags, TokenizerConfig, TokenizerFlags};
pub use rules::MOST_MEMORY;
pub(crate) use table::fixed;
pub use train::{TrainConfig, TrainFlags};

/// The version of the layout of `config.json`.
pub const FORMAT: u32 = 1;

pub use crate::run_folder::names::CONFIG as FILE;

/// All that `config.json` holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// [`FORMAT`].
    pub format: u32,
    /// The sizes of the model.
    pub model: ModelConfig,
    /// How the model was, or is being, trained.
    pub train: TrainConfig,
    /// What the tokens mean; last, because the vocabulary may be long.
    pub tokenizer: Tokenizer,
}

impl RunConfig {
    /// What `config.json` says, after a check that reading it gives the same settings: JSON knows no infinity, so not
    /// every value can be written.
    ///
    /// # Errors
    /// [`Error::Damaged`] with the path of the file in `dir` that would have been written.
    pub fn to_json(&self, dir: &Path) -> Result<String> {
        let unreadable = |error| Error::damaged(&dir.join(FILE), format!("these settings cannot be saved: {error}"));
        let text = serde_json::to_string_pretty(self).map_err(unreadable)? + "\n";
        let again: RunConfig = serde_json::from_str(&text).map_err(unreadable)?;
        if again == *self { Ok(text) } else { Err(Error::damaged(&dir.join(FILE), "these settings cannot be saved")) }
    }

    /// Writes `config.json` into `dir`.
    ///
    /// # Errors
    /// Those of [`RunConfig::to_json`]; [`Error::Foreign`] where the file of another program is in the way;
    /// [`Error::Io`].
    pub fn save(&self, files: &dyn FileSystem, dir: &Path) -> Result<()> {
        let (path, text) = (dir.join(FILE), self.to_json(dir)?);
        ownership::check(&path)?;
        files::write(files, &path, text.as_bytes())
    }

    /// All that decides what the weights compute, in words. It stands beside the weights too, so that a configuration
    /// that belongs to others is noticed where all shapes happen to fit.
    pub fn meaning(&self) -> String {
        let ModelConfig { layers, heads, width, context, vocab_size, bias, dropout: _ } = self.model;
        let tokens = serde_json::to_string(&self.tokenizer).unwrap_or_default(); // characters can always be written
        let kind = match self.tokenizer.kind() {
            kind @ TokenizerKind::Bpe(_) => format!("{kind} "),
            TokenizerKind::Char | TokenizerKind::Byte => String::new(), // as earlier versions have it
        };
        format!(
            "layers {layers}, heads {heads}, width {width}, context {context}, vocab_size {vocab_size}, bias {bias}, \
             tokenizer {kind}{:016x}",
            Fingerprint::default().and(tokens.as_bytes()).hash
        )
    }

    /// Reads `config.json` in `dir` and checks that it makes sense.
    ///
    /// # Errors
    /// [`Error::NoCheckpoint`] without the file, [`Error::Format`] for one of a newer program, [`Error::Damaged`] for a
    /// file that says something else.
    pub fn load(dir: &Path) -> Result<RunConfig> {
        /// Read before the rest, which a newer format may have more of.
        #[derive(Deserialize)]
        struct Version {
            format: u64,
        }
        let path = dir.join(FILE);
        let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::NoCheckpoint { dir: dir.to_path_buf(), file: FILE },
            std::io::ErrorKind::InvalidData => Error::damaged(&path, "not UTF-8 text"),
            _ => Error::io("read", &path)(error),
        })?;
        if let Ok(Version { format: found }) = serde_json::from_str(&text)
            && found != u64::from(FORMAT)
        {
            return Err(Error::Format { path, found, known: FORMAT.into() });
        }
        let config: RunConfig = serde_json::from_str(&text).map_err(|error| Error::damaged(&path, error))?;
        config.train.validate(&config.model).map_err(|error| Error::damaged(&path, error))?;
        let (model, tokenizer) = (config.model.vocab_size, config.tokenizer.vocab_size());
        if model != tokenizer {
            let kind = config.tokenizer.kind();
            let problem = format!(
                "the tokenizer ({kind}) does not fit the model: vocab_size is {model}, but the vocabulary has {tokenizer} tokens"
            );
            return Err(Error::damaged(&path, problem));
        }
        Ok(config)
    }
}

impl Preset {
    /// The model, the training and the tokenizer. The vocabulary is not known before the text has been read:
    /// `vocab_size` is 256 until then.
    pub fn settings(self) -> (ModelConfig, TrainConfig, TokenizerKind) {
        (ModelConfig::of(self), TrainConfig::of(self), TokenizerConfig::of(self).tokenizer)
    }

    /// The default of the flag `name`; `None` where it is the flag of no setting.
    fn default_of(self, name: &str) -> Option<String> {
        let model = ModelConfig::of(self).text_of(name);
        model.or_else(|| TrainConfig::of(self).text_of(name)).or_else(|| TokenizerConfig::of(self).text_of(name))
    }
}

/// Adds to the help of a flag of `gradus train` the default that it has in each preset, unless it says its default
/// itself; leaves a flag alone that is no setting.
pub fn with_defaults(argument: clap::Arg) -> clap::Arg {
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let default = |preset: &Preset| Some((preset.name(), preset.default_of(argument.get_id().as_str())?));
    let defaults: Option<Vec<_>> = Preset::value_variants().iter().map(default).collect();
    match defaults {
        Some(defaults) if !help.contains("[default: ") => {
            argument.help(format!("{help} [default: {}]", summary(&defaults)))
        }
        _ => argument,
    }
}

/// The one default that all presets share, or the default of each.
fn summary(defaults: &[(&str, String)]) -> String {
    match defaults {
        [(_, first), others @ ..] if others.iter().all(|(_, value)| value == first) => first.clone(),
        _ => defaults.iter().map(|(preset, value)| format!("{preset} {value}")).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests;
