//! Writing a file so that nobody ever sees half of it.
//!
//! The new content goes to a temporary file in the same folder, is forced to the disk, and then takes the place of the
//! old one by a rename, which the file system does in one step. The folder is forced to the disk too: without that, a
//! power cut may forget the rename. Whoever opens the file finds all of the old content or all of the new.

use crate::error::{Error, Result};
use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

/// What the name of a temporary file ends with.
pub const TEMPORARY: &str = ".tmp";

/// Replaces the file at `path` by what `write` puts into the temporary file that it is given.
///
/// # Errors
/// What `write` returns, or [`Error::Io`].
pub fn replace(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let temporary = temporary(path);
    let done = write(&temporary).and_then(|()| commit(&temporary, path));
    if done.is_err() {
        let _ = fs::remove_file(&temporary); // the error that matters is the first one
    }
    done
}

/// Replaces the content of the file at `path`.
///
/// # Errors
/// [`Error::Io`].
pub fn write(path: &Path, content: &[u8]) -> Result<()> {
    replace(path, |temporary| {
        File::create(temporary).and_then(|mut file| file.write_all(content)).map_err(Error::io("write", path))
    })
}

/// Forces what was done in `folder` (a new, renamed or removed file) to the disk.
///
/// # Errors
/// [`Error::Io`].
pub fn sync_folder(folder: &Path) -> Result<()> {
    if cfg!(unix) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::io("sync", folder))?;
    }
    Ok(())
}

/// Removes a file if it is there.
///
/// # Errors
/// [`Error::Io`].
pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// `model.safetensors` → `model.safetensors.tmp`: a fixed name, so that a killed process leaves one such file at most.
fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(TEMPORARY);
    name.into()
}

fn commit(temporary: &Path, path: &Path) -> Result<()> {
    OpenOptions::new()
        .write(true)
        .open(temporary)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(temporary, path))
        .map_err(Error::io("write", path))?;
    sync_folder(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_content_and_no_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write(&path, b"old").unwrap();
        let failed = replace(&path, |temporary| {
            fs::write(temporary, b"ne").unwrap();
            Err(Error::EmptyText { text: "b".into() })
        });
        assert!(failed.is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = write(Path::new("/no/such/folder/a.txt"), b"").unwrap_err().to_string();
        assert!(error.starts_with("cannot write /no/such/folder/a.txt: "), "{error}");
    }
}
