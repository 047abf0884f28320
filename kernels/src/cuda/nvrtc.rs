//! Compiling kernels from their source, for whoever changes them: with `GRADUS_CUDA=nvrtc` NVIDIA's compiler library makes
//! their PTX when they are first used. The result is kept on disk under a hash of source and options.

use super::{Capability, Error, Module, Result};
use libloading::{Library, Symbol};
use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::PathBuf,
    ptr::null_mut,
};

macro_rules! headers {
    ($($folder:literal $name:literal),* $(,)?) => { &[$(($name, include_str!(concat!($folder, $name)))),*] };
}

/// The headers that kernels include, which NVRTC is given with their names.
const HEADERS: &[(&str, &str)] = headers![
    "../attention/cuda/" "attention.cuh",
    "../cross_entropy/cuda/" "cross_entropy.cuh",
    "../attention/cuda/" "decode.cuh",
    "../attention/cuda/" "fragments.cuh",
    "../elementwise/cuda/" "functions.cuh",
    "" "gradus.cuh",
    "" "kept.cuh",
    "../matmul/cuda/" "matmul.cuh",
    "../matmul/cuda/" "matmul_mma.cuh",
    "../norm/cuda/" "norm.cuh",
    "" "numbers.cuh",
    "" "online.cuh",
    "" "philox.cuh",
    "" "quad.cuh",
    "../reduce/cuda/" "reduce.cuh",
    "../attention/cuda/" "register.cuh",
    "../cross_entropy/cuda/" "row_loss.cuh",
    "../softmax/cuda/" "softmax.cuh",
    "" "strides.cuh",
    "" "team.cuh",
    "" "tensor_cores.cuh",
    "../attention/cuda/" "tile.cuh",
];

/// The libraries that are tried, the newest first.
const NAMES: [&str; 6] =
    ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so", "nvrtc64_130_0.dll", "nvrtc64_120_0.dll", "libnvrtc.dylib"];

/// Whether kernels are to be compiled from their source.
pub(super) fn asked_for() -> bool {
    std::env::var_os("GRADUS_CUDA").is_some_and(|value| value == "nvrtc")
}

/// The PTX of a module for a device of this capability.
pub(super) fn ptx(module: &Module, capability: Capability) -> Result<String> {
    let architecture = format!("--gpu-architecture=compute_{}{}", capability.major, capability.minor);
    let options = [architecture.as_str(), "--std=c++17", "--fmad=true"];
    let mut hasher = DefaultHasher::new();
    (module.source, HEADERS, options).hash(&mut hasher);
    let folder =
        std::env::var_os("GRADUS_CUDA_CACHE").map_or_else(|| std::env::temp_dir().join("gradus-cuda"), PathBuf::from);
    let kept = folder.join(format!("{:016x}.ptx", hasher.finish()));
    if let Ok(text) = fs::read_to_string(&kept) {
        return Ok(text);
    }
    let text = Compiler::load()?.compile(module.file, module.source, &options)?;
    // What cannot be kept is compiled again the next time.
    let temporary = kept.with_extension(format!("{}.tmp", std::process::id()));
    if fs::create_dir_all(&folder).and_then(|()| fs::write(&temporary, &text)).is_ok() {
        let _ = fs::rename(&temporary, &kept);
    }
    Ok(text)
}

struct Compiler(Library);

type Program = *mut c_void;

impl Compiler {
    fn load() -> Result<Compiler> {
        let mut last = String::new();
        for name in NAMES {
            // SAFETY: this loads NVIDIA's library, which starts nothing.
            match unsafe { Library::new(name) } {
                Ok(library) => return Ok(Compiler(library)),
                Err(error) => last = error.to_string(),
            }
        }
        Err(Error::NoCompiler(last))
    }

    /// # Safety
    /// `T` has to be the type of the function.
    unsafe fn function<T>(&self, name: &str) -> Result<Symbol<'_, T>> {
        // SAFETY: the caller's.
        unsafe { self.0.get(name.as_bytes()) }.map_err(|error| Error::NoCompiler(error.to_string()))
    }

    fn compile(&self, file: &str, source: &str, options: &[&str]) -> Result<String> {
        let (text, name) = (c_string(source), c_string(file));
        let options = Strings::new(options.iter().copied());
        let headers = Strings::new(HEADERS.iter().map(|header| header.1));
        let names = Strings::new(HEADERS.iter().map(|header| header.0));
        type Create = unsafe extern "C" fn(
            *mut Program,
            *const c_char,
            *const c_char,
            c_int,
            *const *const c_char,
            *const *const c_char,
        ) -> c_int;
        type Compile = unsafe extern "C" fn(Program, c_int, *const *const c_char) -> c_int;
        type Destroy = unsafe extern "C" fn(*mut Program) -> c_int;
        // SAFETY: the types are those of nvrtc.h. All strings end with a zero byte and live until the end; the program is created
        // before it is used, and destroyed once.
        unsafe {
            let mut program = null_mut();
            self.function::<Create>("nvrtcCreateProgram")?(
                &raw mut program,
                text.as_ptr(),
                name.as_ptr(),
                HEADERS.len() as c_int,
                headers.pointers.as_ptr(),
                names.pointers.as_ptr(),
            );
            let compile = self.function::<Compile>("nvrtcCompileProgram")?;
            let status = compile(program, options.pointers.len() as c_int, options.pointers.as_ptr());
            let result = if status == 0 {
                self.text(program, "nvrtcGetPTXSize", "nvrtcGetPTX")
            } else {
                let log = self.text(program, "nvrtcGetProgramLogSize", "nvrtcGetProgramLog")?;
                Err(Error::Compile { file: file.into(), log })
            };
            self.function::<Destroy>("nvrtcDestroyProgram")?(&raw mut program);
            result
        }
    }

    /// A text of a program, which two functions give: its size, and itself.
    ///
    /// # Safety
    /// The program has to be one that was created, and the functions a pair of nvrtc.h.
    unsafe fn text(&self, program: Program, size_name: &str, name: &str) -> Result<String> {
        type Size = unsafe extern "C" fn(Program, *mut usize) -> c_int;
        type Get = unsafe extern "C" fn(Program, *mut c_char) -> c_int;
        // SAFETY: the caller's; the second function writes as many bytes as the first says, the last of which is zero.
        unsafe {
            let mut bytes = 0;
            self.function::<Size>(size_name)?(program, &raw mut bytes);
            let mut text = vec![0_u8; bytes + 1];
            self.function::<Get>(name)?(program, text.as_mut_ptr().cast());
            Ok(CStr::from_bytes_until_nul(&text).expect("a zero byte at the end").to_string_lossy().into_owned())
        }
    }
}

fn c_string(text: &str) -> CString {
    CString::new(text).expect("a text without zero bytes")
}

/// Texts as C takes them: an array of pointers to them.
struct Strings {
    _texts: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl Strings {
    fn new<'a>(texts: impl Iterator<Item = &'a str>) -> Strings {
        let texts: Vec<CString> = texts.map(c_string).collect();
        let pointers = texts.iter().map(|text| text.as_ptr()).collect();
        Strings { _texts: texts, pointers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_header_is_given_to_the_compiler() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let operations = fs::read_dir(&source).unwrap().map(|entry| entry.unwrap().path().join("cuda"));
        let folders = operations.chain([source.join("cuda")]).filter(|folder| folder.is_dir());
        let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap());
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name.ends_with(".cuh")).collect();
        names.sort_unstable();
        assert!(HEADERS.iter().map(|header| header.0).eq(names.iter().map(String::as_str)), "{names:?}");
    }
}
