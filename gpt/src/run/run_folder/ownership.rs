//! Whose a file in a run's folder is.
//!
//! A name proves nothing: half the world has a `config.json`. So a file is ours if its content says so, and what bears
//! the name of a file that we would write but is not ours is never touched.

use super::{lock, names};
use crate::{
    error::{Error, Result},
    files::{self, FileSystem},
    metrics,
    weights_file::WeightsFile,
};
use serde_json::Value;
use std::{fs, io, path::Path};

/// What every picture of ours holds.
const PICTURE_MARK: &str = "<!-- drawn by gradus -->";

/// What the pictures of earlier versions hold, which have no mark.
const OLD_PICTURES: [&str; 2] = ["cross-entropy in nats per token", "Where each head looks"];

/// What a file of this name must hold to be one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Config,
    Weights,
    Metrics,
    Picture,
    Lock,
}

fn kind(name: &str) -> Option<Kind> {
    match name {
        names::CONFIG => Some(Kind::Config),
        names::MODEL => Some(Kind::Weights),
        names::METRICS => Some(Kind::Metrics),
        names::LOSS_PLOT | names::ATTENTION_MAP => Some(Kind::Picture),
        names::LOCK => Some(Kind::Lock),
        _ => names::is_moments(name).then_some(Kind::Weights),
    }
}

/// Writes a picture into the folder of a run, with a mark in it by which it is known later.
///
/// # Errors
/// [`Error::Foreign`] where the file of another program is in the way; [`Error::Io`].
pub fn write_picture(files: &dyn FileSystem, path: &Path, svg: &str) -> Result<()> {
    check(path)?;
    files::write(files, path, mark(svg).as_bytes())
}

fn mark(svg: &str) -> String {
    match svg.find('>') {
        Some(end) => format!("{}\n{PICTURE_MARK}{}", &svg[..=end], &svg[end + 1..]),
        None => svg.to_string(),
    }
}

/// The names of the files in `dir` that belong to a run of ours, the weights first; the lock does not.
///
/// # Errors
/// [`Error::Foreign`] for a file that is not ours and in the way of one that a run writes; [`Error::Io`].
pub fn files_of_the_run(dir: &Path) -> Result<Vec<String>> {
    let mut ours = Vec::new();
    for name in files::names(dir)? {
        if let Some(kind) = kind(&name) {
            check(&dir.join(&name))?;
            ours.extend((kind != Kind::Lock).then_some(name));
        } else if name == names::BEST && holds_ours_alone(&dir.join(&name))? {
            ours.push(name);
        }
    }
    ours.sort_by_key(|name| name != names::MODEL);
    Ok(ours)
}

/// That the file at `path`, which we are about to replace, is ours or is not there.
///
/// # Errors
/// [`Error::Foreign`]; [`Error::Io`].
pub fn check(path: &Path) -> Result<()> {
    if is_ours(path)? { Ok(()) } else { Err(Error::Foreign { path: path.to_path_buf() }) }
}

/// That the folder at `path`, which the best weights go into, is ours or is not there.
///
/// # Errors
/// [`Error::Foreign`]; [`Error::Io`].
pub fn check_best(path: &Path) -> Result<()> {
    let free = fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    if free || holds_ours_alone(path)? { Ok(()) } else { Err(Error::Foreign { path: path.to_path_buf() }) }
}

/// Whether this is a folder in which nothing is of others.
fn holds_ours_alone(path: &Path) -> Result<bool> {
    if !path.is_dir() {
        return Ok(false);
    }
    for entry in fs::read_dir(path).map_err(Error::io("read", path))? {
        let entry = entry.map_err(Error::io("read", path))?.path();
        if !is_ours(&entry)? && !is_leftover(&entry)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_ours(path: &Path) -> Result<bool> {
    // The picture of `gradus play` belongs to no run, so a run has no business with it.
    let any_kind = |name| if name == names::PLAY { Some(Kind::Picture) } else { kind(name) };
    let kind = path.file_name().and_then(|name| name.to_str()).and_then(any_kind);
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(fs::symlink_metadata(path).is_err()),
        other => {
            if !other.map_err(Error::io("read", path))?.is_file() {
                return Ok(false);
            }
        }
    }
    match kind {
        None => Ok(false),
        Some(Kind::Weights) => match WeightsFile::open(path) {
            Ok(file) => Ok(file.is_ours()),
            Err(Error::Format { .. }) => Ok(true), // of a newer gradus
            Err(error @ Error::Io { .. }) => Err(error),
            Err(_) => Ok(false),
        },
        Some(kind) => {
            let content = fs::read(path).map_err(Error::io("read", path))?;
            let text = String::from_utf8_lossy(&content);
            Ok(match kind {
                Kind::Config => is_config(&text),
                Kind::Metrics => is_metrics(&text),
                Kind::Picture => [PICTURE_MARK].iter().chain(&OLD_PICTURES).any(|mark| text.contains(mark)),
                Kind::Lock => lock::is_ours(&content),
                Kind::Weights => false,
            })
        }
    }
}

/// Any format and any fields, so that the files of newer programs are told apart from foreign ones too.
fn is_config(text: &str) -> bool {
    let config: Value = serde_json::from_str(text).unwrap_or_default();
    let sizes = ["layers", "heads", "width", "context", "vocab_size"];
    config["format"].is_u64()
        && sizes.iter().all(|size| config["model"].get(size).is_some())
        && config["train"].is_object()
        && config.get("tokenizer").is_some()
}

/// The first line decides; one that was cut off, no line at all, and zeros where they had not reached the disk, are what
/// a crash leaves of a file of ours.
fn is_metrics(text: &str) -> bool {
    const BEGIN: &str = "{\"step\":";
    let text = text.trim_matches('\0');
    match text.split_once('\n') {
        Some((first, _)) => metrics::parse(first).is_ok(),
        None => text.starts_with(BEGIN) || BEGIN.starts_with(text),
    }
}

/// Whether an interrupted save left this file. What is being written now has a name that says so; older versions had
/// names that others use as well, and then the content has to say so.
///
/// # Errors
/// [`Error::Io`].
pub fn is_leftover(path: &Path) -> Result<bool> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(false) };
    if let Some(target) = name.strip_suffix(files::TEMPORARY) {
        return Ok(kind(target).is_some() || target == names::TOKENS);
    }
    let is_weights = |path: &Path| WeightsFile::open(path).is_ok_and(|file| file.is_ours()) || is_torn_weights(path);
    let target = name.strip_suffix(".tmp").and_then(kind);
    Ok((target == Some(Kind::Weights) || name.starts_with(".tmp")) && path.is_file() && is_weights(path))
}

/// The first bytes of a file of weights of an older version: its header's length, and then only the step.
fn is_torn_weights(path: &Path) -> bool {
    const BEGIN: &[u8] = b"{\"__metadata__\":{\"step\":\"";
    let mut begin = [0; 8 + BEGIN.len()];
    let read = fs::File::open(path).and_then(|mut file| io::Read::read_exact(&mut file, &mut begin));
    read.is_ok() && &begin[8..] == BEGIN
}
