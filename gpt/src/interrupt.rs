//! Ctrl-C: the first asks to stop, the second stops.

use crate::error::{Error, Result};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// The exit code of a process that a second Ctrl-C ended: 128 + SIGINT.
pub const EXIT_CODE: i32 = 130;

/// Whether somebody has asked to stop.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens for Ctrl-C (and for the system's polite request to end). The first sets the flag and says so on standard
    /// error; a second one ends the process at once, with [`EXIT_CODE`].
    ///
    /// # Errors
    /// [`Error::Interrupt`] where the process listens already.
    pub fn listen() -> Result<Interrupt> {
        let interrupt = Interrupt::default();
        let flag = interrupt.clone();
        ctrlc::set_handler(move || {
            if flag.request() {
                std::process::exit(EXIT_CODE);
            }
            crate::output::note("stopping after this step; once more stops at once");
        })
        .map_err(Error::Interrupt)?;
        Ok(interrupt)
    }

    /// Asks to stop; says whether that had been asked before.
    pub fn request(&self) -> bool {
        self.0.swap(true, Ordering::SeqCst)
    }

    /// Whether somebody has asked to stop.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_request_is_told_from_the_first() {
        let interrupt = Interrupt::default();
        assert!(!interrupt.requested());
        assert!(!interrupt.request() && interrupt.requested());
        assert!(interrupt.clone().request());
    }
}
