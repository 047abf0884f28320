//! The names of the files of a run, in one place: those who write a file and those who tell whose it is agree by them.

use std::path::{Path, PathBuf};

/// Sizes, vocabulary, settings.
pub const CONFIG: &str = "config.json";

/// The weights.
pub const MODEL: &str = "model.safetensors";

/// What was measured on the way.
pub const METRICS: &str = "metrics.jsonl";

/// The loss curve.
pub const LOSS_PLOT: &str = "loss.svg";

/// The picture that `gradus inspect` draws.
pub const ATTENTION_MAP: &str = "attention.svg";

/// The picture that `gradus play` draws.
pub const PLAY: &str = "play.svg";

/// The ids of a long text.
pub const TOKENS: &str = "tokens.bin";

/// Held by the process that trains.
pub const LOCK: &str = ".gradus.lock";

/// The folder with the best weights.
pub const BEST: &str = "best";

/// Where AdamW's moments of `step` are in the folder `dir`.
pub fn optimizer_path(dir: &Path, step: u64) -> PathBuf {
    dir.join(format!("optimizer-{step}.safetensors"))
}

/// Whether a file of this name would hold moments.
pub fn is_moments(name: &str) -> bool {
    name.strip_prefix("optimizer-")
        .and_then(|rest| rest.strip_suffix(".safetensors"))
        .is_some_and(|step| !step.is_empty() && step.bytes().all(|digit| digit.is_ascii_digit()))
}
