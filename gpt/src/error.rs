//! Every way in which a command can fail, each as one line: what is wrong, where, and what to do about it.

use crate::shell;
use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong. `Display` gives one line, made to stand after `error: `.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused something.
    #[error("cannot {action} {}: {source}{}", path.display(), advice(source))]
    Io {
        /// What was tried, as a verb: `read`, `write`, `create`.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },

    /// A text without a single character.
    #[error("{text} is empty: give a file with text in it")]
    EmptyText {
        /// The file, or the name of the built-in corpus.
        text: String,
    },

    /// A file that is no UTF-8 text.
    #[error(
        "{text} is not UTF-8 text: byte {offset} is not part of a character; convert the file, for example with `iconv -f LATIN1 -t UTF-8`"
    )]
    NotUtf8 {
        /// The file.
        text: String,
        /// The first byte that is wrong, counted from 0.
        offset: usize,
    },

    /// A text that does not fill a single window.
    #[error(
        "{text} is too short: its {part} part has {tokens} tokens, and a context of {context} needs at least {}; \
         give a longer text or a smaller --context",
        context.saturating_add(1)
    )]
    TextTooShort {
        /// The file, or the name of the built-in corpus.
        text: String,
        /// `training` or `validation`.
        part: &'static str,
        /// What is there.
        tokens: usize,
        /// What the model looks back on.
        context: usize,
    },

    /// A text without a token to predict.
    #[error(
        "{text} is too short: a loss needs at least two tokens, one to read and one to predict; give a longer text"
    )]
    NothingToPredict {
        /// The file.
        text: String,
    },

    /// A character that the tokenizer has never seen.
    #[error(
        "{}the model does not know the character {character:?}: it was trained on {known}; take another {text}, \
         or train a model with --tokenizer byte, which knows every text",
        place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default()
    )]
    UnknownCharacter {
        /// The first such character.
        character: char,
        /// Some that it does know.
        known: String,
        /// What it is in: `prompt` or `text`.
        text: &'static str,
        /// The file and the line, in a long text.
        place: Option<String>,
    },

    /// A text in which byte pair encoding finds too few pairs.
    #[error(
        "a vocabulary of {asked} tokens cannot be learned from this text: after {most} no pair of neighbours occurs twice; \
         choose {most} tokens or fewer, or give a longer text"
    )]
    FewPairs {
        /// Tokens that are asked for.
        asked: usize,
        /// As many as there can be.
        most: usize,
    },

    /// A token id outside of the vocabulary.
    #[error(
        "the model has no token {token}: its vocabulary has {vocabulary}; the weights and config.json do not belong together"
    )]
    UnknownToken {
        /// The id.
        token: u32,
        /// How many there are.
        vocabulary: usize,
    },

    /// A value that is not valid, from the command line or from `config.json`.
    #[error("{name} {value}: {problem}")]
    Setting {
        /// The setting, as it is called on the command line, without dashes.
        name: String,
        /// Its value.
        value: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },

    /// With `--resume`: a flag that differs from the saved settings.
    #[error(
        "--{flag} {given} contradicts the saved run, which has {saved}: omit the flag, or start a new run in another folder"
    )]
    Contradiction {
        /// The flag, without dashes.
        flag: String,
        /// What the command line says.
        given: String,
        /// What `config.json` says.
        saved: String,
    },

    /// With `--resume`: the text is not the one that the run began with.
    #[error(
        "{text} has changed since the run began ({found} now, {saved} then): resume with the same text, or start a new run"
    )]
    TextChanged {
        /// The file, or the name of the built-in corpus.
        text: String,
        /// What is there now.
        found: String,
        /// What was there.
        saved: String,
    },

    /// A file that was read without an error at first, and then could not be read on.
    #[error("cannot read on in {}: {problem}; {}", path.display(), way_on(saved.as_ref()))]
    Unreadable {
        /// The file with the text, or with its tokens.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// For a training: the folder, and the step of the checkpoint in it.
        saved: Option<(PathBuf, u64)>,
    },

    /// No model where one was expected.
    #[error(
        "no model in {}: {file} is missing; give the folder of a model, or train one with `gradus train --out {}`",
        dir.display(),
        shell::word(&dir.to_string_lossy())
    )]
    NoCheckpoint {
        /// The folder.
        dir: PathBuf,
        /// The file that is not there.
        file: &'static str,
    },

    /// A file of a checkpoint that cannot be understood: truncated, foreign, or edited.
    #[error("{} is damaged or not a file of gradus: {problem}; replace it with an intact copy", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },

    /// A file of a newer version of the program.
    #[error("{} is of format {found}, this program reads {known}: use a newer gradus", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The format that it names.
        found: u64,
        /// The one that is read.
        known: u64,
    },

    /// A file that gradus did not write, with the name of one that it is to write.
    #[error(
        "{} is in the way: gradus did not write it, or it is damaged; move it elsewhere or choose another --out",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },

    /// A folder that another process trains in.
    #[error(
        "{} is in use: {} trains there; wait until it ends, or choose another --out",
        dir.display(),
        process.map_or("another process".into(), |id| format!("process {id}"))
    )]
    InUse {
        /// The folder.
        dir: PathBuf,
        /// The process, where it is known.
        process: Option<u32>,
    },

    /// A folder in which a run has begun and not saved yet.
    #[error("no model in {} yet: a run is just beginning there; run the command again in a moment", dir.display())]
    NotYet {
        /// The folder.
        dir: PathBuf,
    },

    /// A model that was replaced between the reading of its configuration and that of its weights.
    #[error("the model in {} was replaced by another while it was read: run the command again", dir.display())]
    Replaced {
        /// The folder.
        dir: PathBuf,
    },

    /// Weights that were saved with another configuration.
    #[error(
        "{}: these weights were saved with {saved}, but config.json says {found}: restore the config.json that \
         belongs to them",
        path.display()
    )]
    Mismatch {
        /// The file with the weights.
        path: PathBuf,
        /// What differs, as it was.
        saved: String,
        /// As it is in `config.json`.
        found: String,
    },

    /// A state that could not be loaded again.
    #[error(
        "{array} holds a value that is not finite after step {step}, so it is not saved, and what was saved before \
         stays: start again with a smaller --lr or a longer --warmup"
    )]
    NotSaved {
        /// The parameter, or the moment of one.
        array: String,
        /// The step.
        step: u64,
    },

    /// Weights of other sizes than the configuration says.
    #[error(
        "{}: {parameter} has shape {found:?}, but config.json asks for {expected:?}: use the config.json that was saved with these weights",
        path.display()
    )]
    WrongShape {
        /// The file with the weights.
        path: PathBuf,
        /// The parameter.
        parameter: String,
        /// Its shape in the file.
        found: Vec<usize>,
        /// Its shape by the configuration.
        expected: Vec<usize>,
    },

    /// A number that is not finite.
    #[error("{what} is not finite (NaN or infinite){}: {hint}", at.map(|step| format!(" at step {step}")).unwrap_or_default())]
    NotFinite {
        /// Which number.
        what: &'static str,
        /// The step, where there is one.
        at: Option<u64>,
        /// What to do about it.
        hint: &'static str,
    },

    /// An environment variable with a value that is not valid.
    #[error("{problem}")]
    Environment {
        /// The variable.
        name: &'static str,
        /// What is wrong with it, its name included.
        problem: String,
    },

    /// A device that is not there, or failed.
    #[error("{problem}{}", kept(saved.as_ref()))]
    Device {
        /// What is wrong with it.
        problem: String,
        /// For a training: the folder, and the step of the checkpoint in it.
        saved: Option<(PathBuf, u64)>,
    },

    /// The signal handler could not be installed.
    #[error("cannot listen for signals such as Ctrl-C: {0}")]
    Interrupt(#[source] io::Error),

    /// A picture could not be drawn.
    #[error("cannot draw {what}: {problem}")]
    Plot {
        /// Which picture.
        what: &'static str,
        /// Why not.
        problem: String,
    },
}

