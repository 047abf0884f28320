//! A CUDA device for machines without one: the kernels of `kernels/src/*/cuda`, compiled by the C++ compiler, behind a library
//! that exports the functions of the CUDA driver. Unmodified code finds it where it looks for the driver.
//!
//! `cuda/emulator.h` gives CUDA C its meaning, `cuda/runtime.cpp` runs the threads of a block, `cuda/driver.cpp` is the driver.
//! What it proves is what a kernel computes, in several orders of its threads, and that it stays within its memory. It says
//! nothing about speed, and its tensor cores are written from the PTX manual, by the same people as the kernels.
//!
//! [`load`] is for tests in this process. [`build`] gives the library's path, for a program that is started with
//! `GRADUS_CUDA_DRIVER` set to it.

mod build;
mod sanitizer;

pub use build::{Bug, build, build_operation};
pub use sanitizer::Sanitizer;

use libloading::{Library, Symbol};
use std::{ffi::CString, path::PathBuf, sync::OnceLock};

/// In which order the threads of a block go on, each as far as it can. A kernel computes the same in all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// From the first to the last.
    Forward,
    /// From the last to the first.
    Reverse,
    /// Shuffled anew in each round, by this seed.
    Random(u32),
    /// One warp, this one modulo their number, goes ahead of all others until it has to wait for them.
    WarpAhead(u32),
}

impl Schedule {
    /// The schedules that every kernel is tested in.
    pub const ALL: [Schedule; 5] =
        [Schedule::Forward, Schedule::Reverse, Schedule::Random(1), Schedule::WarpAhead(0), Schedule::WarpAhead(1)];
}

/// The emulator, loaded into this process.
#[derive(Debug)]
pub struct Emulator(Library);

/// The emulator, built from the sources if they have changed, or the library that `GRADUS_EMULATOR_LIBRARY` names. `None` where this
/// machine has no C++ compiler, with a line on standard error; where `GRADUS_COMPLETE` is set, as in the gate, that is an error.
///
/// With `GRADUS_EMULATOR_SANITIZER=address` or `thread` it is built with that sanitizer, whose own library has to be loaded before all
/// others then (`LD_PRELOAD`).
///
/// # Panics
/// With the compiler's message, where a kernel does not compile.
pub fn load() -> Option<&'static Emulator> {
    static LOADED: OnceLock<Option<Emulator>> = OnceLock::new();
    LOADED
        .get_or_init(|| {
            let given = std::env::var_os("GRADUS_EMULATOR_LIBRARY").map(PathBuf::from);
            let path = given.or_else(|| build(Sanitizer::from_environment()))?;
            // SAFETY: the library is the one that was just built; loading it runs the registration of its kernels, which
            // touches nothing but memory of its own. It stays loaded until the process ends.
            let library = unsafe { Library::new(&path) };
            Some(Emulator(library.unwrap_or_else(|error| panic!("{}: {error}", path.display()))))
        })
        .as_ref()
}

impl Emulator {
    /// Sets the order of the threads for all launches to come, in this process.
    pub fn schedule(&self, schedule: Schedule) {
        let (kind, seed) = match schedule {
            Schedule::Forward => (0, 0),
            Schedule::Reverse => (1, 0),
            Schedule::Random(seed) => (2, seed),
            Schedule::WarpAhead(warp) => (3, warp),
        };
        // SAFETY: this is the type of the function in driver.cpp, which may be called at any time.
        unsafe {
            let function: Symbol<'_, unsafe extern "C" fn(i32, u32)> = self.symbol(b"gradus_emulator_schedule");
            function(kind, seed);
        }
    }

    /// How often a function of the driver, such as `cuStreamSynchronize`, was called since the process began.
    ///
    /// # Panics
    /// Where the name holds a zero byte.
    pub fn calls(&self, function: &str) -> u64 {
        let name = CString::new(function).expect("a name without zero bytes");
        // SAFETY: this is the type of the function in driver.cpp, which reads the name until its end.
        unsafe {
            let calls: Symbol<'_, unsafe extern "C" fn(*const std::ffi::c_char) -> u64> =
                self.symbol(b"gradus_emulator_calls");
            calls(name.as_ptr())
        }
    }

    /// From now on, in this process, launches are counted and not run, all memory begins as zeros, and a device that is opened says that it
    /// has this compute capability (90 for 9.0) and so many multiprocessors. It counts the launches at sizes that would take hours.
    pub fn only_count(&self, capability: i32, multiprocessors: i32) {
        // SAFETY: this is the type of the function in driver.cpp, which may be called at any time.
        unsafe {
            let function: Symbol<'_, unsafe extern "C" fn(i32, i32)> = self.symbol(b"gradus_emulator_dry");
            function(capability, multiprocessors);
        }
    }

    /// Makes the device usable again after a launch that failed. A real one stays unusable until the process ends.
    pub fn reset(&self) {
        // SAFETY: this is the type of the function in driver.cpp, which may be called at any time.
        unsafe {
            let function: Symbol<'_, unsafe extern "C" fn()> = self.symbol(b"gradus_emulator_reset");
            function();
        }
    }

    /// # Safety
    /// `T` has to be the type of the function.
    unsafe fn symbol<T>(&self, name: &[u8]) -> Symbol<'_, T> {
        // SAFETY: the caller's.
        unsafe { self.0.get(name) }
            .unwrap_or_else(|error| panic!("the emulator was not built from these sources: {error}"))
    }
}
