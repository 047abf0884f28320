//! The CUDA device: opening it, its memory, and launching kernels on it. The kernels themselves, CUDA C and the functions that
//! launch them, lie beside those of the CPU in the folder `cuda` of each operation; below they stand under the same paths
//! as on the CPU, so that `softmax::forward` here has the contract of [`crate::softmax::forward`].
//!
//! # What is needed to run it
//! The NVIDIA driver, for CUDA 12.0 or later, and a card of compute capability 7.5 or later. Nothing of it is touched before a
//! device is opened, so that one program serves machines with a card and without. The kernels are in the program as PTX, the
//! assembly of a virtual card, which the driver translates for the real one (`kernels/ptx`). With `GRADUS_CUDA=nvrtc` they are compiled
//! from their source instead, by NVIDIA's compiler library. `GRADUS_CUDA_DRIVER` names another driver library than the system's.
//!
//! # Rules
//! - Everything goes through one stream in the order of the calls, so nothing has to wait for anything but copies to the host.
//! - There are no atomic additions of floating-point numbers, and every sum has a fixed order: the same bits from run to run on one card.
//! - A launch is unsafe, because a kernel trusts the sizes that it is given. The functions around it are safe for all input: they check
//!   lengths as those of the CPU do. A launch checks the number and the width of the arguments against the PTX, and that all memory is
//!   that of its device.
//! - A kernel that uses tensor cores or asynchronous copies has a file of its own (`NAME.sm_80.cu`), which is loaded on cards that have them.

#[cfg(feature = "cublas")]
pub mod cublas;
mod device;
mod driver;
mod error;
mod event;
mod launch;
mod memory;
mod module;
mod nvrtc;

pub use device::{Capability, Gpu, Properties, devices};
pub use error::{Error, Result};
pub use event::Event;
pub use memory::{Buffer, Slice, SliceMut};
pub use module::{MODULES, Module};

pub(crate) use launch::{Size, narrow};
pub(crate) use module::module;

/// One rung of an operation's ladder on CUDA: the rung below plus one idea.
#[derive(Clone, Copy, Debug)]
pub struct CudaRung<F> {
    /// Its name in tests, benchmarks and tables; as a rule that of its file.
    pub name: &'static str,
    /// The one idea that it adds, and what that should buy.
    pub idea: &'static str,
    /// The function itself; all rungs of a ladder have one signature.
    pub run: F,
    /// The compute capability from which on it runs.
    pub needs: Capability,
}

// The operations, under the paths that they have on the CPU.
pub use crate::attention::cuda as attention;
pub use crate::cast::cuda as cast;
pub use crate::cross_entropy::cuda as cross_entropy;
pub use crate::dropout::cuda as dropout;
pub use crate::elementwise::cuda as elementwise;
pub use crate::embedding::cuda as embedding;
pub use crate::kv_cache::cuda as kv_cache;
pub use crate::matmul::cuda as matmul;
pub use crate::norm::cuda as norm;
pub use crate::optimizer::cuda as optimizer;
pub use crate::probe::cuda as probe;
pub use crate::reduce::cuda as reduce;
pub use crate::rope::cuda as rope;
pub use crate::softmax::cuda as softmax;
