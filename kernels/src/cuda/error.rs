//! What can go wrong on a device; one line each, which says what to do.

use super::Capability;

/// The result of what a device may refuse.
pub type Result<T> = std::result::Result<T, Error>;

/// A device that is not there, has too little memory, or failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no driver library.
    #[error("there is no CUDA driver on this machine ({}); install NVIDIA's, or leave out --device cuda", .0)]
    NoDriver(String),
    /// The driver is older than the kernels.
    #[error(
        "the CUDA driver is too old: it serves CUDA {}.{}, and the kernels need 12.0 (driver 525 or later)",
        .found / 1000, .found % 1000 / 10
    )]
    DriverTooOld {
        /// What `cuDriverGetVersion` says: 12020 for 12.2.
        found: i32,
    },
    /// There is no device of this number.
    #[error("there is no CUDA device {ordinal}: {}", match .count { 0 => "this machine has none".into(), n => format!("they are numbered from 0 to {}", n - 1) })]
    NoDevice {
        /// Which one was asked for.
        ordinal: usize,
        /// How many there are.
        count: usize,
    },
    /// The device is older than the kernels.
    #[error("{name} has compute capability {found}, and the kernels need {needed} or later")]
    TooOld {
        /// The device or the kernel.
        name: String,
        /// What the device has.
        found: Capability,
        /// What is needed.
        needed: Capability,
    },
    /// The memory of the device does not suffice.
    #[error(
        "the CUDA device is out of memory: {} MiB asked for, {} of {} MiB free; make the batch, the context or the model smaller, or set --recompute blocks",
        .asked.div_ceil(1 << 20), .free >> 20, .total >> 20
    )]
    OutOfMemory {
        /// Bytes that were asked for.
        asked: usize,
        /// Bytes that were free.
        free: usize,
        /// Bytes that the device has.
        total: usize,
    },
    /// A size that the kernels cannot count.
    #[error("{what} is {size}, and the CUDA kernels count to {}", u32::MAX)]
    TooLarge {
        /// Which size.
        what: &'static str,
        /// How large it is.
        size: usize,
    },
    /// A kernel that could not be started, or failed while it ran.
    #[error("the CUDA kernel {kernel} failed, {blocks:?} blocks of {threads:?} threads: {cause}")]
    Launch {
        /// Its name.
        kernel: &'static str,
        /// The blocks along x, y and z.
        blocks: [u32; 3],
        /// The threads of a block along x, y and z.
        threads: [u32; 3],
        /// What the driver says.
        cause: String,
    },
    /// A kernel's source that NVRTC does not compile.
    #[error("NVRTC does not compile {file}: {log}")]
    Compile {
        /// The file.
        file: String,
        /// Its messages, with lines.
        log: String,
    },
    /// NVRTC is not there.
    #[error("GRADUS_CUDA=nvrtc needs NVIDIA's compiler library, which is not found: {0}")]
    NoCompiler(String),
    /// cuBLAS, which only benchmarks use, is not there.
    #[cfg(feature = "cublas")]
    #[error(
        "NVIDIA's library cuBLAS is not found (libcublas.so or cublas64_12.dll); install it with the CUDA toolkit, and put its folder on LD_LIBRARY_PATH"
    )]
    NoCublas,
    /// Any other refusal of the driver.
    #[error("the CUDA driver failed: {call}: {cause}")]
    Driver {
        /// What was asked of it.
        call: &'static str,
        /// What it says.
        cause: String,
    },
}
