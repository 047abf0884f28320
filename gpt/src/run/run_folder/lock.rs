//! One run at a time owns a folder.
//!
//! The lock is that of the operating system on an open file, which ends with its process however that ends. The file
//! stays: if it were removed, a process that has just opened it would hold a lock on a file without a name.

use crate::{
    error::{Error, Result},
    output,
};
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
    time::Duration,
};

pub use super::names::LOCK as FILE;

/// What the file begins with; the number of the process that trains follows.
const TEXT: &str = "gradus train, process ";

/// Held as long as this lives.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "closing it ends the lock")] File);

impl Lock {
    /// Locks `dir`, which must be there. Where the file system has no locks, says so on standard error and goes on.
    ///
    /// # Errors
    /// [`Error::InUse`] where another run has it; [`Error::Io`].
    pub fn take(dir: &Path) -> Result<Lock> {
        Lock::take_by(dir, File::try_lock)
    }

    fn take_by(dir: &Path, try_lock: impl Fn(&File) -> std::result::Result<(), TryLockError>) -> Result<Lock> {
        let path = dir.join(FILE);
        let io = |error| Error::io("write", &path)(error);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        // Whoever asks whether a folder is in use holds it for a moment: that is not yet a refusal.
        let mut tries = 5;
        loop {
            match try_lock(&file) {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if tries == 0 => return Err(in_use(dir, &mut file)),
                Err(TryLockError::WouldBlock) => {
                    tries -= 1;
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(TryLockError::Error(error)) => {
                    let folder = dir.display();
                    output::note(&format!(
                        "note: the file system of {folder} has no locks ({error}): see to it that only one run uses it"
                    ));
                    break;
                }
            }
        }
        let text = format!("{TEXT}{}\n", std::process::id());
        file.set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| file.write_all(text.as_bytes()))
            .map_err(io)?;
        Ok(Lock(file))
    }
}

/// The refusal that another process gets, if a run uses `dir` now.
pub fn refusal(dir: &Path) -> Option<Error> {
    let mut file = File::open(dir.join(FILE)).ok()?;
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)).then(|| in_use(dir, &mut file))
}

/// Whether this is the content of a lock file of ours; an empty one is, for it is made before it is written.
pub fn is_ours(content: &[u8]) -> bool {
    content.is_empty() || content.starts_with(TEXT.as_bytes())
}

fn in_use(dir: &Path, file: &mut File) -> Error {
    let mut text = String::new();
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_string(&mut text)); // some systems lock this too
    let process = read.ok().and_then(|_| text.strip_prefix(TEXT)?.trim().parse().ok());
    Error::InUse { dir: dir.to_path_buf(), process }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, io};

    #[test]
    fn a_second_one_is_refused_by_name_until_the_first_ends() {
        let folder = tempfile::tempdir().unwrap();
        assert!(refusal(folder.path()).is_none());
        let first = Lock::take(folder.path()).unwrap();
        let error = Lock::take(folder.path()).unwrap_err().to_string();
        assert!(error.contains(&folder.path().display().to_string()), "{error}");
        assert!(error.contains(&format!("process {}", std::process::id())) && !error.contains('\n'), "{error}");
        assert_eq!(refusal(folder.path()).unwrap().to_string(), error);
        drop(first);
        assert!(refusal(folder.path()).is_none());
        Lock::take(folder.path()).unwrap();
        assert!(is_ours(&fs::read(folder.path().join(FILE)).unwrap()));
    }

    #[test]
    fn a_file_system_without_locks_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let none = |_: &File| Err(TryLockError::Error(io::Error::from(io::ErrorKind::Unsupported)));
        assert!(Lock::take_by(folder.path(), none).is_ok());
        assert!(Lock::take_by(folder.path(), none).is_ok(), "and nobody is refused");
    }

    /// Whoever only asks holds a lock for a moment, which is waited for.
    #[test]
    fn a_lock_that_is_free_in_a_moment_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        for (busy, taken) in [(0, true), (1, true), (5, true), (6, false)] {
            let asked = std::cell::Cell::new(0);
            let lock = |_: &File| {
                asked.set(asked.get() + 1);
                if asked.get() > busy { Ok(()) } else { Err(TryLockError::WouldBlock) }
            };
            assert_eq!(Lock::take_by(folder.path(), lock).is_ok(), taken, "free at try {}", busy + 1);
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = Lock::take(Path::new("/no/such/run")).unwrap_err().to_string();
        assert!(error.starts_with("cannot write /no/such/run/"), "{error}");
    }
}
