//! Compiles the kernels and the emulator into one library, with the C++ compiler. What is compiled already, under a name that
//! is a hash of all its text, is taken as it is.

mod shared;

use crate::Sanitizer;
use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// The last two end the process where a pointer is used that is no multiple of what its type is aligned to, as vector loads have to
/// be on a card.
const FLAGS: [&str; 10] = [
    "-std=c++17",
    "-O1",
    "-g1",
    "-fPIC",
    "-fvisibility=hidden",
    "-ffp-contract=off",
    "-Wall",
    "-Wno-unknown-pragmas",
    "-fsanitize=alignment",
    "-fsanitize-undefined-trap-on-error",
];

/// The path of the library, built if the sources have changed; `None` where there is no C++ compiler, with a line on standard
/// error.
///
/// # Panics
/// With the compiler's message, where a kernel does not compile; where `GRADUS_COMPLETE` is set and there is no compiler; where
/// the folder `target` cannot be written.
pub fn build(sanitizer: Sanitizer) -> Option<PathBuf> {
    Some(Build { sanitizer, ..Build::new()? }.library())
}

/// One line of a kernel that is not what it should be, to see whether the tests of an operation notice.
#[derive(Clone, Copy, Debug)]
pub struct Bug<'a> {
    /// The file under `kernels/src`.
    pub file: &'a str,
    /// A text that stands in it once.
    pub right: &'a str,
    /// What stands in its place.
    pub wrong: &'a str,
}

/// A library with the kernels of one operation alone, a folder of `kernels/src`, and with a bug in them, if there is one.
///
/// # Panics
/// As [`build`]; where the text that the bug replaces does not stand in its file, or more than once.
pub fn build_operation(operation: &str, bug: Option<Bug<'_>>, sanitizer: Sanitizer) -> Option<PathBuf> {
    let seeded = bug.map(|bug| {
        let path = Path::new("kernels/src").join(bug.file);
        let build = Build::new()?;
        let text = read(&build.root.join(&path));
        assert_eq!(text.matches(bug.right).count(), 1, "{}: {:?} is to stand there once", bug.file, bug.right);
        Some((path, text.replace(bug.right, bug.wrong)))
    });
    Some(Build { sanitizer, operation: operation.into(), seeded: seeded.flatten(), ..Build::new()? }.library())
}

struct Build {
    root: PathBuf,
    compiler: String,
    sanitizer: Sanitizer,
    /// The folder of the kernels; empty for all of them.
    operation: String,
    /// A file with another text, its path in the workspace.
    seeded: Option<(PathBuf, String)>,
}

/// One file for the compiler.
struct Unit {
    name: String,
    text: String,
    /// The section of its shared arrays, where it is a file of kernels.
    shared: Option<String>,
}

/// A header, and its text with the bug, if it has one.
#[derive(PartialEq, Eq, Hash)]
struct Header {
    name: String,
    text: String,
}

impl Unit {
    fn is_kernel(&self) -> bool {
        self.name.ends_with(".cu")
    }
}

