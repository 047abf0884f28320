//! Where a command computes, as it stands on the command line. It is no setting of a run: a checkpoint goes on on any device.

use crate::error::{Error, Result};
use gradus_autograd::Device;
use std::{fmt, str::FromStr};

/// The processor, or a CUDA device by its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceName {
    /// `cpu`
    #[default]
    Cpu,
    /// `cuda:N`; `cuda` alone is the first one.
    Cuda(usize),
}

impl FromStr for DeviceName {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<DeviceName, String> {
        let number = |text: &str| text.parse().ok().map(DeviceName::Cuda);
        let known = match text {
            "cpu" => Some(DeviceName::Cpu),
            "cuda" => Some(DeviceName::Cuda(0)),
            _ => text.strip_prefix("cuda:").and_then(number),
        };
        known.ok_or_else(|| {
            "must be cpu, cuda, or cuda:N where N is the number of a device; `gradus devices` lists them".into()
        })
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceName::Cpu => f.write_str("cpu"),
            DeviceName::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
        }
    }
}

impl DeviceName {
    /// The device, ready to compute.
    ///
    /// # Errors
    /// [`Error::Device`] where it is not there, or this program was built without it.
    pub fn open(self) -> Result<Device> {
        match self {
            DeviceName::Cpu => Ok(Device::Cpu),
            #[cfg(feature = "cuda")]
            DeviceName::Cuda(ordinal) => match gradus_kernels::cuda::Gpu::open(ordinal) {
                Ok(gpu) => Ok(Device::Cuda(gpu)),
                Err(error) => Err(Error::Device { problem: error.to_string(), saved: None }),
            },
            #[cfg(not(feature = "cuda"))]
            DeviceName::Cuda(_) => {
                let problem =
                    "this gradus was built without CUDA: build it with the feature `cuda`, or leave out --device";
                Err(Error::Device { problem: problem.into(), saved: None })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_devices_are_read_and_written() {
        for (text, name) in
            [("cpu", DeviceName::Cpu), ("cuda:0", DeviceName::Cuda(0)), ("cuda:12", DeviceName::Cuda(12))]
        {
            assert_eq!(text.parse(), Ok(name));
            assert_eq!(name.to_string(), text);
        }
        assert_eq!("cuda".parse(), Ok(DeviceName::Cuda(0)));
        for wrong in ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "CUDA"] {
            assert!(wrong.parse::<DeviceName>().is_err_and(|problem| problem.contains("gradus devices")), "{wrong}");
        }
    }
}
