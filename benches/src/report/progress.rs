//! How far a run is: a bar on a terminal, and a line for each part where standard error goes into a file.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;

const LENGTH: u64 = 1000;

pub(super) struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(super) fn new() -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style =
                ProgressStyle::with_template("{bar:24.cyan/blue} {percent:>3}%  {elapsed} of about {duration}  {msg}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─");
            ProgressBar::new(LENGTH).with_style(style)
        });
        Progress { bar }
    }

    pub(super) fn show(&mut self, what: &str, share: f64) {
        match &self.bar {
            Some(bar) => {
                bar.set_position((share * LENGTH as f64) as u64);
                bar.set_message(what.to_string());
            }
            None if !what.is_empty() => eprintln!("{:>3.0}%  {what}", share * 100.0),
            None => {}
        }
    }

    pub(super) fn done(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
