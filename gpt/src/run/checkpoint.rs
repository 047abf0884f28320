//! How a checkpoint gets into the folder of its run so that no crash can tear it.
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
//! Both files also say which model they belong to: sizes that happen to fit, as 2 heads for 4, would compute something
//! else from the same numbers. See [`RunConfig::meaning`](crate::config::RunConfig::meaning).
//!
//! The state needs nothing else: batches, dropout and the learning rate are functions of the seed and the step.

mod of_model;

pub use crate::run_folder::names::{LOSS_PLOT, MODEL, is_moments, optimizer_path};
pub use crate::weights_file::{Expected, NamedArray, WeightsFile};
pub use of_model::{load_weights, resume, save, save_weights};

use crate::{
    error::{Error, Result},
    files::{self, FileSystem},
    run_folder::{self, ownership},
    weights_file,
};
use safetensors::Dtype;
use std::{collections::HashMap, path::Path};

/// All that training needs to go on.
#[derive(Clone, Copy, Debug)]
pub struct Checkpoint<'a> {
    /// Updates that the weights have had.
    pub step: u64,
    /// What the weights mean: [`RunConfig::meaning`](crate::config::RunConfig::meaning).
    pub meaning: &'a str,
    /// The parameters.
    pub model: &'a [NamedArray<'a>],
    /// AdamW's moments of the same step.
    pub optimizer: &'a [NamedArray<'a>],
}

impl Checkpoint<'_> {
    /// Saves it into `dir`, in place of what that held.
    ///
    /// # Errors
    /// [`Error::NotSaved`] where a value is not finite, [`Error::Foreign`] where a file of others is in the way,
    /// [`Error::Io`]; the folder then still holds the older checkpoint.
    pub fn save(&self, files: &dyn FileSystem, dir: &Path) -> Result<()> {
        self.check()?;
        let (model, moments) = (dir.join(MODEL), optimizer_path(dir, self.step));
        ownership::check(&model)?;
        ownership::check(&moments)?;
        weights_file::write(files, &moments, self.step, self.meaning, self.optimizer)?;
        weights_file::write(files, &model, self.step, self.meaning, self.model)?;
        self.sweep(files, dir)
    }

    /// Saves the weights alone into `dir`: a model to infer with.
    ///
    /// # Errors
    /// As [`Checkpoint::save`].
    pub fn save_model(&self, files: &dyn FileSystem, dir: &Path) -> Result<()> {
        self.check()?;
        let path = dir.join(MODEL);
        ownership::check(&path)?;
        weights_file::write(files, &path, self.step, self.meaning, self.model)
    }

    /// That it can be loaded again.
    fn check(&self) -> Result<()> {
        let wild = |array: &&NamedArray<'_>| !array.data.iter().all(|x| x.is_finite());
        match self.model.iter().chain(self.optimizer).find(wild) {
            Some(array) => Err(Error::NotSaved { array: array.name.into(), step: self.step }),
            None => Ok(()),
        }
    }

    /// Removes the moments of other steps and what interrupted saves left.
    fn sweep(&self, files: &dyn FileSystem, dir: &Path) -> Result<()> {
        for name in files::names(dir)? {
            let path = dir.join(&name);
            if is_moments(&name) && path != optimizer_path(dir, self.step) && ownership::check(&path).is_ok() {
                files::remove(files, &path)?;
            }
        }
        run_folder::sweep(files, dir)
    }
}

/// Reads the weights of the model in `dir`, which must be the `expected` ones and have this `meaning`. Hands each to
/// `take` with its place among the expected, and returns the step that they belong to.
///
/// # Errors
/// [`Error::NoCheckpoint`] without the file, [`Error::Damaged`] for one that is truncated, foreign, or lacks a
/// parameter, [`Error::Mismatch`] for weights that were saved with another configuration, [`Error::WrongShape`] for a
/// parameter of another shape.
pub fn load_model(
    dir: &Path,
    meaning: &str,
    expected: &[Expected],
    take: impl FnMut(usize, Vec<f32>),
) -> Result<Option<u64>> {
    let mut file = open_model(dir)?;
    read(&mut file, &dir.join(MODEL), meaning, expected, take)?;
    Ok(file.step)
}

/// Reads the moments that belong to the weights of `step`, in the order of `expected`.
///
/// # Errors
/// As [`load_model`].
pub fn load_optimizer(
    dir: &Path,
    step: u64,
    meaning: &str,
    expected: &[Expected],
    take: impl FnMut(usize, Vec<f32>),
) -> Result<()> {
    let path = optimizer_path(dir, step);
    if !path.exists() {
        let problem = format!("the state of the optimiser at its step {step}, {}, is missing", path.display());
        return Err(Error::damaged(&dir.join(MODEL), problem));
    }
    let mut file = WeightsFile::open(&path)?;
    if file.step != Some(step) {
        return Err(Error::damaged(&path, format!("it is not of step {step}, as its name says")));
    }
    read(&mut file, &path, meaning, expected, take)
}

/// The type that each array in the model file of `dir` is stored in, by its name.
///
/// # Errors
/// As [`load_model`].
pub fn stored_types(dir: &Path) -> Result<HashMap<String, Dtype>> {
    Ok(open_model(dir)?.types())
}

fn open_model(dir: &Path) -> Result<WeightsFile> {
    let path = dir.join(MODEL);
    match WeightsFile::open(&path) {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::NoCheckpoint { dir: dir.to_path_buf(), file: MODEL })
        }
        other => other,
    }
}

fn read(
    file: &mut WeightsFile,
    path: &Path,
    meaning: &str,
    expected: &[Expected],
    mut take: impl FnMut(usize, Vec<f32>),
) -> Result<()> {
    if let Some(saved) = &file.model
        && let Some((saved, found)) = difference(saved, meaning)
    {
        return Err(Error::Mismatch { path: path.to_path_buf(), saved, found });
    }
    file.check(expected)?;
    expected.iter().enumerate().try_for_each(|(i, wanted)| {
        take(i, file.read(&wanted.name)?);
        Ok(())
    })
}

/// The first part in which two descriptions differ: `heads 4` and `heads 2`.
fn difference(saved: &str, found: &str) -> Option<(String, String)> {
    if saved == found {
        return None;
    }
    let parts = saved.split(", ").zip(found.split(", ")).find(|(saved, found)| saved != found);
    let (saved, found) = parts.unwrap_or((saved, found));
    Some((saved.into(), found.into()))
}

#[cfg(test)]
mod tests;
