//! Progress on standard error: a bar on a terminal, and lines everywhere else: in a file, in a pipe, and on a terminal
//! that cannot move its cursor (`TERM` unset or `dumb`).

use crate::output;
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    cell::Cell,
    ffi::OsStr,
    time::{Duration, Instant},
};

/// The state of a run at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct State {
    /// Updates done.
    pub step: u64,
    /// The last training loss, if there was one.
    pub train_loss: Option<f32>,
    /// The last validation loss, if there was one.
    pub val_loss: Option<f32>,
    /// Tokens trained on in a second.
    pub tokens_per_second: f64,
}

/// A bar on standard error with `text` behind it; `None` where it cannot be drawn.
fn bar(length: u64, text: &str) -> Option<ProgressBar> {
    let style = ProgressStyle::with_template(&template(std::env::var_os("NO_COLOR").as_deref(), text));
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─");
    // indicatif knows which terminals can draw it, and hides it on the others.
    Some(ProgressBar::new(length).with_style(style)).filter(|bar| !bar.is_hidden())
}

/// The template of a bar, in colour unless the variable `NO_COLOR` is set and not empty (<https://no-color.org>).
fn template(no_color: Option<&OsStr>, text: &str) -> String {
    let colors = if no_color.is_some_and(|value| !value.is_empty()) { "" } else { ".cyan/blue" };
    format!("{{bar:24{colors}}} {text}")
}

/// Shows a run from `first` to `last` step.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    first: u64,
    last: u64,
    began: Instant,
    shown: Option<Instant>,
}

impl Progress {
    /// Nothing is shown yet.
    pub fn new(first: u64, last: u64) -> Progress {
        let bar = bar(last, "{pos}/{len}  {msg}").map(|bar| bar.with_position(first));
        Progress { bar, first, last, began: Instant::now(), shown: None }
    }

    /// Shows `state`, if it is time to: ten times a second on a terminal; as lines after a second, and then less and
    /// less often, so that the log of a long run stays short.
    pub fn step(&mut self, state: &State) {
        let now = Instant::now();
        let pause = match self.bar {
            Some(_) => Duration::from_millis(100),
            None => Duration::from_secs(1).max((now - self.began) / 20),
        };
        if now - self.shown.unwrap_or(self.began) >= pause {
            self.show(state);
        }
    }

    /// Shows `state` now, because something is new in it, as after a validation.
    pub fn show(&mut self, state: &State) {
        self.shown = Some(Instant::now());
        let text = describe(state, self.time_left(state.step));
        match &self.bar {
            Some(bar) => {
                bar.set_position(state.step);
                bar.set_message(text);
            }
            None => output::note(&format!("step {}/{}  {text}", state.step, self.last)),
        }
    }

    /// Shows how far work between two steps is.
    pub fn phase(&mut self, what: &str, done: usize, total: usize) {
        match &self.bar {
            Some(bar) => bar.set_message(format!("{what}: {done}/{total}")),
            None if self.shown.unwrap_or(self.began).elapsed() >= Duration::from_secs(2) => {
                self.shown = Some(Instant::now());
                output::note(&format!("{what}: {done}/{total}"));
            }
            None => {}
        }
    }

    /// Writes a line beside the progress.
    pub fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::note(text)),
            None => output::note(text),
        }
    }

    /// Ends the display; the bar stays as it is.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }

    fn time_left(&self, step: u64) -> Option<Duration> {
        let done = step.checked_sub(self.first).filter(|&done| done > 0)?;
        Duration::try_from_secs_f64(
            self.began.elapsed().as_secs_f64() / done as f64 * (self.last.saturating_sub(step)) as f64,
        )
        .ok()
    }
}

/// Work that is counted and takes a while: a bar on a terminal, and a line every few seconds elsewhere.
#[derive(Debug)]
pub struct Counter {
    bar: Option<ProgressBar>,
    what: &'static str,
    total: usize,
    shown: Cell<Instant>,
}

impl Counter {
    /// Nothing of `total` is done.
    pub fn new(what: &'static str, total: usize) -> Counter {
        let bar = bar(total as u64, "{pos}/{len}  {msg}  {eta} left").map(|bar| bar.with_message(what));
        Counter { bar, what, total, shown: Cell::new(Instant::now()) }
    }

    /// So much is done.
    pub fn at(&self, done: usize) {
        match &self.bar {
            Some(bar) => bar.set_position(done as u64),
            None if self.shown.get().elapsed() >= Duration::from_secs(2) => {
                self.shown.set(Instant::now());
                output::note(&format!("{}: {done}/{}", self.what, self.total));
            }
            None => {}
        }
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn describe(state: &State, left: Option<Duration>) -> String {
    let mut parts = Vec::new();
    parts.extend(state.train_loss.map(|loss| format!("train loss {loss:.4}")));
    parts.extend(state.val_loss.map(|loss| format!("val loss {loss:.4}")));
    if state.tokens_per_second > 0.0 {
        parts.push(format!("{} tokens/s", output::thousands(state.tokens_per_second as u128)));
    }
    parts.extend(left.map(|left| format!("{} left", clock(left))));
    parts.join("  ")
}

/// 75 s as `1:15`, 3700 s as `1:01:40`.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_known() {
        let state = State { step: 9, train_loss: Some(1.5), val_loss: None, tokens_per_second: 45_123.9 };
        assert_eq!(describe(&state, Some(Duration::from_secs(75))), "train loss 1.5000  45,123 tokens/s  1:15 left");
        let state = State { val_loss: Some(2.0), ..State::default() };
        assert_eq!(describe(&state, None), "val loss 2.0000");
    }

    #[test]
    fn no_color_means_no_color() {
        assert_eq!(template(Some(OsStr::new("1")), "{msg}"), "{bar:24} {msg}");
        assert_eq!(template(Some(OsStr::new("")), "{msg}"), "{bar:24.cyan/blue} {msg}");
        assert_eq!(template(None, "{msg}"), "{bar:24.cyan/blue} {msg}");
    }

    #[test]
    fn time_is_read_like_a_clock() {
        assert_eq!([59, 61, 3700].map(|s| clock(Duration::from_secs(s))), ["0:59", "1:01", "1:01:40"]);
    }

    #[test]
    fn time_left_follows_the_pace_since_the_start() {
        let began = Instant::now() - Duration::from_secs(10);
        let progress = Progress { bar: None, first: 100, last: 200, began, shown: None };
        assert_eq!(progress.time_left(100), None, "no step done: no pace known");
        assert_eq!(progress.time_left(120).unwrap().as_secs(), 40);
        assert_eq!(progress.time_left(200).unwrap().as_secs(), 0);
    }
}
