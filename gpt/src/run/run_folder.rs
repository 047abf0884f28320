//! The folder of a run: who may write into it, and where an earlier run goes.
//!
//! ```text
//! config.json, model.safetensors, …   the run; see `checkpoint`
//! .gradus.lock                        held by the process that trains
//! earlier-1, earlier-2, …             the runs before it, in the order in which they were moved aside
//! ```
//!
//! Nothing that was trained is deleted: a new run moves the files of the one that it finds into a folder of their own.
//! Nothing that others wrote is touched: see `ownership`. Reading takes no lock.

pub mod lock;
pub mod names;
pub mod ownership;

use crate::{
    error::{Error, Result},
    files::{self, FileSystem},
};
use lock::Lock;
use names::{CONFIG, LOCK, MODEL};
use std::{
    io,
    path::{Path, PathBuf},
};

/// What a folder of an earlier run holds as long as files are on their way into it.
const MOVING: &str = ".gradus.moving";

/// A folder that this process may write a run into.
#[derive(Debug)]
pub struct RunFolder {
    _lock: Lock,
}

impl RunFolder {
    /// Takes the folder of a run that is to go on.
    ///
    /// # Errors
    /// [`Error::NoCheckpoint`] where no run is; [`Error::InUse`]; [`Error::Io`].
    pub fn resume(dir: &Path) -> Result<RunFolder> {
        if !dir.join(CONFIG).exists() {
            return Err(Error::NoCheckpoint { dir: dir.to_path_buf(), file: CONFIG });
        }
        ownership::check(&dir.join(LOCK))?;
        Ok(RunFolder { _lock: Lock::take(dir)? })
    }

    /// Takes `dir`, made if it is missing, for a new run. The files of a run that is there already move into a folder
    /// below it, which is returned.
    ///
    /// # Errors
    /// [`Error::Foreign`] and [`Error::InUse`], before anything is changed; [`Error::Io`].
    pub fn begin(files: &dyn FileSystem, dir: &Path) -> Result<(RunFolder, Option<PathBuf>)> {
        check(dir)?;
        files::create_dirs(files, dir)?;
        let folder = RunFolder { _lock: Lock::take(dir)? };
        let earlier = ownership::files_of_the_run(dir)?; // once more: now nobody else changes them
        sweep(files, dir)?;
        Ok((folder, move_aside(files, dir, &earlier)?))
    }
}

/// That a new run may begin in `dir`, so far as can be said without changing anything.
///
/// # Errors
/// [`Error::Foreign`] for a file that is in the way; [`Error::InUse`]; [`Error::Io`].
pub fn check(dir: &Path) -> Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    ownership::files_of_the_run(dir)?;
    lock::refusal(dir).map_or(Ok(()), Err)
}

/// Removes what interrupted saves left in `dir`.
///
/// # Errors
/// [`Error::Io`].
pub fn sweep(files: &dyn FileSystem, dir: &Path) -> Result<()> {
    for name in files::names(dir)? {
        let path = dir.join(name);
        if ownership::is_leftover(&path)? {
            files::remove(files, &path)?;
        }
    }
    Ok(())
}

/// Moves these files of `dir` into the next free `earlier-N` below it. A crash may come at any moment: each file is in
/// one of both places, and the next call goes on with the same folder, which a mark in it tells from a finished one.
fn move_aside(files: &dyn FileSystem, dir: &Path, names: &[String]) -> Result<Option<PathBuf>> {
    let unfinished = earlier(dir).find(|to| to.join(MOVING).exists());
    let unfinished = unfinished.filter(|to| names.iter().all(|name| !to.join(name).exists()));
    let to = match (unfinished, names) {
        (Some(to), _) => to,
        (None, []) => return Ok(None),
        (None, _) => create_earlier(files, dir)?,
    };
    // The weights go first: from then on the folder holds no model, rather than one with the settings of another.
    for name in names {
        let from = dir.join(name);
        files.rename(&from, &to.join(name)).map_err(Error::io("move", &from))?;
        if name == MODEL {
            files::sync_folder(files, &to)?;
            files::sync_folder(files, dir)?;
        }
    }
    files::sync_folder(files, &to)?;
    files::sync_folder(files, dir)?;
    files::remove(files, &to.join(MOVING))?;
    files::sync_folder(files, &to)?;
    Ok(Some(to))
}

/// `earlier-1`, `earlier-2`, … as far as they are there.
fn earlier(dir: &Path) -> impl Iterator<Item = PathBuf> {
    (1..).map(move |n| dir.join(format!("earlier-{n}"))).take_while(|folder| folder.exists())
}

fn create_earlier(files: &dyn FileSystem, dir: &Path) -> Result<PathBuf> {
    for n in 1_u32.. {
        let to = dir.join(format!("earlier-{n}"));
        match files.create_dir(&to) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => {
                other.map_err(Error::io("create", &to))?;
                let mark = to.join(MOVING);
                files.create(&mark).and_then(|mut file| file.sync()).map_err(Error::io("write", &mark))?;
                files::sync_folder(files, &to)?;
                files::sync_folder(files, dir)?;
                return Ok(to);
            }
        }
    }
    Err(Error::io("create", dir)(io::Error::from(io::ErrorKind::AlreadyExists)))
}

#[cfg(test)]
mod tests;
