//! What finds errors while kernels run.

use crate::build::compiler;
use std::{path::PathBuf, process::Command};

/// What the library is compiled with, to find errors while kernels run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Sanitizer {
    /// Nothing.
    #[default]
    None,
    /// The address sanitizer: accesses outside of shared memory and local arrays.
    Address,
    /// The thread sanitizer: two threads of a block that touch the same memory, one of them writing, with no barrier between. It
    /// sees that in any schedule.
    Thread,
}

impl Sanitizer {
    /// The one that `GRADUS_EMULATOR_SANITIZER` names.
    ///
    /// # Panics
    /// Where it names none that there is.
    pub fn from_environment() -> Sanitizer {
        match std::env::var("GRADUS_EMULATOR_SANITIZER").as_deref() {
            Err(_) | Ok("") => Sanitizer::None,
            Ok("address") => Sanitizer::Address,
            Ok("thread") => Sanitizer::Thread,
            Ok(other) => panic!("GRADUS_EMULATOR_SANITIZER={other}: it is address or thread"),
        }
    }

    /// What a file is compiled with. The thread sanitizer is not to watch the emulator, which tells it what the threads are.
    pub(crate) fn flags(self, kernels: bool) -> &'static [&'static str] {
        match self {
            Sanitizer::None => &[],
            Sanitizer::Address => &["-fsanitize=address", "-fno-omit-frame-pointer"],
            Sanitizer::Thread if kernels => &["-fsanitize=thread"],
            Sanitizer::Thread => &["-DGRADUS_RACES"],
        }
    }

    /// The sanitizer's own library, which has to be loaded before all others (`LD_PRELOAD`). `None` for no sanitizer, and where the
    /// compiler has none, with a line on standard error.
    ///
    /// # Panics
    /// Where the compiler has none, and `GRADUS_COMPLETE` is set.
    pub fn library(self) -> Option<PathBuf> {
        let name = match self {
            Sanitizer::None => return None,
            Sanitizer::Address => "libasan.so",
            Sanitizer::Thread => "libtsan.so",
        };
        let found = Command::new(compiler()).arg(format!("-print-file-name={name}")).output();
        // A compiler that does not find it says its name alone.
        let path = found.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
        let path = path.ok().filter(|path| path.is_absolute() && path.exists());
        if path.is_none() {
            let complete = std::env::var_os("GRADUS_COMPLETE").is_some();
            assert!(!complete, "{name}: the C++ compiler has no such library; it comes with GCC's sanitizers");
            eprintln!("not tested: the CUDA kernels under a sanitizer, for the C++ compiler has no {name}");
        }
        path
    }
}
