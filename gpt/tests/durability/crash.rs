//! A file system that remembers what was done to it, and every state in which a crash can leave the disk.

use gradus_gpt::files::{Disk, FileSystem, OutFile};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

/// One step of a program on the disk. A file is known by a number, which it keeps when it gets another name.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    Create(PathBuf, usize),
    Write(usize, Vec<u8>),
    SyncFile(usize),
    CreateDir(PathBuf),
    Rename(PathBuf, PathBuf, usize),
    Remove(PathBuf),
    SyncFolder(PathBuf),
}

/// What `root` holds: for each path below it a folder, or the number of a file.
type Names = BTreeMap<PathBuf, Option<usize>>;

/// The content of `root` after a crash: folders, and files with their bytes.
pub type State = BTreeMap<PathBuf, Option<Vec<u8>>>;

#[derive(Debug, Default)]
struct Log {
    root: PathBuf,
    start: Names,
    contents: Vec<Vec<u8>>,
    now: BTreeMap<PathBuf, usize>,
    ops: Vec<Op>,
}

/// Does what [`Disk`] does, below one folder, and records it.
#[derive(Clone, Debug)]
pub struct Recorder(Arc<Mutex<Log>>);

#[derive(Debug)]
struct Recorded {
    file: Box<dyn OutFile>,
    number: usize,
    log: Arc<Mutex<Log>>,
}

impl Recorder {
    /// What is in `root` now has reached the disk.
    pub fn new(root: &Path) -> Recorder {
        let mut log = Log { root: root.to_path_buf(), ..Log::default() };
        for (path, content) in read(root) {
            let number = content.map(|content| {
                log.contents.push(content);
                log.contents.len() - 1
            });
            log.now.extend(number.map(|number| (path.clone(), number)));
            log.start.insert(path, number);
        }
        Recorder(Arc::new(Mutex::new(log)))
    }

    /// What was done so far.
    pub fn ops(&self) -> Vec<Op> {
        self.0.lock().unwrap().ops.clone()
    }

    fn record(&self, op: impl FnOnce(&mut Log) -> Op) {
        let mut log = self.0.lock().unwrap();
        let op = op(&mut log);
        log.ops.push(op);
    }

    /// Every distinct state that a crash after the first `done` steps can leave.
    ///
    /// What was forced to the disk is there. Of the rest, any part may be: each new, changed or removed name for itself,
    /// in any combination, and of the bytes none, some, all, or zeros in their place.
    pub fn states(&self, done: usize) -> Vec<State> {
        let log = self.0.lock().unwrap();
        let mut disk = Pending { names: log.start.clone(), ..Pending::default() };
        disk.contents.extend(log.contents.iter().map(|content| (content.clone(), Vec::new())));
        log.ops[..done].iter().for_each(|op| disk.apply(op));
        disk.states()
    }
}

impl Log {
    fn below(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root).unwrap_or_else(|_| panic!("{path:?} is elsewhere")).to_path_buf()
    }
}