impl Build {
    /// All kernels as they are; `None` where there is no compiler.
    fn new() -> Option<Build> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in a workspace");
        let compiler = compiler();
        if Command::new(&compiler).arg("--version").output().is_err() {
            let complete = std::env::var_os("GRADUS_COMPLETE").is_some();
            assert!(!complete, "{compiler}: there is no C++ compiler for the CUDA emulator");
            eprintln!("not tested: the CUDA kernels, for there is no C++ compiler ({compiler})");
            return None;
        }
        let (sanitizer, operation, seeded) = (Sanitizer::None, String::new(), None);
        Some(Build { root: root.into(), compiler, sanitizer, operation, seeded })
    }

    fn library(&self) -> PathBuf {
        // Tests of one process build at the same time, under the same temporary names.
        static BUILDING: Mutex<()> = Mutex::new(());
        let _alone = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = self.root.join("target/emulator");
        fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let (own, headers) = (self.headers("emulator/cuda", "h"), self.headers("kernels/src", "cuh"));
        let units = self.units(&headers);
        let name = |unit| folder.join(self.object_name(unit, [&own, &headers]));
        let objects: Vec<PathBuf> = units.iter().map(name).collect();
        let library = folder.join(format!("{:016x}", hash(&objects))).join("libcuda.so");
        if library.exists() {
            return library;
        }
        let copies = self.seeded.as_ref().map(|_| self.copied_headers(&folder, &headers));
        let missing = units.iter().zip(&objects).filter(|(_, object)| !object.exists()).collect::<Vec<_>>();
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let work = || {
                while let Some((unit, object)) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                    self.compile(unit, object, copies.as_deref());
                }
            };
            let at_once = std::thread::available_parallelism().map_or(1, |cores| cores.get());
            let compiled: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
            compiled.into_iter().for_each(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        });
        self.link(&objects, &library);
        library
    }

    /// The emulator's own files and the kernels, each of which registers itself.
    fn units(&self, headers: &[Header]) -> Vec<Unit> {
        let own = ["runtime.cpp", "driver.cpp"].map(|name| Unit {
            name: name.into(),
            text: format!("#include {:?}\n", self.root.join("emulator/cuda").join(name)),
            shared: None,
        });
        let mut kernels = Vec::new();
        find(&self.root.join("kernels/src").join(&self.operation), "cu", &mut kernels);
        if self.operation.is_empty() {
            find(&self.root.join("kernels/tests/cuda"), "cu", &mut kernels); // kernels that only tests have
        }
        own.into_iter().chain(kernels.iter().map(|path| self.kernel(path, headers))).collect()
    }

    fn kernel(&self, path: &Path, headers: &[Header]) -> Unit {
        let relative = path.strip_prefix(&self.root).expect("a path in the workspace").to_string_lossy().into_owned();
        let id: String = relative.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let section = format!("shared_{:016x}", hash(&id));
        let source = self.read(path);
        // Where there is a bug the text itself, for a header with a bug would not be looked for before the one beside the file.
        let included = if self.has_the_bug(path, &source, headers) {
            format!("#line 1 {path:?}\n{source}\n")
        } else {
            format!("#include {path:?}\n")
        };
        let registered: String = names(&source)
            .iter()
            .map(|name| format!("GRADUS_REGISTER({name}, __start_{section}, __stop_{section});\n"))
            .collect();
        let text = format!(
            "#define GRADUS_SHARED_SECTION \"{section}\"\n#include \"runtime.h\"\n{included}\
             extern \"C\" __attribute__((weak, visibility(\"hidden\"))) unsigned char __start_{section}[], __stop_{section}[];\n\
             {registered}"
        );
        Unit { name: relative, text, shared: Some(section) }
    }

    /// Whether the bug stands in this file or in a header that it includes.
    fn has_the_bug(&self, path: &Path, source: &str, headers: &[Header]) -> bool {
        self.seeded.as_ref().is_some_and(|(seeded, _)| {
            let name = seeded.file_name().expect("a file").to_string_lossy();
            self.root.join(seeded) == path || included(source, headers).iter().any(|header| header.name == name)
        })
    }

    /// The headers in a folder.
    fn headers(&self, folder: &str, extension: &str) -> Vec<Header> {
        let mut paths = Vec::new();
        find(&self.root.join(folder), extension, &mut paths);
        let name = |path: &Path| path.file_name().expect("a file").to_string_lossy().into_owned();
        paths.iter().map(|path| Header { name: name(path), text: self.read(path) }).collect()
    }

    /// The text of a file, with the bug where it has one.
    fn read(&self, path: &Path) -> String {
        match &self.seeded {
            Some((seeded, text)) if self.root.join(seeded) == path => text.clone(),
            _ => read(path),
        }
    }

    /// A folder with the headers of all kernels, one of which may have a bug.
    fn copied_headers(&self, folder: &Path, headers: &[Header]) -> PathBuf {
        let folder = folder.join(format!("headers-{:016x}", hash(&headers)));
        fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for header in headers {
            let copy = folder.join(&header.name);
            let temporary = copy.with_extension(format!("{}.tmp", std::process::id()));
            let written = fs::write(&temporary, &header.text);
            written.unwrap_or_else(|error| panic!("{}: {error}", temporary.display()));
            rename(&temporary, &copy);
        }
        folder
    }

    /// A name that changes with all that the object is made of. `headers`: those of the emulator, and those of the kernels.
    fn object_name(&self, unit: &Unit, headers: [&[Header]; 2]) -> String {
        let folder = if unit.is_kernel() { "" } else { "emulator/cuda" };
        let source = self.read(&self.root.join(folder).join(&unit.name));
        let stem = Path::new(&unit.name).file_stem().expect("a file").to_string_lossy().into_owned();
        let made_of = (&unit.text, &source, headers[0], included(&source, headers[1]));
        format!("{stem}-{:016x}.o", hash(&(made_of, &unit.shared, FLAGS, self.sanitizer, &self.compiler)))
    }

    /// `headers`: a folder of headers that come before those beside the sources.
    fn compile(&self, unit: &Unit, object: &Path, headers: Option<&Path>) {
        let temporary = object.with_extension(format!("{}.tmp", std::process::id()));
        let source = temporary.with_extension("cpp");
        fs::write(&source, &unit.text).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
        let beside = Path::new(&unit.name).parent().filter(|_| unit.is_kernel()).map(|folder| self.root.join(folder));
        let usual = ["emulator/cuda", "kernels/src/cuda"].map(|folder| self.root.join(folder));
        let mut command = Command::new(&self.compiler);
        command.args(FLAGS).args(self.sanitizer.flags(unit.is_kernel()));
        for folder in headers.map(Path::to_path_buf).into_iter().chain(usual).chain(beside) {
            command.arg("-I").arg(folder);
        }
        run(command.arg("-c").arg(&source).arg("-o").arg(&temporary));
        fs::remove_file(&source).ok();
        if let Some(section) = unit.shared.as_ref().filter(|_| self.sanitizer != Sanitizer::Address) {
            shared::gather(&temporary, section);
            shared::check(&temporary, section).unwrap_or_else(|problem| panic!("{}: {problem}", unit.name));
        }
        rename(&temporary, object);
    }

    fn link(&self, objects: &[PathBuf], library: &Path) {
        let folder = library.parent().expect("a folder");
        fs::create_dir_all(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let temporary = library.with_extension(format!("{}.tmp", std::process::id()));
        let mut command = Command::new(&self.compiler);
        // The name under which a driver is looked for, so that a library that is loaded already is found by it.
        command.args(["-shared", "-Wl,-soname,libcuda.so"]).args(self.sanitizer.flags(true));
        run(command.args(objects).arg("-o").arg(&temporary).arg("-lpthread"));
        rename(&temporary, library);
    }
}

