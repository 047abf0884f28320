//! A program that waits for a text that nobody writes looks as if it hung; so it says what it waits for.

use crate::output;
use std::{
    io::{self, IsTerminal},
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread,
    time::Duration,
};

/// How long nothing is said.
const PATIENCE: Duration = Duration::from_secs(1);

/// Waiting for the first bytes of a text; dropped when they come.
#[derive(Debug)]
pub(super) struct Waiting(#[allow(dead_code, reason = "the thread sees it being dropped")] Sender<()>);

impl Waiting {
    /// Says after a second that the text called `name` is waited for.
    pub fn begin(name: &str) -> Waiting {
        let (sender, receiver) = mpsc::channel();
        let typed = name == "standard input" && io::stdin().is_terminal();
        let end = if typed { "; end it with Ctrl-D at the beginning of a line" } else { "" };
        let note = format!("waiting for a text on {name}{end}");
        thread::spawn(move || {
            if receiver.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                output::note(&note);
            }
        });
        Waiting(sender)
    }
}
