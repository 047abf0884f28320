//! Standard output, for the result of a command, and standard error, for messages.
//!
//! `println!` panics when the reader of a pipe has ended, as behind `| head`. Here that is an ordinary error, on which `main`
//! ends without a message.
//!
//! A text may contain control characters, and a model that was trained on it generates them. A terminal executes them:
//! an escape sequence can move the cursor, hide text or set the title of the window. So where the output is a terminal,
//! control characters are shown as `\u{1b}`; a file or a pipe receives every character as it is.

use crate::error::{Error, Result};
use std::{
    borrow::Cow,
    io::{self, IsTerminal, Write},
    path::Path,
};

/// Writes `text` to standard output at once.
///
/// # Errors
/// [`Error::Io`]; see [`Error::is_broken_pipe`].
pub fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    let text = for_output(text, out.is_terminal());
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(Error::io("write to", Path::new("standard output")))
}

/// Writes bytes to standard output as they are, whatever they do to a terminal.
///
/// # Errors
/// [`Error::Io`]; see [`Error::is_broken_pipe`].
pub fn raw(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(Error::io("write to", Path::new("standard output")))
}

/// Writes a line to standard output.
///
/// # Errors
/// [`Error::Io`]; see [`Error::is_broken_pipe`].
pub fn line(text: &str) -> Result<()> {
    print(&format!("{text}\n"))
}

/// Writes a line to standard error. Where that fails, nothing happens: no place is left for an error message.
pub fn note(text: &str) {
    let mut err = io::stderr().lock();
    let text = for_output(text, err.is_terminal());
    let _ = writeln!(err, "{text}");
}

/// `text` on one line: control characters, line breaks included, as escapes such as `\n` and `\u{1b}`.
pub fn one_line(text: &str) -> String {
    escaped(text, char::is_control)
}

/// What is sent for `text`: on a terminal, control characters other than line break and tab as escapes.
fn for_output(text: &str, is_terminal: bool) -> Cow<'_, str> {
    let obeyed = |c: char| c.is_control() && c != '\n' && c != '\t';
    if is_terminal && text.contains(obeyed) { escaped(text, obeyed).into() } else { text.into() }
}

fn escaped(text: &str, which: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if which(c) {
            shown.extend(c.escape_debug());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// 1234567 as `1,234,567`.
pub fn thousands(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{for_output, one_line, thousands};

    #[test]
    fn a_terminal_gets_no_control_characters() {
        let text = "\u{1b}[2Jred\u{7}\r\n\tdel\u{7f} \u{9b}31m naïve 天\0";
        let shown = for_output(text, true);
        assert_eq!(shown, "\\u{1b}[2Jred\\u{7}\\r\n\tdel\\u{7f} \\u{9b}31m naïve 天\\0");
        for c in (0..=0xffu32).filter_map(char::from_u32) {
            let sent = for_output(&c.to_string(), true).into_owned();
            assert!(sent.chars().all(|c| !c.is_control() || c == '\n' || c == '\t'), "{c:?}");
        }
        assert_eq!(for_output("plain \"text\" 'and' \\ more", true), "plain \"text\" 'and' \\ more");
    }

    #[test]
    fn a_file_gets_every_character() {
        let text = "\u{1b}[2Jred\u{7}\r\n\u{9b}\0";
        assert_eq!(for_output(text, false), text);
    }

    #[test]
    fn a_message_stays_on_one_line() {
        assert_eq!(
            one_line("cannot read a\nb\u{1b}[2J.txt: it's \"x\""),
            "cannot read a\\nb\\u{1b}[2J.txt: it's \"x\""
        );
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