/// The C++ compiler.
pub(crate) fn compiler() -> String {
    std::env::var("CXX").unwrap_or_else(|_| "c++".into())
}

/// The headers that a text includes, and those that these include.
fn included<'a>(source: &'a str, headers: &'a [Header]) -> Vec<&'a Header> {
    let (mut found, mut texts) = (Vec::new(), vec![source]);
    while let Some(text) = texts.pop() {
        for header in headers.iter().filter(|header| text.contains(&format!("#include \"{}\"", header.name))) {
            if !found.contains(&header) {
                found.push(header);
                texts.push(&header.text);
            }
        }
    }
    found
}

/// The names of the kernels in a file.
fn names(source: &str) -> Vec<&str> {
    let after = source.split("extern \"C\" __global__").skip(1);
    let name = |text: &'_ str| -> Option<std::ops::Range<usize>> {
        let open = text.find("void ")? + "void ".len();
        // `__launch_bounds__(..)` may stand on either side of the type.
        let rest = &text[open..];
        let skipped = if rest.trim_start().starts_with("__launch_bounds__") { rest.find(')')? + 1 } else { 0 };
        let start = open + skipped + rest[skipped..].len() - rest[skipped..].trim_start().len();
        Some(start..start + text[start..].find('(')?)
    };
    after.filter_map(|text| name(text).map(|range| text[range].trim())).collect()
}

fn find(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            find(&path, extension, found);
        } else if path.extension().is_some_and(|other| other == extension) {
            found.push(path);
        }
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Puts a finished file in its place; another process may have put the same there.
fn rename(from: &Path, to: &Path) {
    fs::rename(from, to).unwrap_or_else(|error| panic!("{}: {error}", to.display()));
}

/// What the command writes.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_found_by_name() {
        let source = "__device__ void helper(int a);\nextern \"C\" __global__ void first(float* x) {}\n\
                      extern \"C\" __global__ void __launch_bounds__(256)\n    second(const float* x, int n) {}\n\
                      extern \"C\" __global__ __launch_bounds__(32, 2) void third() {}\n";
        assert_eq!(names(source), ["first", "second", "third"]);
    }

    /// A template that is no `static` function: its array is shared by all files that have it, in a section of its own.
    #[test]
    fn a_shared_array_that_would_not_be_nan_stops_the_build() {
        let Some(build) = Build::new() else { return };
        let object = build.root.join("target/emulator");
        fs::create_dir_all(&object).expect("a folder");
        let object = object.join(format!("shared-test-{}.o", std::process::id()));
        let compile = |of: &str| {
            let text = format!(
                "#define GRADUS_SHARED_SECTION \"shared_test\"\n#include \"runtime.h\"\n{of} {{ __shared__ float rows[N]; return rows; }}\n\
                 extern \"C\" __global__ void copy(float* x) {{ x[0] = buffer<8>()[0]; }}\n"
            );
            let unit = Unit { name: "kernels/test.cu".into(), text, shared: Some("shared_test".into()) };
            std::panic::catch_unwind(|| build.compile(&unit, &object, None))
        };
        compile("template <int N> __device__ float* buffer()").expect("one that is static");
        let problem = compile("template <int N> float* buffer()").expect_err("one that is not");
        let line = problem.downcast_ref::<String>().expect("a line");
        assert!(line.starts_with("kernels/test.cu: the shared array buffer<8>()::rows "), "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
        fs::remove_file(&object).ok();
    }
}
