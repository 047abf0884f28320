//! A device of this machine: its properties, its one stream, and the kernels that are loaded on it.

use super::{
    Error, Result,
    driver::{self, check},
    module::Function,
};
use cudarc::driver::{
    result,
    sys::{self, CUdevice_attribute as Attribute},
};
use std::{
    collections::HashMap,
    fmt,
    hash::{Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The compute capability of a device: which instructions it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability {
    /// The generation: 7 Volta and Turing, 8 Ampere and Ada, 9 Hopper, 10 and 12 Blackwell.
    pub major: i32,
    /// The variant within it.
    pub minor: i32,
}

impl Capability {
    /// Turing, the oldest that the kernels run on.
    pub const SM_75: Capability = Capability { major: 7, minor: 5 };
    /// Ampere: tensor cores for bf16, and copies to shared memory that do not wait.
    pub const SM_80: Capability = Capability { major: 8, minor: 0 };
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Properties {
    /// Its number on this machine.
    pub ordinal: usize,
    /// Its name, such as `NVIDIA H200`.
    pub name: String,
    /// Its compute capability.
    pub capability: Capability,
    /// How many multiprocessors it has, each of which runs several blocks at a time.
    pub multiprocessors: usize,
    /// The bytes of shared memory that a block may have.
    pub shared_memory: usize,
    /// The bytes of its L2 cache, which all multiprocessors share.
    pub l2_cache: usize,
    /// The bytes of its memory.
    pub memory: usize,
}

/// A CUDA device that was opened. Cloning it is cheap; two of the same number are equal.
#[derive(Clone)]
pub struct Gpu(Arc<Inner>);

struct Inner {
    properties: Properties,
    context: sys::CUcontext,
    stream: sys::CUstream,
    has_pool: bool,
    /// The kernels that were launched, by name.
    functions: Mutex<HashMap<&'static str, Arc<Function>>>,
}

// SAFETY: the handles of a context and a stream may be used from any thread; the driver locks what it changes.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

/// The devices that were opened. They stay open until the process ends: tensors may live as long.
static OPEN: Mutex<Vec<Gpu>> = Mutex::new(Vec::new());

/// What devices this machine has.
///
/// # Errors
/// Where there is no driver, or it is too old.
pub fn devices() -> Result<Vec<Properties>> {
    driver::start()?;
    let count = check("cuDeviceGetCount", result::device::get_count())?;
    (0..count as usize).map(properties).collect()
}

fn properties(ordinal: usize) -> Result<Properties> {
    let device = check("cuDeviceGet", result::device::get(ordinal as i32))?;
    let attribute = |attribute| {
        // SAFETY: the device comes from the driver.
        check("cuDeviceGetAttribute", unsafe { result::device::get_attribute(device, attribute) })
    };
    Ok(Properties {
        ordinal,
        name: check("cuDeviceGetName", result::device::get_name(device))?,
        capability: Capability {
            major: attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            minor: attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        },
        multiprocessors: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)? as usize,
        shared_memory: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)? as usize,
        l2_cache: attribute(Attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)? as usize,
        // SAFETY: the device comes from the driver.
        memory: check("cuDeviceTotalMem", unsafe { result::device::total_mem(device) })?,
    })
}

impl Properties {
    /// Whether it is the emulator of the tests, which computes what a card does and says nothing about its speed.
    pub fn is_emulated(&self) -> bool {
        self.name == "emulator"
    }
}

impl Gpu {
    /// The device of this number, from 0 on.
    ///
    /// # Errors
    /// Where there is no driver or no such device, or it is too old.
    pub fn open(ordinal: usize) -> Result<Gpu> {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gpu) = open.iter().find(|gpu| gpu.0.properties.ordinal == ordinal) {
            return Ok(gpu.clone());
        }
        driver::start()?;
        let count = check("cuDeviceGetCount", result::device::get_count())?.max(0) as usize;
        if ordinal >= count {
            return Err(Error::NoDevice { ordinal, count });
        }
        let gpu = Gpu(Arc::new(Inner::open(properties(ordinal)?)?));
        open.push(gpu.clone());
        Ok(gpu)
    }

    /// What the device is.
    pub fn properties(&self) -> &Properties {
        &self.0.properties
    }

    /// The bytes of its memory: (free, in all).
    ///
    /// # Errors
    /// Where the device has failed.
    pub fn memory_info(&self) -> Result<(usize, usize)> {
        self.bind()?;
        check("cuMemGetInfo", result::mem_get_info())
    }

    /// Waits until all work is done, and says whether it went well.
    ///
    /// # Errors
    /// Where a kernel failed.
    pub fn synchronize(&self) -> Result<()> {
        self.bind()?;
        // SAFETY: the stream is open as long as the process runs.
        check("cuStreamSynchronize", unsafe { result::stream::synchronize(self.0.stream) })
    }

    pub(super) fn stream(&self) -> sys::CUstream {
        self.0.stream
    }

    pub(super) fn has_pool(&self) -> bool {
        self.0.has_pool
    }

    pub(super) fn functions(&self) -> MutexGuard<'_, HashMap<&'static str, Arc<Function>>> {
        self.0.functions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the driver's calls of this thread go to the device.
    pub(super) fn bind(&self) -> Result<()> {
        // SAFETY: the context is open as long as the process runs.
        check("cuCtxSetCurrent", unsafe { result::ctx::set_current(self.0.context) })
    }
}

impl Inner {
    fn open(properties: Properties) -> Result<Inner> {
        if properties.capability < Capability::SM_75 {
            let (name, found) = (properties.name, properties.capability);
            return Err(Error::TooOld { name, found, needed: Capability::SM_75 });
        }
        let device = check("cuDeviceGet", result::device::get(properties.ordinal as i32))?;
        // SAFETY: the device comes from the driver; the context is made current before the stream is created in it.
        let context = check("cuDevicePrimaryCtxRetain", unsafe { result::primary_ctx::retain(device) })?;
        // SAFETY: the context was opened just now.
        check("cuCtxSetCurrent", unsafe { result::ctx::set_current(context) })?;
        let stream = check("cuStreamCreate", result::stream::create(result::stream::StreamKind::NonBlocking))?;
        let has_pool = keep_freed_memory(device)?;
        Ok(Inner { properties, context, stream, has_pool, functions: Mutex::default() })
    }
}

/// Makes the driver's memory pool keep what is freed for the next buffer; whether there is a pool.
fn keep_freed_memory(device: sys::CUdevice) -> Result<bool> {
    let supported = Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED;
    // SAFETY: the device comes from the driver.
    if check("cuDeviceGetAttribute", unsafe { result::device::get_attribute(device, supported) })? == 0 {
        return Ok(false);
    }
    let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    let mut keep_all = u64::MAX;
    // SAFETY: the pool is the device's own, and the attribute a number of 64 bits.
    check("cuMemPoolSetAttribute", unsafe {
        result::device::get_default_mem_pool(device)
            .and_then(|pool| sys::cuMemPoolSetAttribute(pool, attribute, (&raw mut keep_all).cast()).result())
    })?;
    Ok(true)
}

impl PartialEq for Gpu {
    fn eq(&self, other: &Gpu) -> bool {
        self.0.properties.ordinal == other.0.properties.ordinal
    }
}

impl Eq for Gpu {}

impl Hash for Gpu {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.properties.ordinal.hash(state);
    }
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}: {}", self.0.properties.name)
    }
}

impl fmt::Display for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cuda:{}", self.0.properties.ordinal)
    }
}
