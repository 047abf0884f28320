//! Writing a file so that it is never half written, after a crash either.
//!
//! The new content goes to a temporary file in the same folder, is forced to the disk, and then takes the place of the
//! old one by a rename, which the file system does in one step. The folder is forced to the disk too: without that, a
//! power cut may forget the rename. Whoever opens the file finds all of the old content or all of the new.
//!
//! Everything that a run writes goes through a [`FileSystem`]. The program has one, [`Disk`]; a test has another that
//! also records the order of writes, syncs and renames, and replays it cut off at every point (`tests/durability.rs`).

use crate::error::{Error, Result};
use std::{
    fmt::Debug,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The end of the name of a temporary file. Its name shows that it is ours, for half a file cannot show it.
pub const TEMPORARY: &str = ".gradus.tmp";

/// A file that is open for writing.
pub trait OutFile: Write + Debug + Send {
    /// Returns when all that was written has reached the disk.
    ///
    /// # Errors
    /// What the system answers.
    fn sync(&mut self) -> io::Result<()>;
}

/// What a run does to the disk. Each method is one step that a crash can come before or after.
pub trait FileSystem: Debug + Send + Sync {
    /// Makes a new file with the permissions that new files have here.
    ///
    /// # Errors
    /// What the system answers; `AlreadyExists` where there is something of that name.
    fn create(&self, path: &Path) -> io::Result<Box<dyn OutFile>>;

    /// Opens a file, made if it is not there, to write at its end.
    ///
    /// # Errors
    /// What the system answers.
    fn append(&self, path: &Path) -> io::Result<Box<dyn OutFile>>;

    /// Makes a new folder; its parent must be there.
    ///
    /// # Errors
    /// What the system answers; `AlreadyExists` where there is something of that name.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Gives a file another name, in place of a file that has it.
    ///
    /// # Errors
    /// What the system answers.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the system answers.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Returns when every new, renamed or removed name in `folder` has reached the disk.
    ///
    /// # Errors
    /// What the system answers.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// The file system of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl OutFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

impl FileSystem for Disk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn OutFile>> {
        Ok(Box::new(File::create_new(path)?))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn OutFile>> {
        Ok(Box::new(OpenOptions::new().create(true).append(true).open(path)?))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) } // elsewhere folders cannot be opened as files
    }
}

/// Replaces the file at `path` by what `write` puts into the new file that it is given.
///
/// # Errors
/// [`Error::Io`] that names `path`; what was there is then still there.
pub fn replace(
    files: &dyn FileSystem,
    path: &Path,
    write: impl FnOnce(&mut dyn OutFile) -> io::Result<()>,
) -> Result<()> {
    let temporary = temporary(path);
    let fill = || -> io::Result<()> {
        remove_if_there(files, &temporary)?;
        let mut file = files.create(&temporary)?;
        write(&mut *file)?;
        file.sync()?;
        drop(file);
        files.rename(&temporary, path)
    };
    let done = fill();
    if done.is_err() {
        let _ = files.remove(&temporary); // the error that matters is the first one
    }
    done.and_then(|()| files.sync_folder(parent(path))).map_err(Error::io("write", path))
}

/// Replaces the content of the file at `path`.
///
/// # Errors
/// As [`replace`].
pub fn write(files: &dyn FileSystem, path: &Path, content: &[u8]) -> Result<()> {
    replace(files, path, |file| file.write_all(content))
}

/// Makes `folder` and those above it that are missing, and forces each new name to the disk.
///
/// # Errors
/// [`Error::Io`] that names `folder`.
pub fn create_dirs(files: &dyn FileSystem, folder: &Path) -> Result<()> {
    let missing: Vec<&Path> =
        folder.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.is_dir()).collect();
    let create = |path: &&Path| -> io::Result<()> {
        match files.create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {} // somebody else was faster
            other => other?,
        }
        files.sync_folder(parent(path))
    };
    missing.iter().rev().try_for_each(create).map_err(Error::io("create", folder))
}

/// Removes a file if it is there.
///
/// # Errors
/// [`Error::Io`].
pub fn remove(files: &dyn FileSystem, path: &Path) -> Result<()> {
    remove_if_there(files, path).map_err(Error::io("remove", path))
}

/// Forces the names in `folder` to the disk.
///
/// # Errors
/// [`Error::Io`].
pub fn sync_folder(files: &dyn FileSystem, folder: &Path) -> Result<()> {
    files.sync_folder(folder).map_err(Error::io("sync", folder))
}

/// The names in `folder`, in order, without those that are not UTF-8, which no file of ours has.
///
/// # Errors
/// [`Error::Io`].
pub fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).map_err(Error::io("read", folder))?;
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    Ok(names)
}

fn remove_if_there(files: &dyn FileSystem, path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        _ => files.remove(path),
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// `model.safetensors` → `model.safetensors.gradus.tmp`: a fixed name, so that a killed process leaves one such file at
/// most, which the next save replaces.
fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(TEMPORARY);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_content_and_no_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write(&Disk, &path, b"old").unwrap();
        let failed = replace(&Disk, &path, |file| {
            file.write_all(b"ne")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        });
        assert!(failed.is_err());
        assert_eq!(names(folder.path()).unwrap(), ["a.txt"]);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        write(&Disk, &path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn a_leftover_of_a_killed_process_is_replaced_and_not_appended_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        fs::write(temporary(&path), "a longer leftover").unwrap();
        write(&Disk, &path, b"new").unwrap();
        assert_eq!(names(folder.path()).unwrap(), ["a.txt"]);
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = write(&Disk, Path::new("/no/such/folder/a.txt"), b"").unwrap_err().to_string();
        assert!(error.starts_with("cannot write /no/such/folder/a.txt: "), "{error}");
    }

    #[test]
    fn folders_are_made_with_those_above_them() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b/c");
        create_dirs(&Disk, &deep).unwrap();
        create_dirs(&Disk, &deep).unwrap();
        assert!(deep.is_dir());
        fs::write(folder.path().join("file"), "").unwrap();
        let error = create_dirs(&Disk, &folder.path().join("file/run")).unwrap_err().to_string();
        assert!(error.starts_with("cannot create ") && error.contains("file/run: "), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn files_have_the_permissions_that_new_files_have() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
        fs::write(folder.path().join("ordinary"), "").unwrap();
        write(&Disk, &folder.path().join("ours"), b"").unwrap();
        assert_eq!(mode("ours"), mode("ordinary"));
    }
}
