//! The sizes of a model, the settings of a run, and `config.json`, which keeps both beside the weights.
//!
//! A file of weights is a list of numbers. What makes a model of it is the other file: how many layers and heads, what
//! token 17 stands for, and how far the learning rate has come by step 500.

use crate::{
    dataset::{Fingerprint, Source},
    error::{Error, Result},
    files::{self, FileSystem},
    final_eval::FinalEval,
    precision::Precision,
    preset::Preset,
    run_folder::ownership,
    tokenizer::Tokenizer,
};
use gradus_nn::optim::{AdamWConfig, InvalidSetting, Schedule, validate_max_norm};
use serde::{Deserialize, Serialize};
use std::{fs, path::Path};

/// The version of the layout of `config.json`.
pub const FORMAT: u32 = 1;

/// The name of the file.
pub const FILE: &str = "config.json";

/// Above this, memory is not even tried: a slip of the finger should end in a message, not in a swapping machine.
pub const MOST_MEMORY: u128 = 64 << 30;

/// The sizes of a GPT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// L: blocks, one after the other.
    pub layers: usize,
    /// H: attention heads in a block.
    pub heads: usize,
    /// C: channels of the residual stream; a head has C / H of them.
    pub width: usize,
    /// T: the most tokens that the model looks back on.
    pub context: usize,
    /// V: distinct tokens.
    pub vocab_size: usize,
    /// The chance that an activation is dropped in training.
    pub dropout: f32,
    /// Whether the linear layers and the norms add a bias.
    pub bias: bool,
}

/// How a model is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Where the defaults came from.
    pub preset: Preset,
    /// The text.
    pub data: Source,
    /// Decides initialisation, batches and dropout.
    pub seed: u64,
    /// Updates of the weights; the learning rate reaches its minimum there.
    pub steps: u64,
    /// B: windows in a micro-batch.
    pub batch: usize,
    /// Micro-batches whose gradients are added up before an update.
    pub grad_accum: usize,
    /// The learning rate at the end of the warm-up.
    pub lr: f64,
    /// The learning rate at the last step.
    pub min_lr: f64,
    /// Steps over which the learning rate rises from 0.
    pub warmup: u64,
    /// AdamW's decay of the weight matrices, per unit of learning rate.
    pub weight_decay: f64,
    /// The decay rate of AdamW's first moment.
    pub beta1: f64,
    /// The decay rate of AdamW's second moment.
    pub beta2: f64,
    /// What AdamW adds to the root of the second moment.
    pub eps: f64,
    /// The largest norm that the gradient of all parameters together may have; 0 lets it be.
    pub clip: f64,
    /// What products are computed from; runs that were saved before there was a choice are in `f32`.
    #[serde(default)]
    pub precision: Precision,
    /// Steps from one validation (and checkpoint) to the next.
    pub eval_every: u64,
    /// Batches that the validation loss is estimated from.
    pub eval_batches: usize,
    /// Steps from one line of metrics to the next.
    pub log_every: u64,
    /// How much of the validation part the last validation covers.
    #[serde(default, skip_serializing_if = "is_default")]
    pub final_eval: FinalEval,
    /// Whether the weights with the lowest validation loss are kept too.
    #[serde(default, skip_serializing_if = "is_default")]
    pub best: bool,
}

/// Leaves a setting out of `config.json`: earlier versions of the program do not know it.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

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

impl ModelConfig {
    /// D: channels of a head.
    pub fn head_size(&self) -> usize {
        self.width / self.heads
    }

    /// The parameters: V·C token embeddings (shared with the output), T·C positions, and in each block 4·C² for
    /// attention, 8·C² for the feed-forward part and 2·C for two norms, then C for the last norm; biases on top.
    /// Saturates at sizes that no machine has.
    pub fn parameters(&self) -> u128 {
        let [c, t, v, l] = [self.width, self.context, self.vocab_size, self.layers].map(|size| size as u128);
        let biases = if self.bias { 11 * c } else { 0 }; // 2 norms, 3 + 1 in attention, 4 + 1 in feed-forward
        let block = c.saturating_mul(c).saturating_mul(12).saturating_add(2 * c + biases);
        let last = if self.bias { 2 * c } else { c };
        let embeddings = (v + t).saturating_mul(c);
        block.saturating_mul(l).saturating_add(embeddings).saturating_add(last)
    }

    /// That a model of these sizes can be built.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first size that is wrong.
    pub fn validate(&self) -> Result<()> {
        within("layers", self.layers, 1, 1000)?;
        within("heads", self.heads, 1, 1 << 16)?;
        within("width", self.width, 1, 1 << 20)?;
        within("context", self.context, 1, 1 << 24)?;
        within("vocab_size", self.vocab_size, 1, 0x11_0000)?;
        if !self.width.is_multiple_of(self.heads) {
            return Err(Error::setting(
                "heads",
                self.heads,
                format!("does not divide the width {}; choose a width that is a multiple of the heads", self.width),
            ));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(Error::setting("dropout", self.dropout, "must be at least 0 and below 1"));
        }
        fits(self.parameters().saturating_mul(4), self.parameters())
    }
}

