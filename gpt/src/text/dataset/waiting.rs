//! A program that waits for text on standard input seems to hang, so a message says what it waits for.

use crate::output;
use std::{
    io::{self, IsTerminal},
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread,
    time::Duration,
};

/// The time before the message.
const PATIENCE: Duration = Duration::from_secs(1);

/// Waiting for the first bytes of a text; dropped when they come.
#[derive(Debug)]
pub(super) struct Waiting(#[allow(dead_code, reason = "the thread sees it being dropped")] Sender<()>);

impl Waiting {
    /// After a second a message says that the program waits for the text called `name`.
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
