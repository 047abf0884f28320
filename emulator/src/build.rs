//! Compiles the kernels and the emulator into one library, with the C++ compiler. What is compiled already, under a name that
//! is a hash of all its text, is taken as it is.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
};

/// What the library is compiled with, to find errors while kernels run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Sanitizer {
    /// Nothing.
    #[default]
    None,
    /// The address sanitizer: accesses outside of shared memory and local arrays.
    Address,
    /// The thread sanitizer: two threads of a block that touch the same memory with no barrier between. Each of them is a
    /// thread of the system then.
    Thread,
}

impl Sanitizer {
    fn flags(self) -> &'static [&'static str] {
        match self {
            Sanitizer::None => &[],
            Sanitizer::Address => &["-fsanitize=address", "-fno-omit-frame-pointer"],
            Sanitizer::Thread => &["-fsanitize=thread", "-DGRADUS_THREADS"],
        }
    }
}

const FLAGS: [&str; 8] =
    ["-std=c++17", "-O1", "-g1", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off", "-Wall", "-Wno-unknown-pragmas"];

/// The path of the library, built if the sources have changed; `None` where there is no C++ compiler, with a line on standard
/// error.
///
/// # Panics
/// With the compiler's message, where a kernel does not compile; where `GRADUS_COMPLETE` is set and there is no compiler; where
/// the folder `target` cannot be written.
pub fn build(sanitizer: Sanitizer) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in a workspace");
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
    if Command::new(&compiler).arg("--version").output().is_err() {
        assert!(std::env::var_os("GRADUS_COMPLETE").is_none(), "{compiler}: there is no C++ compiler for the CUDA emulator");
        eprintln!("not tested: the CUDA kernels, for there is no C++ compiler ({compiler})");
        return None;
    }
    Some(Build { root: root.into(), compiler, sanitizer }.library())
}

struct Build {
    root: PathBuf,
    compiler: String,
    sanitizer: Sanitizer,
}

/// One file for the compiler.
struct Unit {
    name: String,
    text: String,
}

impl Build {
    fn library(&self) -> PathBuf {
        let folder = self.root.join("target/emulator");
        fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let headers = self.headers();
        let objects: Vec<PathBuf> = self.units().iter().map(|unit| folder.join(self.object_name(unit, &headers))).collect();
        let library = folder.join(format!("{:016x}", hash(&objects))).join("libcuda.so");
        if library.exists() {
            return library;
        }
        std::thread::scope(|scope| {
            let compiled: Vec<_> = self
                .units()
                .into_iter()
                .zip(&objects)
                .filter(|(_, object)| !object.exists())
                .map(|(unit, object)| scope.spawn(move || self.compile(&unit, object)))
                .collect();
            compiled.into_iter().for_each(|one| one.join().expect("a kernel compiles"));
        });
        self.link(&objects, &library);
        library
    }

    /// The emulator's own files and the kernels, each of which registers itself.
    fn units(&self) -> Vec<Unit> {
        let own = ["runtime.cpp", "driver.cpp"].map(|name| Unit {
            name: name.into(),
            text: format!("#include {:?}\n", self.root.join("emulator/cuda").join(name)),
        });
        let mut kernels = Vec::new();
        find(&self.root.join("kernels/src"), "cu", &mut kernels);
        find(&self.root.join("kernels/tests/cuda"), "cu", &mut kernels);
        own.into_iter().chain(kernels.iter().map(|path| self.kernel(path))).collect()
    }

    fn kernel(&self, path: &Path) -> Unit {
        let relative = path.strip_prefix(&self.root).expect("a path in the workspace").to_string_lossy().into_owned();
        let id: String = relative.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let section = format!("shared_{:016x}", hash(&id));
        let registered: String = names(&read(path))
            .iter()
            .map(|name| format!("GRADUS_REGISTER({name}, __start_{section}, __stop_{section});\n"))
            .collect();
        let text = format!(
            "#define GRADUS_SHARED_SECTION \"{section}\"\n#include \"runtime.h\"\n#include {path:?}\n\
             extern \"C\" __attribute__((weak, visibility(\"hidden\"))) unsigned char __start_{section}[], __stop_{section}[];\n\
             {registered}"
        );
        Unit { name: relative, text }
    }

    fn headers(&self) -> Vec<String> {
        let mut paths = Vec::new();
        find(&self.root.join("emulator/cuda"), "h", &mut paths);
        find(&self.root.join("kernels/src"), "cuh", &mut paths);
        paths.iter().map(|path| read(path)).collect()
    }

    fn object_name(&self, unit: &Unit, headers: &[String]) -> String {
        let source = read(&self.root.join(if unit.name.ends_with(".cu") { "" } else { "emulator/cuda" }).join(&unit.name));
        let stem = Path::new(&unit.name).file_stem().expect("a file").to_string_lossy().into_owned();
        format!("{stem}-{:016x}.o", hash(&(&unit.text, source, headers, FLAGS, self.sanitizer, &self.compiler)))
    }

    fn compile(&self, unit: &Unit, object: &Path) {
        let temporary = object.with_extension(format!("{}.tmp", std::process::id()));
        let source = temporary.with_extension("cpp");
        fs::write(&source, &unit.text).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
        let mut command = Command::new(&self.compiler);
        command.args(FLAGS).args(self.sanitizer.flags());
        command.arg("-I").arg(self.root.join("emulator/cuda")).arg("-I").arg(self.root.join("kernels/src/cuda"));
        run(command.arg("-c").arg(&source).arg("-o").arg(&temporary));
        fs::remove_file(&source).ok();
        rename(&temporary, object);
    }

    fn link(&self, objects: &[PathBuf], library: &Path) {
        let folder = library.parent().expect("a folder");
        fs::create_dir_all(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let temporary = library.with_extension(format!("{}.tmp", std::process::id()));
        let mut command = Command::new(&self.compiler);
        // The name under which a driver is looked for, so that a library that is loaded already is found by it.
        command.args(["-shared", "-Wl,-soname,libcuda.so"]).args(self.sanitizer.flags());
        run(command.args(objects).arg("-o").arg(&temporary).arg("-lpthread"));
        rename(&temporary, library);
    }
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

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
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
}
