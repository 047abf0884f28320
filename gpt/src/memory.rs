//! How much memory the process has ever held at once.

/// The peak of the resident memory in MiB, from the kernel's own count (`VmHWM`); `None` where there is no
/// `/proc/self/status`, that is, anywhere but on Linux.
pub fn peak_mib() -> Option<f64> {
    parse(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// The peak as the last line of a run shows it: `57 MiB`, or `unknown`.
pub fn peak_text() -> String {
    peak_mib().map_or("unknown".into(), |mib| format!("{mib:.0} MiB"))
}

fn parse(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_the_kernel_is_read() {
        assert_eq!(parse("VmPeak:\t 9000 kB\nVmHWM:\t   58368 kB\nVmRSS:\t 100 kB\n"), Some(57.0));
        assert_eq!(parse("VmRSS:\t 100 kB\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_large_vector_shows() {
        let before = peak_mib().unwrap();
        let touched = std::hint::black_box(vec![1u8; 256 << 20]);
        assert!(peak_mib().unwrap() >= before.max(256.0), "{}", touched.len());
    }
}
