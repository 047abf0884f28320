//! Signals on Unix: which ones the process was started to ignore, and listening for the others.

use super::Signal;
use signal_hook::iterator::Signals;
use std::{
    fs, io,
    process::{Command, Stdio},
    sync::{Arc, atomic::AtomicBool},
    thread,
};

/// Calls `act` with every signal that asks to stop, in a thread of its own. Ignored signals stay ignored.
pub(super) fn on_signal(mut act: impl FnMut(Signal) + Send + 'static) -> io::Result<()> {
    let numbers =
        Signal::ALL.into_iter().filter(|&signal| !is_ignored(signal)).map(|signal| i32::from(signal.number()));
    let mut signals = Signals::new(numbers)?;
    let listen = move || {
        let heard = signals.forever().filter_map(|number| u8::try_from(number).ok().and_then(Signal::of));
        heard.for_each(&mut act);
    };
    thread::Builder::new().name("signals".into()).spawn(listen).map(|_| ())
}

/// A handler that does nothing: the write that goes beyond the limit then fails with EFBIG.
pub(super) fn ignore_file_size_limit() -> io::Result<()> {
    signal_hook::flag::register(libc::SIGXFSZ, Arc::new(AtomicBool::new(false))).map(|_| ())
}

/// Whether the process ignores the signal, as long as it has not begun to listen for it.
fn is_ignored(signal: Signal) -> bool {
    match ignored_mask() {
        Some(mask) => mask >> (signal.number() - 1) & 1 == 1,
        None => a_child_survives(signal),
    }
}

/// Bit n − 1 for signal n, as Linux tells it.
fn ignored_mask() -> Option<u64> {
    parse_mask(&fs::read_to_string("/proc/self/status").ok()?)
}

fn parse_mask(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

/// Whether a shell lives on after it has sent the signal to itself. A child inherits which signals are ignored, and this
/// is the one question about it that can be put on every Unix without `unsafe` code.
fn a_child_survives(signal: Signal) -> bool {
    let script = format!("kill -{} $$; exit 0", signal.number());
    let shell = Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).stderr(Stdio::null()).status();
    shell.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_linux_is_read() {
        let status = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000002\n";
        assert_eq!(parse_mask(status), Some(0x1001)); // SIGHUP and SIGPIPE
        assert_eq!(parse_mask("SigIgn: x"), None);
        assert_eq!(parse_mask(""), None);
    }

    /// Whatever the tests were started with, both ways of asking agree.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_shell_knows_what_the_kernel_knows() {
        let mask = ignored_mask().unwrap();
        for signal in Signal::ALL {
            assert_eq!(a_child_survives(signal), mask >> (signal.number() - 1) & 1 == 1, "{signal:?}");
        }
    }
}
