//! Another process that answers line by line: ours for a whole program, and a Python with PyTorch.
//!
//! It runs while we wait. A process that hangs would block the whole report, so every answer has a time limit; a process
//! that exceeds it is killed and named in the error.

use crate::Result;
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
    time::Duration,
};

/// The longest that an answer may take. The slowest turn of a report, two steps of the largest model, takes some 20 s.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// The process, from outside. It is stopped when this is dropped.
#[derive(Debug)]
pub struct Partner {
    child: Child,
    /// None when nothing more will be asked.
    input: Option<ChildStdin>,
    lines: Receiver<io::Result<String>>,
    patience: Duration,
}

impl Partner {
    /// Starts it. Where its standard error is a pipe, [`Partner::finish`] reads it, so it has to be short.
    ///
    /// # Errors
    /// Those of the system.
    pub fn start(command: &mut Command, patience: Duration) -> io::Result<Partner> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let missing = || io::Error::other("its output is missing");
        let output = BufReader::new(child.stdout.take().ok_or_else(missing)?);
        let (sender, lines) = sync_channel(1);
        thread::spawn(move || output.lines().try_for_each(|line| sender.send(line)));
        Ok(Partner { input: child.stdin.take(), child, lines, patience })
    }

    /// Sends a line. Where it has ended, the next answer says so.
    pub fn send(&mut self, line: &str) {
        if let Some(input) = &mut self.input {
            let _ = writeln!(input, "{line}").and_then(|()| input.flush());
        }
    }

    /// Its next line; nothing where it has ended.
    ///
    /// # Errors
    /// One line where it takes too long, and then it is stopped; or where its line cannot be read.
    pub fn answer(&mut self) -> Result<Option<String>> {
        match self.lines.recv_timeout(self.patience) {
            Ok(line) => line.map(Some).map_err(|error| error.to_string()),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                let _ = self.child.kill(); // where it has ended just now, there is nothing to do
                Err(format!("it gave no answer for {} s and was stopped", self.patience.as_secs()))
            }
        }
    }

    /// Says that nothing more will be asked, and waits for its end: how it ended, and what stands in its standard error.
    ///
    /// # Errors
    /// One line where it takes too long, and then it is stopped.
    pub fn finish(&mut self) -> Result<(ExitStatus, String)> {
        self.input = None;
        while self.answer()?.is_some() {}
        let status = self.child.wait().map_err(|error| error.to_string())?;
        let mut text = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            let _ = stderr.read_to_string(&mut text); // what is missing, the status says
        }
        Ok((status, text))
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        // It is ours. Where it has ended already, there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str, patience: Duration) -> Partner {
        Partner::start(Command::new("sh").args(["-c", script]).stderr(Stdio::piped()), patience).expect("a shell")
    }

    #[test]
    fn lines_go_there_and_back_until_nothing_more_is_asked() {
        let mut partner = shell("while read line; do echo \"heard $line\"; done; echo bye >&2; exit 3", PATIENCE);
        for line in ["one", "two"] {
            partner.send(line);
            assert_eq!(partner.answer(), Ok(Some(format!("heard {line}"))));
        }
        let (status, stderr) = partner.finish().expect("it ends");
        assert_eq!((status.code(), stderr.as_str()), (Some(3), "bye\n"));
        partner.send("three");
        assert_eq!(partner.answer(), Ok(None));
    }

    #[test]
    fn one_that_stands_still_is_stopped_and_named() {
        let mut partner = shell("echo first; exec sleep 1000", Duration::from_secs(1));
        assert_eq!(partner.answer(), Ok(Some("first".into())));
        assert_eq!(partner.answer(), Err("it gave no answer for 1 s and was stopped".into()));
        assert_eq!(partner.answer(), Ok(None), "it is gone");
    }
}
