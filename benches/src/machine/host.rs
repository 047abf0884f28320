//! The processor, its caches, the compiler and the commit of a run.

use serde::{Deserialize, Serialize};
use std::{fs, process::Command};

/// The sizes of the data caches in bytes: L1 and L2 of one core, L3 of the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caches {
    /// L1, data.
    pub l1: usize,
    /// L2.
    pub l2: usize,
    /// L3; what L2 has where there is none.
    pub l3: usize,
}

/// Processor, compiler and source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// The name of the processor.
    pub cpu: String,
    /// Logical processors that this program may use.
    pub cores: usize,
    /// Its caches.
    pub caches: Caches,
    /// The operating system and architecture.
    pub target: String,
    /// The commit of the sources, with `-dirty` where they were changed; `unknown` outside a repository.
    pub commit: String,
    /// The compiler.
    pub rustc: String,
    /// Optimisation level and the flags of the environment.
    pub flags: String,
}

impl Host {
    /// Asks `/proc`, `/sys` and git; what cannot be found is `unknown`, and caches are taken to be of the usual sizes.
    pub fn read() -> Host {
        let rustflags = env!("GRADUS_RUSTFLAGS");
        Host {
            cpu: cpu_name().unwrap_or_else(|| "unknown".into()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            caches: caches(),
            target: env!("GRADUS_TARGET").into(),
            commit: commit().unwrap_or_else(|| "unknown".into()),
            rustc: env!("GRADUS_RUSTC").into(),
            flags: format!("opt-level={} {rustflags}", env!("GRADUS_OPT_LEVEL")).trim().into(),
        }
    }
}

fn cpu_name() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_string())
    };
    let (family, model) = (field("cpu family"), field("model\t"));
    let numbers = family.zip(model).map_or_else(String::new, |(f, m)| format!(" (family {f}, model {m})"));
    Some(field("model name")? + &numbers)
}

fn caches() -> Caches {
    let mut caches = Caches { l1: 32 << 10, l2: 1 << 20, l3: 0 };
    for index in 0..8 {
        let read = |name: &str| {
            let path = format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{name}");
            fs::read_to_string(path).map(|text| text.trim().to_string())
        };
        let (Ok(level), Ok(kind), Ok(size)) = (read("level"), read("type"), read("size")) else { continue };
        let (Some(bytes), true) = (parse_size(&size), kind != "Instruction") else { continue };
        match level.as_str() {
            "1" => caches.l1 = bytes,
            "2" => caches.l2 = bytes,
            "3" => caches.l3 = bytes,
            _ => {}
        }
    }
    Caches { l3: caches.l3.max(caches.l2), ..caches }
}

/// `32K` and `8M` in bytes.
fn parse_size(text: &str) -> Option<usize> {
    let (digits, shift) = match text.strip_suffix('K') {
        Some(digits) => (digits, 10),
        None => text.strip_suffix('M').map_or((text, 0), |digits| (digits, 20)),
    };
    digits.parse::<usize>().ok()?.checked_shl(shift)
}

fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { commit } else { commit + "-dirty" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_unit() {
        assert_eq!(parse_size("32K"), Some(32 << 10));
        assert_eq!(parse_size("8M"), Some(8 << 20));
        assert_eq!(parse_size("512"), Some(512));
        assert_eq!(parse_size("K"), None);
    }

    #[test]
    fn the_host_knows_its_compiler_and_caches() {
        let host = Host::read();
        assert!(host.rustc.starts_with("rustc "), "{}", host.rustc);
        assert!(host.cores > 0 && host.caches.l1 > 0 && host.caches.l2 >= host.caches.l1);
        assert!(host.caches.l3 >= host.caches.l2);
    }
}
