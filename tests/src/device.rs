//! The CUDA device for tests that are written for the CPU.

use gradus_kernels::cuda::Gpu;
use gradus_tensor::Device;

/// The CUDA device: the emulator, or with `GRADUS_CUDA_TESTS=device` the first card. `None` where the emulator cannot be built for want
/// of a C++ compiler, with a line on standard error.
///
/// # Panics
/// Where a kernel does not compile, or there is no card that is asked for.
pub fn cuda() -> Option<Device> {
    let on_card = std::env::var("GRADUS_CUDA_TESTS").is_ok_and(|value| value == "device");
    if !on_card {
        gradus_emulator::load()?;
    }
    Some(Device::Cuda(Gpu::open(0).unwrap_or_else(|error| panic!("{error}"))))
}