/// What helps against an error of the operating system, as the end of a sentence; empty where that is not known.
fn advice(source: &io::Error) -> &'static str {
    match source.kind() {
        ErrorKind::NotFound => "; check the path",
        ErrorKind::PermissionDenied => "; choose another place, or change its permissions",
        ErrorKind::ReadOnlyFilesystem => "; choose another place",
        ErrorKind::AlreadyExists => "; choose another name",
        ErrorKind::IsADirectory => "; give a file, not a folder",
        ErrorKind::NotADirectory => "; give a folder, not a file",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "; free space on the disk, or choose another",
        ErrorKind::FileTooLarge => "; raise the limit on file sizes (ulimit -f), or choose another disk",
        _ => "",
    }
}

/// What to do when the text cannot be read on.
fn way_on(saved: Option<&(PathBuf, u64)>) -> String {
    saved.map_or_else(|| "run the command again".into(), |(dir, step)| resume(dir, *step))
}

/// The same as an addition, where a checkpoint was saved.
fn kept(saved: Option<&(PathBuf, u64)>) -> String {
    saved.map_or_else(String::new, |(dir, step)| format!("; {}", resume(dir, *step)))
}

fn resume(dir: &Path, step: u64) -> String {
    let dir = shell::word(&dir.to_string_lossy());
    format!("the checkpoint of step {step} is kept; go on from it with `gradus train --resume --out {dir}`")
}

impl Error {
    /// Turns what the system answered into an error that names the file: `.map_err(Error::io("read", path))`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
        let path = path.to_path_buf();
        move |source| Error::Io { action, path, source }
    }

    /// A setting with a value that is not valid.
    pub fn setting(name: &str, value: impl ToString, problem: impl Into<String>) -> Error {
        Error::Setting { name: name.into(), value: value.to_string(), problem: problem.into() }
    }

    /// A file of a checkpoint that cannot be understood.
    pub fn damaged(path: &Path, problem: impl ToString) -> Error {
        Error::Damaged { path: path.to_path_buf(), problem: problem.to_string() }
    }

    /// A file that cannot be read on.
    pub fn unreadable(path: &Path, problem: impl ToString) -> Error {
        Error::Unreadable { path: path.to_path_buf(), problem: problem.to_string(), saved: None }
    }

    /// The exit code of the process: 2 where the command line is at fault, as clap has it, and 1 for all the rest.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Setting { .. } | Error::Contradiction { .. } | Error::Environment { .. } => 2,
            _ => 1,
        }
    }

    /// Whether the reader of the output has ended before, as `head` does, which is no failure.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Error::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
    }
}

#[cfg(test)]
mod tests;
