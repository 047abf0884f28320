//! The folder of a run, and how a checkpoint gets into it so that no crash can tear it.
//!
//! ```text
//! model.safetensors           the weights, and the step that they belong to
//! optimizer-500.safetensors   AdamW's moments at step 500
//! config.json                 sizes, vocabulary, settings
//! metrics.jsonl, loss.svg     what was seen on the way
//! ```
//!
//! Weights and moments must be of the same step, but a file system replaces only one file at a time. So the moments
//! carry their step in their name: a save writes `optimizer-S` beside the older one, and then replaces `model`, which
//! says S. That one rename is the moment at which the checkpoint becomes the new one: before it, `model` names the older
//! moments, which are still there; after it, the newer ones, which are already there. What it does not name is left
//! from a save that was cut off, and the next save sweeps it away. (One file for both would do too, but everybody
//! who only wants the weights would read three times as much.)
//!
//! The state needs nothing else: batches, dropout and the learning rate are functions of the seed and the step.

use crate::{
    config,
    error::{Error, Result},
    files, metrics,
};
use bytemuck::cast_slice;
use safetensors::{Dtype, SafeTensors, View, tensor::SafeTensorError};
use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

/// The name of the file with the weights.
pub const MODEL: &str = "model.safetensors";

/// The name of the loss curve.
pub const LOSS_PLOT: &str = "loss.svg";

/// Where a new run puts the one that it found in its folder.
pub const PREVIOUS: &str = "previous";

const STEP: &str = "step"; // the key in the metadata of both files

/// A parameter, or a moment of one: what goes into a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NamedArray<'a> {
    /// `blocks.0.attention.qkv.weight`, say.
    pub name: &'a str,
    /// Its shape.
    pub shape: &'a [usize],
    /// Its elements, the last axis running fastest.
    pub data: &'a [f32],
}

/// The name and the shape of an array that a file must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The name.
    pub name: String,
    /// The shape.
    pub shape: Vec<usize>,
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The step that it was saved at; other programs' files have none.
    pub step: Option<u64>,
    /// The arrays, in the order in which they were asked for.
    pub arrays: Vec<Vec<f32>>,
}

/// Makes `dir` ready for a new run. A run that is there already moves to `previous` below it, and the one that was there
/// before that is gone. Returns whether there was one.
///
/// # Errors
/// [`Error::Io`] where the folder cannot be made or written.
pub fn begin(dir: &Path) -> Result<bool> {
    fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
    sweep(dir, is_leftover)?;
    // A folder that cannot be written is noticed now, and not after an hour of training.
    files::write(&dir.join(".writable"), b"").and_then(|()| files::remove(&dir.join(".writable")))?;

    let found = dir.join(MODEL).exists();
    let previous = dir.join(PREVIOUS);
    if found && previous.exists() {
        fs::remove_dir_all(&previous).map_err(Error::io("remove", &previous))?;
    }
    // The weights go first: from then on the folder holds no model, rather than one with the settings of another.
    for name in own_files(dir)? {
        let (from, to) = (dir.join(&name), previous.join(&name));
        if found {
            fs::create_dir_all(&previous).map_err(Error::io("create", &previous))?;
            fs::rename(&from, &to).map_err(Error::io("move", &from))?;
        } else {
            files::remove(&from)?;
        }
    }
    files::sync_folder(dir)?;
    Ok(found)
}

/// Saves the weights and the moments of the same `step` into `dir`, in place of what it held.
///
/// # Errors
/// [`Error::Io`]; the folder then still holds the older checkpoint.
pub fn save(dir: &Path, step: u64, model: &[NamedArray<'_>], optimizer: &[NamedArray<'_>]) -> Result<()> {
    let moments = optimizer_path(dir, step);
    write(&moments, step, optimizer)?;
    write(&dir.join(MODEL), step, model)?;
    sweep(dir, |name| is_leftover(name) || is_optimizer(name) && dir.join(name) != moments)
}

/// Reads the weights of the model in `dir`, and the step that they belong to.
///
/// # Errors
/// [`Error::NoCheckpoint`] without the file, [`Error::Damaged`] for one that is truncated, foreign, or lacks a
/// parameter, [`Error::WrongShape`] for a parameter of another shape.
pub fn load_model(dir: &Path, expected: &[Expected]) -> Result<Loaded> {
    with_file(&model_path(dir)?, |path, file| take(path, file, expected))
}

/// Reads the moments that belong to the weights of `step`.
///
/// # Errors
/// As [`load_model`].
pub fn load_optimizer(dir: &Path, step: u64, expected: &[Expected]) -> Result<Loaded> {
    let path = optimizer_path(dir, step);
    if !path.exists() {
        let problem = format!("the state of the optimiser at its step {step}, {}, is missing", path.display());
        return Err(Error::damaged(&dir.join(MODEL), problem));
    }
    let loaded = with_file(&path, |path, file| take(path, file, expected))?;
    if loaded.step != Some(step) {
        return Err(Error::damaged(&path, format!("it is not of step {step}, as its name says")));
    }
    Ok(loaded)
}

/// The type that each array in the model file of `dir` is stored in, by its name.
///
/// # Errors
/// As [`load_model`].
pub fn stored_types(dir: &Path) -> Result<HashMap<String, Dtype>> {
    with_file(&model_path(dir)?, |_, file| {
        Ok(file.tensors.iter().map(|(name, array)| (name.to_string(), array.dtype())).collect())
    })
}

