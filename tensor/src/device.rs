//! Where a tensor's memory is, and which kernels compute with it.
//!
//! A device is a value that a tensor carries, as its type is. Operations dispatch on both in one place, `run!` in
//! [`crate::ops`]; results are made on the device of the inputs. The host reads memory of a device through the copies that
//! say so: [`Tensor::to_device`], [`Tensor::to_vec`], [`Tensor::item`].
//!
//! [`Tensor::to_device`]: crate::Tensor::to_device
//! [`Tensor::to_vec`]: crate::Tensor::to_vec
//! [`Tensor::item`]: crate::Tensor::item

#[cfg(feature = "cuda")]
use gradus_kernels::cuda::Gpu;
use std::fmt;

/// The device that holds a tensor and computes with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Device {
    /// The processor and its memory.
    #[default]
    Cpu,
    /// A CUDA device.
    #[cfg(feature = "cuda")]
    Cuda(Gpu),
    /// A device for tests: its kernels are those of the CPU, but nothing else may read its memory. Where an operation
    /// reads or writes elements outside of a kernel, or mixes devices, this device panics; on the CPU that would go
    /// unnoticed until a real second device is there.
    #[cfg(feature = "foreign-device")]
    Foreign,
}

impl Device {
    /// Whether the host reads and writes this device's memory as its own.
    pub fn is_host(&self) -> bool {
        *self == Device::Cpu
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            #[cfg(feature = "cuda")]
            Device::Cuda(gpu) => gpu.fmt(f),
            #[cfg(feature = "foreign-device")]
            Device::Foreign => f.write_str("foreign"),
        }
    }
}

/// Held while a kernel of a device gets its arguments and runs.
pub(crate) struct Launch {
    #[cfg(feature = "foreign-device")]
    before: Device,
}

/// Begins a launch on `device`: until the result is dropped, kernels' arguments are taken from its memory.
pub(crate) fn launch(device: &Device) -> Launch {
    #[cfg(feature = "foreign-device")]
    return Launch { before: foreign::CURRENT.replace(device.clone()) };
    #[cfg(not(feature = "foreign-device"))]
    match device {
        Device::Cpu => Launch {},
        #[cfg(feature = "cuda")]
        Device::Cuda(_) => Launch {},
    }
}

#[cfg(feature = "foreign-device")]
impl Drop for Launch {
    fn drop(&mut self) {
        foreign::CURRENT.set(std::mem::take(&mut self.before));
    }
}

/// The rule of the foreign device: memory is read by kernels of its own device alone.
#[cfg(feature = "foreign-device")]
pub(crate) mod foreign {
    use super::Device;
    use std::cell::Cell;

    thread_local! {
        /// The device whose kernel is being launched; outside of a launch the host computes.
        pub(super) static CURRENT: Cell<Device> = const { Cell::new(Device::Cpu) };
    }

    /// # Panics
    /// Where memory of `device` is touched by a kernel of another device, or by the host.
    pub(crate) fn assert_may_touch(device: &Device) {
        let current = CURRENT.take();
        CURRENT.set(current.clone());
        assert_eq!(
            *device, current,
            "memory of one device is touched by code of another: go through run! or to_device"
        );
    }
}