impl FileSystem for Recorder {
    fn create(&self, path: &Path) -> io::Result<Box<dyn OutFile>> {
        let file = Disk.create(path)?;
        let mut number = 0;
        self.record(|log| {
            number = log.contents.len() + log.ops.iter().filter(|op| matches!(op, Op::Create(..))).count();
            log.now.insert(log.below(path), number);
            Op::Create(log.below(path), number)
        });
        Ok(Box::new(Recorded { file, number, log: self.0.clone() }))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn OutFile>> {
        if !path.exists() {
            return self.create(path);
        }
        let log = self.0.lock().unwrap();
        let number = log.now[&log.below(path)];
        Ok(Box::new(Recorded { file: Disk.append(path)?, number, log: self.0.clone() }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        Disk.create_dir(path)?;
        self.record(|log| Op::CreateDir(log.below(path)));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.rename(from, to)?;
        self.record(|log| {
            let (from, to) = (log.below(from), log.below(to));
            let number = log.now.remove(&from).unwrap();
            log.now.insert(to.clone(), number);
            Op::Rename(from, to, number)
        });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Disk.remove(path)?;
        self.record(|log| {
            log.now.remove(&log.below(path));
            Op::Remove(log.below(path))
        });
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        Disk.sync_folder(folder)?;
        self.record(|log| Op::SyncFolder(log.below(folder)));
        Ok(())
    }
}

impl Write for Recorded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.log.lock().unwrap().ops.push(Op::Write(self.number, bytes[..written].to_vec()));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl OutFile for Recorded {
    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()?;
        self.log.lock().unwrap().ops.push(Op::SyncFile(self.number));
        Ok(())
    }
}

/// Does what [`Disk`] does, but waits for no disk: for the many states that are only looked at.
#[derive(Clone, Copy, Debug)]
pub struct Hasty;

#[derive(Debug)]
struct HastyFile(Box<dyn OutFile>);

impl FileSystem for Hasty {
    fn create(&self, path: &Path) -> io::Result<Box<dyn OutFile>> {
        Ok(Box::new(HastyFile(Disk.create(path)?)))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn OutFile>> {
        Ok(Box::new(HastyFile(Disk.append(path)?)))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        Disk.create_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Disk.remove(path)
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

impl Write for HastyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl OutFile for HastyFile {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What has reached the disk, and what has not.
#[derive(Debug, Default)]
struct Pending {
    names: Names,
    /// Changes of names, each with the folders that it waits for.
    changes: Vec<(Op, BTreeSet<PathBuf>)>,
    /// For each file the bytes on the disk and those on their way.
    contents: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Pending {
    fn apply(&mut self, op: &Op) {
        let parent = |path: &Path| path.parent().unwrap().to_path_buf();
        let folders = match op {
            Op::Write(number, bytes) => return self.contents[*number].1.extend(bytes),
            Op::SyncFile(number) => {
                let (on_disk, pending) = &mut self.contents[*number];
                return on_disk.append(pending);
            }
            Op::SyncFolder(folder) => return self.sync(folder),
            Op::Create(path, number) => {
                assert_eq!(*number, self.contents.len());
                self.contents.push(Default::default());
                BTreeSet::from([parent(path)])
            }
            Op::CreateDir(path) | Op::Remove(path) => BTreeSet::from([parent(path)]),
            Op::Rename(from, to, _) => BTreeSet::from([parent(from), parent(to)]),
        };
        self.changes.push((op.clone(), folders));
    }

    fn sync(&mut self, folder: &Path) {
        for (op, folders) in &mut self.changes {
            folders.remove(folder);
            if folders.is_empty() {
                change(&mut self.names, op);
            }
        }
        self.changes.retain(|(_, folders)| !folders.is_empty());
    }

    fn states(&self) -> Vec<State> {
        assert!(self.changes.len() <= 10, "too many changes wait: {:?}", self.changes);
        let mut states = HashSet::new();
        for subset in 0..1 << self.changes.len() {
            let mut names = self.names.clone();
            for (i, (op, _)) in self.changes.iter().enumerate() {
                if subset >> i & 1 == 1 {
                    change(&mut names, op);
                }
            }
            let found: Names =
                names.iter().filter(|(path, _)| is_found(&names, path)).map(|(p, n)| (p.clone(), *n)).collect();
            for survives in [none, half, all_but_one, all, zeros] {
                let bytes = |number: usize| -> Vec<u8> {
                    let (on_disk, pending) = &self.contents[number];
                    [&on_disk[..], &survives(pending)].concat()
                };
                states.insert(found.iter().map(|(path, number)| (path.clone(), number.map(bytes))).collect::<State>());
            }
        }
        states.into_iter().collect()
    }
}

fn none(_: &[u8]) -> Vec<u8> {
    Vec::new()
}

fn half(bytes: &[u8]) -> Vec<u8> {
    bytes[..bytes.len() / 2].to_vec()
}

fn all_but_one(bytes: &[u8]) -> Vec<u8> {
    bytes[..bytes.len().saturating_sub(1)].to_vec()
}

fn all(bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec()
}

fn zeros(bytes: &[u8]) -> Vec<u8> {
    vec![0; bytes.len()]
}

fn change(names: &mut Names, op: &Op) {
    match op {
        Op::Create(path, number) => drop(names.insert(path.clone(), Some(*number))),
        Op::CreateDir(path) => drop(names.insert(path.clone(), None)),
        Op::Rename(from, to, number) => {
            names.remove(from);
            names.insert(to.clone(), Some(*number));
        }
        Op::Remove(path) => drop(names.remove(path)),
        Op::Write(..) | Op::SyncFile(_) | Op::SyncFolder(_) => {}
    }
}

/// Whether every folder above it is there.
fn is_found(names: &Names, path: &Path) -> bool {
    path.ancestors().skip(1).all(|folder| folder.as_os_str().is_empty() || names.contains_key(folder))
}

/// All that lies below `root`.
pub fn read(root: &Path) -> State {
    let mut state = State::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let below = path.strip_prefix(root).unwrap().to_path_buf();
            if path.is_dir() {
                state.insert(below, None);
                folders.push(path);
            } else {
                state.insert(below, Some(fs::read(path).unwrap()));
            }
        }
    }
    state
}

/// Makes the folders and files of a state below `root`.
pub fn restore(state: &State, root: &Path) {
    for (path, content) in state {
        match content {
            None => fs::create_dir(root.join(path)).unwrap(),
            Some(content) => fs::write(root.join(path), content).unwrap(),
        }
    }
}