/// Where the moments of `step` are.
pub fn optimizer_path(dir: &Path, step: u64) -> PathBuf {
    dir.join(format!("optimizer-{step}.safetensors"))
}

fn is_optimizer(name: &str) -> bool {
    name.strip_prefix("optimizer-")
        .and_then(|rest| rest.strip_suffix(".safetensors"))
        .is_some_and(|step| !step.is_empty() && step.bytes().all(|digit| digit.is_ascii_digit()))
}

fn is_own(name: &str) -> bool {
    [MODEL, config::FILE, metrics::FILE, LOSS_PLOT].contains(&name) || is_optimizer(name)
}

/// Whether a save that was cut off left this file.
fn is_leftover(name: &str) -> bool {
    name.strip_suffix(files::TEMPORARY).is_some_and(is_own)
}

fn model_path(dir: &Path) -> Result<PathBuf> {
    let path = dir.join(MODEL);
    if path.exists() { Ok(path) } else { Err(Error::NoCheckpoint { dir: dir.to_path_buf(), file: MODEL }) }
}

/// The files of a run in `dir`, the weights first.
fn own_files(dir: &Path) -> Result<Vec<String>> {
    let mut names = names(dir)?;
    names.retain(|name| is_own(name));
    names.sort_by_key(|name| (name != MODEL, name.clone()));
    Ok(names)
}

fn names(dir: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(dir).map_err(Error::io("read", dir))?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

/// Removes the files of `dir` whose names are `superfluous`.
fn sweep(dir: &Path, superfluous: impl Fn(&str) -> bool) -> Result<()> {
    names(dir)?.iter().filter(|name| superfluous(name)).try_for_each(|name| files::remove(&dir.join(name)))
}

impl View for NamedArray<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        if cfg!(target_endian = "little") {
            Cow::Borrowed(cast_slice(self.data)) // the file's own order: no second copy of the model in memory
        } else {
            Cow::Owned(self.data.iter().flat_map(|x| x.to_le_bytes()).collect())
        }
    }

    fn data_len(&self) -> usize {
        size_of_val(self.data)
    }
}

fn write(path: &Path, step: u64, arrays: &[NamedArray<'_>]) -> Result<()> {
    // One key: the metadata is a hash map, and two would come out in either order. The same run makes the same bytes.
    let metadata = HashMap::from([(STEP.to_string(), step.to_string())]);
    files::replace(path, |temporary| {
        let arrays = arrays.iter().map(|array| (array.name, *array));
        safetensors::serialize_to_file(arrays, Some(metadata), temporary).map_err(|error| match error {
            SafeTensorError::IoError(source) => Error::io("write", path)(source),
            other => Error::damaged(path, other),
        })
    })
}

fn with_file<T>(path: &Path, look: impl FnOnce(&Path, &File<'_>) -> Result<T>) -> Result<T> {
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    let damaged = |error: SafeTensorError| Error::damaged(path, explain(&error));
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
    let step = header.metadata().as_ref().and_then(|metadata| metadata.get(STEP)).map(|step| step.parse());
    let step = step.transpose().map_err(|_| Error::damaged(path, "its step is not a number"))?;
    look(path, &File { step, tensors: SafeTensors::deserialize(&bytes).map_err(damaged)? })
}

struct File<'a> {
    step: Option<u64>,
    tensors: SafeTensors<'a>,
}

/// What the reader's error means to somebody who has never seen the format.
fn explain(error: &SafeTensorError) -> String {
    let meaning = match error {
        SafeTensorError::MetadataIncompleteBuffer => "it is shorter or longer than its header says",
        SafeTensorError::HeaderTooSmall | SafeTensorError::InvalidHeaderLength => "it ends within its header",
        _ => "it has no safetensors header",
    };
    format!("{meaning} ({error})").replace('\n', " ")
}

fn take(path: &Path, file: &File<'_>, expected: &[Expected]) -> Result<Loaded> {
    let arrays = expected.iter().map(|wanted| array(path, &file.tensors, wanted)).collect::<Result<Vec<_>>>()?;
    let known: HashSet<&str> = expected.iter().map(|wanted| wanted.name.as_str()).collect();
    if let Some(extra) = file.tensors.names().into_iter().filter(|name| !known.contains(name)).min() {
        return Err(Error::damaged(path, format!("the model of config.json has no parameter {extra}")));
    }
    Ok(Loaded { step: file.step, arrays })
}

fn array(path: &Path, file: &SafeTensors<'_>, wanted: &Expected) -> Result<Vec<f32>> {
    let name = &wanted.name;
    let found = file.tensor(name).map_err(|_| Error::damaged(path, format!("the parameter {name} is missing")))?;
    if found.shape() != wanted.shape {
        return Err(Error::WrongShape {
            path: path.to_path_buf(),
            parameter: name.clone(),
            found: found.shape().to_vec(),
            expected: wanted.shape.clone(),
        });
    }
    if found.dtype() != Dtype::F32 {
        return Err(Error::damaged(path, format!("{name} is of type {:?}, not F32", found.dtype())));
    }
    let (numbers, _) = found.data().as_chunks::<4>();
    let numbers: Vec<f32> = numbers.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    if numbers.iter().any(|x| !x.is_finite()) {
        return Err(Error::damaged(path, format!("{name} holds a value that is not finite")));
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests;
