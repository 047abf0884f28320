//! `gradus devices`: what this machine computes with.

use crate::{error::Result, output, threads};
use gradus_kernels::Isa;

/// Prints a line for the processor and one for each CUDA device, or why there is none.
///
/// # Errors
/// Those of writing to standard output.
pub fn run() -> Result<()> {
    output::line(&format!("cpu     {} threads, vectors {}", threads::default_count(), Isa::active()))?;
    cuda().iter().try_for_each(|line| output::line(line))
}

#[cfg(feature = "cuda")]
fn cuda() -> Vec<String> {
    match gradus_kernels::cuda::devices() {
        Ok(devices) if devices.is_empty() => vec!["cuda    the driver is there, but no device".into()],
        Ok(devices) => devices.iter().map(line).collect(),
        Err(error) => vec![format!("cuda    {error}")],
    }
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> Vec<String> {
    vec!["cuda    this gradus was built without it".into()]
}

/// What a device is, and which kernels it can run.
#[cfg(feature = "cuda")]
fn line(device: &gradus_kernels::cuda::Properties) -> String {
    use gradus_kernels::cuda::Capability;
    let runs = match device.capability {
        old if old < Capability::SM_75 => "too old for the kernels, which need 7.5",
        old if old < Capability::SM_80 => "f32, and bf16 without tensor cores",
        _ => "f32, and bf16 on tensor cores",
    };
    format!(
        "cuda:{}  {}, compute capability {}, {} multiprocessors, {} MiB: {runs}",
        device.ordinal,
        device.name,
        device.capability,
        device.multiprocessors,
        device.memory >> 20
    )
}
