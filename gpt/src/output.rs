//! What goes to standard output (what was asked for) and to standard error (what is said about it).
//!
//! `println!` ends the process with a panic when nobody reads any more, as behind `| head`. Here that is an ordinary
//! error, which `main` ends quietly with.

use crate::error::{Error, Result};
use std::{
    io::{self, Write},
    path::Path,
};

/// Writes `text` to standard output as it is, at once.
///
/// # Errors
/// [`Error::Io`]; see [`Error::is_broken_pipe`].
pub fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(Error::io("write to", Path::new("standard output")))
}

/// Writes a line to standard output.
///
/// # Errors
/// [`Error::Io`]; see [`Error::is_broken_pipe`].
pub fn line(text: &str) -> Result<()> {
    print(&format!("{text}\n"))
}

/// Writes a line to standard error; where nobody listens there, nothing is lost.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
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
    use super::thousands;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
