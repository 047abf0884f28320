//! The memory of the process and of the machine, as Linux counts them, and what a run is going to take of it.

use crate::config::{RunConfig, TrainConfig};
use crate::dataset::{Dataset, Part};
use crate::recompute::Recompute;
use gradus_autograd::Device;

const MIB: f64 = (1 << 20) as f64;

/// What the program takes besides what it holds when the text has been read: its threads, and the code of the kernels.
const PROGRAM_MIB: f64 = 4.0;

/// What the program and a short text take where the system does not say.
const UNKNOWN_MIB: f64 = 10.0;

/// The peak of the resident memory of this process in MiB, from the kernel's own count (`VmHWM`); `None` where there is no
/// `/proc/self/status`, that is, anywhere but on Linux.
pub fn peak_mib() -> Option<f64> {
    of_process("VmHWM:")
}

/// The peak as the last line of a run shows it: `57 MiB`, or `unknown`.
pub fn peak_text() -> String {
    peak_mib().map_or("unknown".into(), |mib| format!("{mib:.0} MiB"))
}

/// What a run is going to take at most, in MiB.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// Weights, gradients and moments.
    pub parameters: f64,
    /// Activations of a micro-batch and their gradients.
    pub activations: f64,
    /// The program, its text, and the working memory of the kernels.
    pub rest: f64,
    /// The device whose memory it takes; `None` for that of the machine.
    pub device: Option<String>,
    /// What the same run would take that recomputes whole blocks; `None` where it does.
    pub with_blocks: Option<f64>,
}

impl Forecast {
    /// For a run that has read its text and is about to begin.
    pub fn of(run: &RunConfig, data: &Dataset, device: &Device) -> Forecast {
        let forecast = Forecast::at(&run.train, run, data, device);
        let blocks = TrainConfig { recompute: Recompute::Blocks, ..run.train.clone() };
        let with_blocks =
            (run.train.recompute != Recompute::Blocks).then(|| Forecast::at(&blocks, run, data, device).total());
        Forecast { with_blocks, ..forecast }
    }

    fn at(train: &TrainConfig, run: &RunConfig, data: &Dataset, device: &Device) -> Forecast {
        let memory = train.memory(&run.model);
        let validation = train.validation_memory(&run.model, data.len(Part::Validation) - 1);
        let mib = |bytes: u128| bytes as f64 / MIB;
        let program = of_process("VmRSS:").map_or(UNKNOWN_MIB, |so_far| so_far + PROGRAM_MIB);
        Forecast {
            parameters: mib(memory.parameters),
            activations: mib(memory.activations + validation),
            rest: if device.is_host() { program + mib(memory.working) } else { 0.0 }, // which stay on the host
            device: (!device.is_host()).then(|| device.to_string()),
            with_blocks: None,
        }
    }

    /// All of it.
    pub fn total(&self) -> f64 {
        self.parameters + self.activations + self.rest
    }

    /// The line at the start of a run.
    pub fn line(&self) -> String {
        if let Some(device) = &self.device {
            let Forecast { parameters, activations, .. } = self;
            let total = self.total();
            return format!(
                "memory about {total:.0} MiB on {device}: {parameters:.0} for parameters with their gradients and moments, \
                 {activations:.0} for activations"
            );
        }
        format!(
            "memory about {:.0} MiB: {:.0} for parameters with their gradients and moments, {:.0} for activations, {:.0} for \
             program and text",
            self.total(),
            self.parameters,
            self.activations,
            self.rest
        )
    }

    /// What to say where that is more than the `free` MiB of the machine.
    pub fn warning(&self, free: f64) -> Option<String> {
        let blocks = self.with_blocks.filter(|&blocks| blocks < 0.9 * self.total());
        let advice = blocks.map_or(String::new(), |blocks| format!("--recompute blocks (about {blocks:.0} MiB) or "));
        (self.total() > free).then(|| {
            format!(
                "note   only {free:.0} MiB of memory are free, so {}; choose {advice}smaller --batch, --context, --width or \
                 --layers",
                if self.device.is_some() { "the run may end" } else { "the system may swap or end this run" }
            )
        })
    }
}

/// What the system or the device can still give to this process, in MiB; `None` where that is not known.
pub fn free_mib(device: &Device) -> Option<f64> {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(gpu) = device {
        return gpu.memory_info().ok().map(|(free, _)| free as f64 / MIB);
    }
    if device.is_host() { free_on_host() } else { None }
}

/// The memory that is available, or the rest of the limit of its container where that is less. `None` anywhere but on Linux.
fn free_on_host() -> Option<f64> {
    let file = |path: &str| std::fs::read_to_string(path).ok();
    let bytes = |path: &str| file(path)?.trim().parse::<f64>().ok();
    let available = in_mib(&file("/proc/meminfo")?, "MemAvailable:");
    let limit = bytes("/sys/fs/cgroup/memory.max"); // "max" where there is none
    let left = limit.zip(bytes("/sys/fs/cgroup/memory.current")).map(|(limit, used)| (limit - used).max(0.0) / MIB);
    available.into_iter().chain(left).reduce(f64::min)
}

fn of_process(key: &str) -> Option<f64> {
    in_mib(&std::fs::read_to_string("/proc/self/status").ok()?, key)
}

/// The value after `key`, which is in KiB, in MiB.
fn in_mib(status: &str, key: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_the_kernel_is_read() {
        let status = "VmPeak:\t 9000 kB\nVmHWM:\t   58368 kB\nVmRSS:\t 2048 kB\n";
        assert_eq!((in_mib(status, "VmHWM:"), in_mib(status, "VmRSS:")), (Some(57.0), Some(2.0)));
        assert_eq!(in_mib("VmRSS:\t 100 kB\n", "VmHWM:"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_large_vector_shows() {
        let before = peak_mib().unwrap();
        let touched = std::hint::black_box(vec![1u8; 256 << 20]);
        assert!(peak_mib().unwrap() >= before.max(256.0), "{}", touched.len());
        assert!(free_mib(&Device::Cpu).unwrap() > 0.0);
    }

    #[test]
    fn a_run_that_does_not_fit_is_told_what_helps() {
        let forecast =
            Forecast { parameters: 200.0, activations: 700.0, rest: 100.0, device: None, with_blocks: Some(400.0) };
        let line = "memory about 1000 MiB: 200 for parameters with their gradients and moments, 700 for activations, 100 for \
                    program and text";
        assert_eq!(forecast.line(), line);
        assert_eq!(forecast.warning(1000.0), None);
        let warning = forecast.warning(999.0).unwrap();
        assert!(warning.contains("only 999 MiB of memory are free"), "{warning}");
        assert!(
            warning.ends_with(
                "choose --recompute blocks (about 400 MiB) or smaller --batch, --context, --width or --layers"
            )
        );
        let little = Forecast { with_blocks: Some(950.0), ..forecast.clone() };
        for other in [little, Forecast { with_blocks: None, ..forecast }] {
            assert!(other.warning(1.0).unwrap().ends_with("choose smaller --batch, --context, --width or --layers"));
        }
    }
}