impl TrainConfig {
    /// That a `model` can be trained so.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first value that is wrong.
    pub fn validate(&self, model: &ModelConfig) -> Result<()> {
        model.validate()?;
        within("batch", self.batch, 1, 1 << 24)?;
        within("grad-accum", self.grad_accum, 1, 1 << 24)?;
        within("eval-batches", self.eval_batches, 1, 1 << 24)?;
        at_least_one("eval-every", self.eval_every)?;
        at_least_one("log-every", self.log_every)?;
        if self.final_eval == FinalEval::Tokens(0) {
            return Err(Error::setting("final-eval", 0, "must be at least 1 token, or all"));
        }
        self.schedule().validate().map_err(|wrong| self.refuse(&wrong))?;
        self.adamw().validate().map_err(|wrong| self.refuse(&wrong))?;
        validate_max_norm(self.clip).map_err(|wrong| self.refuse(&wrong))?;
        fits(self.memory(model), model.parameters())
    }

    /// The settings of the optimiser, in the `f32` that it computes in.
    pub fn adamw(&self) -> AdamWConfig {
        AdamWConfig {
            beta1: self.beta1 as f32,
            beta2: self.beta2 as f32,
            eps: self.eps as f32,
            weight_decay: self.weight_decay as f32,
        }
    }

    /// The learning rate over the steps.
    pub fn schedule(&self) -> Schedule {
        Schedule { learning_rate: self.lr, min_learning_rate: self.min_lr, warmup: self.warmup, steps: self.steps }
    }

    /// A setting that the optimiser refuses, by the name and the value that the user gave it.
    fn refuse(&self, wrong: &InvalidSetting) -> Error {
        let (name, given) = match wrong.name {
            "learning_rate" => ("lr", self.lr),
            "min_learning_rate" => ("min-lr", self.min_lr),
            "weight_decay" => ("weight-decay", self.weight_decay),
            "max_norm" => ("clip", self.clip),
            "beta1" => ("beta1", self.beta1),
            "beta2" => ("beta2", self.beta2),
            name => (name, self.eps),
        };
        let used = wrong.value as f32;
        let rounded = given.is_finite() && used.to_string() != given.to_string();
        let note = if rounded { format!("; it is {used} in f32, which is computed in") } else { String::new() };
        Error::setting(name, given, format!("{}{note}", wrong.rule))
    }

    /// The tokens of `steps` updates: B·T for each of their micro-batches.
    pub fn tokens(&self, model: &ModelConfig, steps: u64) -> u128 {
        let step = [self.batch, self.grad_accum, model.context].map(|size| size as u128).iter().product::<u128>();
        step.saturating_mul(u128::from(steps))
    }

    /// The bytes that training takes, roughly: weights, gradients and two moments, and the activations of a micro-batch,
    /// 16·C for each layer and 2·V for the logits and their gradient at each of its B·T places.
    pub fn memory(&self, model: &ModelConfig) -> u128 {
        let [c, v, l] = [model.width, model.vocab_size, model.layers].map(|size| size as u128);
        let places = (self.batch as u128).saturating_mul(model.context as u128);
        let activations = places.saturating_mul((16 * c).saturating_mul(l).saturating_add(2 * v));
        model.parameters().saturating_mul(4).saturating_add(activations).saturating_mul(4)
    }
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
        format!(
            "layers {layers}, heads {heads}, width {width}, context {context}, vocab_size {vocab_size}, bias {bias}, \
             tokenizer {:016x}",
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
            let problem = format!("vocab_size is {model}, but the vocabulary has {tokenizer} tokens");
            return Err(Error::damaged(&path, problem));
        }
        Ok(config)
    }
}

fn within(name: &'static str, value: usize, least: usize, most: usize) -> Result<()> {
    match value {
        _ if value < least => Err(Error::setting(name, value, format!("must be at least {least}"))),
        _ if value > most => Err(Error::setting(name, value, format!("must be at most {most}"))),
        _ => Ok(()),
    }
}

fn at_least_one(name: &'static str, value: u64) -> Result<()> {
    if value == 0 { Err(Error::setting(name, value, "must be at least 1")) } else { Ok(()) }
}

fn fits(bytes: u128, parameters: u128) -> Result<()> {
    if bytes <= MOST_MEMORY {
        return Ok(());
    }
    let problem = format!(
        "is needed for {parameters} parameters at these sizes, and the limit is {} GiB; \
         choose smaller --layers, --width, --context or --batch",
        MOST_MEMORY >> 30
    );
    Err(Error::setting("memory", format!("of about {} GiB", bytes >> 30), problem))
}

#[cfg(test)]
mod tests;
