//! Signals that stop a run: after the first one it saves and ends, the second one ends the process at once.
//!
//! A signal that the process was started with as ignored stays ignored: `nohup` means that the end of the terminal
//! (SIGHUP) is not to end the run, and a shell starts the background jobs of a script with SIGINT ignored.

#[cfg(unix)]
mod unix;

use crate::error::{Error, Result};
use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

/// A signal that asks a process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGHUP: the terminal is gone.
    Hangup,
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM: what `kill` and a system that shuts down send.
    Terminate,
}

impl Signal {
    /// All of them.
    pub const ALL: [Signal; 3] = [Signal::Hangup, Signal::Interrupt, Signal::Terminate];

    /// Its number, the same on every Unix.
    pub const fn number(self) -> u8 {
        match self {
            Signal::Hangup => 1,
            Signal::Interrupt => 2,
            Signal::Terminate => 15,
        }
    }

    /// The exit status of a process that it stopped, as shells report it: 128 + the number.
    pub const fn exit_code(self) -> u8 {
        128 + self.number()
    }

    fn of(number: u8) -> Option<Signal> {
        Signal::ALL.into_iter().find(|signal| signal.number() == number)
    }
}

/// Whether a signal has asked to stop, and which.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicU8>); // 0, the number of the first signal, or NOTHING_TO_SAVE

const NOTHING_TO_SAVE: u8 = u8::MAX;

impl Interrupt {
    /// Listens for SIGINT, SIGTERM and SIGHUP, as far as the process was not started with them ignored; on Windows for
    /// Ctrl-C. The first signal is remembered and answered on standard error; the next one ends the process with its
    /// [`Signal::exit_code`].
    ///
    /// # Errors
    /// [`Error::Interrupt`] where the system refuses.
    pub fn listen() -> Result<Interrupt> {
        let interrupt = Interrupt::default();
        let heard = interrupt.clone();
        on_signal(move |signal| {
            if heard.request(signal) {
                std::process::exit(signal.exit_code().into());
            }
            crate::output::note("stopping after this step; once more stops at once");
        })
        .map_err(Error::Interrupt)?;
        Ok(interrupt)
    }

    /// Asks to stop; says whether that had been asked before.
    pub fn request(&self, signal: Signal) -> bool {
        self.0.compare_exchange(0, signal.number(), Ordering::SeqCst, Ordering::SeqCst).is_err()
    }

    /// The first signal that asked to stop.
    pub fn requested(&self) -> Option<Signal> {
        Signal::of(self.0.load(Ordering::SeqCst))
    }

    /// Called when all is saved: from then on the first signal ends the process. Returns the signal that asked to stop
    /// before, if there was one.
    pub fn release(&self) -> Option<Signal> {
        Signal::of(
            self.0.compare_exchange(0, NOTHING_TO_SAVE, Ordering::SeqCst, Ordering::SeqCst).unwrap_or_else(|n| n),
        )
    }
}

#[cfg(unix)]
use unix::on_signal;

#[cfg(not(unix))]
fn on_signal(mut act: impl FnMut(Signal) + Send + 'static) -> std::io::Result<()> {
    ctrlc::set_handler(move || act(Signal::Interrupt)).map_err(std::io::Error::other)
}

/// Makes the file size limit (`ulimit -f`) an ordinary error of the write that meets it: without this, SIGXFSZ ends the
/// process without a word.
///
/// # Errors
/// [`Error::Interrupt`] where the system refuses.
pub fn outlive_file_size_limit() -> Result<()> {
    #[cfg(unix)]
    unix::ignore_file_size_limit().map_err(Error::Interrupt)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_request_is_told_from_the_first_which_is_kept() {
        let interrupt = Interrupt::default();
        assert_eq!(interrupt.requested(), None);
        assert!(!interrupt.request(Signal::Terminate));
        assert!(interrupt.clone().request(Signal::Interrupt));
        assert_eq!(interrupt.requested(), Some(Signal::Terminate));
    }

    #[test]
    fn once_all_is_saved_every_request_is_like_a_second_one() {
        let interrupt = Interrupt::default();
        assert_eq!(interrupt.release(), None);
        assert!(interrupt.request(Signal::Interrupt));
        let stopped = Interrupt::default();
        stopped.request(Signal::Hangup);
        assert_eq!((stopped.release(), stopped.requested()), (Some(Signal::Hangup), Some(Signal::Hangup)));
    }

    #[test]
    fn exit_codes_are_those_of_shells() {
        assert_eq!(Signal::ALL.map(Signal::exit_code), [129, 130, 143]);
        assert_eq!(Signal::ALL.map(|signal| Signal::of(signal.number())), Signal::ALL.map(Some));
        assert_eq!(Signal::of(0), None);
    }
}
