//! What the file layer does where the system refuses, and what the user reads then.

use gradus_gpt::Error;
use gradus_gpt::files::{Disk, FileSystem, OutFile, create_dirs};
use std::io::{self, ErrorKind};
use std::path::Path;

type Make = fn(&Path) -> io::Result<()>;

/// A disk on which another process makes each folder, or a file of that name, just before we do.
#[derive(Debug)]
struct Race {
    makes: Make,
    answer: ErrorKind,
}

impl FileSystem for Race {
    fn create(&self, path: &Path) -> io::Result<Box<dyn OutFile>> {
        Disk.create(path)
    }
    fn append(&self, path: &Path) -> io::Result<Box<dyn OutFile>> {
        Disk.append(path)
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        (self.makes)(path)?;
        Err(self.answer.into())
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        Disk.remove(path)
    }
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        Disk.sync_folder(folder)
    }
}

#[test]
fn a_folder_that_somebody_else_makes_first_is_taken_and_nothing_else_is() {
    let folder = |path: &Path| std::fs::create_dir(path);
    let file = |path: &Path| std::fs::write(path, "");
    let cases: [(Make, ErrorKind, bool); 4] = [
        (folder, ErrorKind::AlreadyExists, true),
        (file, ErrorKind::AlreadyExists, false),
        (folder, ErrorKind::PermissionDenied, false),
        (|_| Ok(()), ErrorKind::PermissionDenied, false),
    ];
    for (makes, answer, taken) in cases {
        let place = tempfile::tempdir().unwrap();
        let wanted = place.path().join("run");
        let result = create_dirs(&Race { makes, answer }, &wanted);
        assert_eq!(result.is_ok(), taken, "{answer:?}");
        if let Err(error) = result {
            assert!(error.to_string().contains(&wanted.display().to_string()), "{error}");
        }
    }
}

/// An error of the system says what to do wherever that is known, and nothing where it is not.
#[test]
fn errors_of_the_system_come_with_advice() {
    for (kind, advice) in [
        (ErrorKind::NotFound, "check the path"),
        (ErrorKind::PermissionDenied, "choose another place, or change its permissions"),
        (ErrorKind::ReadOnlyFilesystem, "choose another place"),
        (ErrorKind::AlreadyExists, "choose another name"),
        (ErrorKind::IsADirectory, "give a file, not a folder"),
        (ErrorKind::NotADirectory, "give a folder, not a file"),
        (ErrorKind::StorageFull, "free space on the disk, or choose another"),
        (ErrorKind::QuotaExceeded, "free space on the disk, or choose another"),
        (ErrorKind::FileTooLarge, "raise the limit on file sizes (ulimit -f), or choose another disk"),
        (ErrorKind::TimedOut, ""),
    ] {
        let text = Error::io("write", Path::new("a.txt"))(kind.into()).to_string();
        assert!(text.starts_with("cannot write a.txt"), "{text}");
        let end = if advice.is_empty() { kind.to_string() } else { format!("; {advice}") };
        assert!(text.ends_with(&end), "{kind:?}: {text}");
    }
}
