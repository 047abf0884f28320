//! Finding the driver's library, and its results.

use super::{Error, Result};
use cudarc::driver::{result::DriverError, sys};
use std::sync::OnceLock;

/// The oldest driver whose assembler reads the PTX of the kernels.
const OLDEST: i32 = 12_000;

/// Loads the driver and starts it, once. The crate `cudarc` panics where it is missing, so it is looked for first.
pub(super) fn start() -> Result<()> {
    static STARTED: OnceLock<Result<()>> = OnceLock::new();
    STARTED.get_or_init(find_and_start).clone()
}

fn find_and_start() -> Result<()> {
    if let Some(path) = std::env::var_os("GRADUS_CUDA_DRIVER") {
        // SAFETY: the user names a driver library. Loading it runs what it does to start, as loading the system's does.
        let library = unsafe { libloading::Library::new(&path) };
        // It stays loaded, and is found by its name afterwards.
        std::mem::forget(library.map_err(|error| Error::NoDriver(format!("GRADUS_CUDA_DRIVER: {error}")))?);
    }
    // SAFETY: this loads the driver's library and asks nothing of it.
    if !unsafe { sys::is_culib_present() } {
        return Err(Error::NoDriver("no libcuda.so or nvcuda.dll".into()));
    }
    check("cuInit", cudarc::driver::result::init())?;
    let mut found = 0;
    // SAFETY: the driver is there, and writes one number.
    check("cuDriverGetVersion", unsafe { sys::cuDriverGetVersion(&raw mut found) }.result())?;
    if found < OLDEST { Err(Error::DriverTooOld { found }) } else { Ok(()) }
}

/// The driver's answer to `call`.
pub(super) fn check<T>(call: &'static str, result: std::result::Result<T, DriverError>) -> Result<T> {
    result.map_err(|error| Error::Driver { call, cause: text(error) })
}

/// What the driver says of its error.
pub(super) fn text(error: DriverError) -> String {
    let text = error.error_string().map(|text| text.to_string_lossy().into_owned());
    text.unwrap_or_else(|_| format!("{:?}", error.0))
}
