//! The kernels in the program: their PTX and their source, and how they get onto a device.

use super::{Capability, Error, Gpu, Result, driver, nvrtc};
use cudarc::driver::{
    result::{self, DriverError},
    sys,
};
use std::{
    ffi::CString,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// A file of kernels.
#[derive(Debug)]
pub struct Module {
    /// Its file under `kernels/src`, such as `softmax/cuda/online.cu`.
    pub file: &'static str,
    /// CUDA C.
    pub source: &'static str,
    /// The same for the virtual card, as `kernels/ptx/generate.py` made it.
    pub ptx: &'static str,
    /// The compute capability from which on it runs.
    pub needs: Capability,
}

/// A [`Module`] of this crate: `module!("softmax", "online")` is `softmax/cuda/online.cu`, for every card;
/// `module!("matmul", "mma", SM_80)` is `matmul/cuda/mma.sm_80.cu`.
macro_rules! module {
    (@ $folder:literal, $file:expr, $ptx:expr, $needs:ident) => {
        $crate::cuda::Module {
            file: concat!($folder, "/cuda/", $file),
            source: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/", $folder, "/cuda/", $file)),
            ptx: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/ptx/", $ptx)),
            needs: $crate::cuda::Capability::$needs,
        }
    };
    ($folder:literal, $name:literal) => {
        $crate::cuda::module!(@ $folder, concat!($name, ".cu"), concat!($folder, "_", $name, ".ptx"), SM_75)
    };
    ($folder:literal, $name:literal, SM_80) => {
        $crate::cuda::module!(@ $folder, concat!($name, ".sm_80.cu"), concat!($folder, "_", $name, ".sm_80.ptx"), SM_80)
    };
}
pub(crate) use module;

/// All files of kernels, which tests and tables go through.
pub static MODULES: &[&[&Module]] = &[
    crate::attention::cuda::MODULES,
    crate::cast::cuda::MODULES,
    crate::cross_entropy::cuda::MODULES,
    crate::dropout::cuda::MODULES,
    crate::elementwise::cuda::MODULES,
    crate::embedding::cuda::MODULES,
    crate::kv_cache::cuda::MODULES,
    crate::matmul::cuda::MODULES,
    crate::norm::cuda::MODULES,
    crate::optimizer::cuda::MODULES,
    crate::probe::cuda::MODULES,
    crate::reduce::cuda::MODULES,
    crate::rope::cuda::MODULES,
    crate::softmax::cuda::MODULES,
];

/// A kernel on a device.
pub(super) struct Function {
    handle: sys::CUfunction,
    /// Of each parameter the bytes.
    sizes: Vec<usize>,
    /// The bytes of shared memory that launches may ask for.
    shared: AtomicUsize,
}

// SAFETY: the handle of a function may be used from any thread.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}

/// The bytes of shared memory that a launch may ask for without asking the driver first.
const SHARED_WITHOUT_ASKING: usize = 48 << 10;

impl Function {
    pub(super) fn handle(&self) -> sys::CUfunction {
        self.handle
    }

    pub(super) fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// Makes sure that a launch may ask for so much shared memory.
    pub(super) fn allow_shared(&self, bytes: usize) -> std::result::Result<(), DriverError> {
        if bytes <= self.shared.load(Ordering::Relaxed) {
            return Ok(());
        }
        let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        // SAFETY: the function is loaded.
        unsafe { result::function::set_function_attribute(self.handle, attribute, bytes as i32) }?;
        self.shared.store(bytes, Ordering::Relaxed);
        Ok(())
    }
}

impl Gpu {
    /// The kernel `name` of `module`, loaded where it is not yet.
    pub(super) fn function(&self, module: &'static Module, name: &'static str) -> Result<Arc<Function>> {
        let mut functions = self.functions();
        if let Some(function) = functions.get(name) {
            return Ok(function.clone());
        }
        let function = Arc::new(self.load(module, name)?);
        functions.insert(name, function.clone());
        Ok(function)
    }

    fn load(&self, module: &'static Module, name: &'static str) -> Result<Function> {
        let found = self.properties().capability;
        if found < module.needs {
            return Err(Error::TooOld { name: format!("{self} (for {name})"), found, needed: module.needs });
        }
        let compiled = nvrtc::asked_for().then(|| nvrtc::ptx(module, found)).transpose()?;
        let ptx = compiled.as_deref().unwrap_or(module.ptx);
        let failed = |error| Error::Driver {
            call: "loading a kernel",
            cause: format!("{}: {}", module.file, driver::text(error)),
        };
        let text = CString::new(ptx).expect("PTX has no zero bytes");
        // SAFETY: the text is PTX that ends with a zero byte. The module stays loaded as long as the process runs.
        let handle = unsafe { result::module::load_data(text.as_ptr().cast()) }.map_err(failed)?;
        let c_name = CString::new(name).expect("a name has no zero bytes");
        // SAFETY: the module is loaded.
        let handle = unsafe { result::module::get_function(handle, c_name) }.map_err(failed)?;
        let sizes = parameters(ptx, name).unwrap_or_else(|| panic!("{}: no kernel {name} in its PTX", module.file));
        Ok(Function { handle, sizes, shared: AtomicUsize::new(SHARED_WITHOUT_ASKING) })
    }
}

/// The bytes of each parameter of the kernel `name`; `None` where there is no such kernel.
fn parameters(ptx: &str, name: &str) -> Option<Vec<usize>> {
    let entry = ptx.split(".entry ").skip(1).find(|entry| entry.split('(').next() == Some(name))?;
    let list = &entry[..entry.find("\n)")?];
    list.lines().filter(|line| line.contains(".param")).map(parameter_bytes).collect()
}

/// The bytes of `.param .u64 name` or `.param .align 4 .b8 name[24]`.
fn parameter_bytes(line: &str) -> Option<usize> {
    let count = match line.split_once('[') {
        Some((_, rest)) => rest.split(']').next()?.parse().ok()?,
        None => 1,
    };
    let type_of = line.split_whitespace().find(|word| {
        word.len() >= 3 && word.starts_with(['.']) && word[2..].bytes().all(|digit| digit.is_ascii_digit())
    })?;
    Some(type_of[2..].parse::<usize>().ok()? / 8 * count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_from_ptx() {
        let ptx = ".visible .entry f(\n\t.param .u64 f_param_0,\n\t.param .align 4 .b8 f_param_1[24],\n\t.param .f32 f_param_2\n)\n{\n}\n\
                   .visible .entry g(\n\t.param .u32 g_param_0\n)\n.maxntid 256, 1, 1\n{\n}\n";
        assert_eq!(parameters(ptx, "f"), Some(vec![8, 24, 4]));
        assert_eq!(parameters(ptx, "g"), Some(vec![4]));
        assert_eq!(parameters(ptx, "h"), None);
    }
}
