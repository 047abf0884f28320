//! Learning the tokens of byte pair encoding from the training part of a text, before the text is read for its tokens.

use super::{
    cache::Wanted,
    reading::{self, Progress},
    source::{Piece, Source},
    text::Text,
};
use crate::{
    corpus,
    error::Result,
    output,
    progress::Counter,
    tokenizer::{
        PATTERN, Tokenizer,
        bpe::{Bpe, Pattern},
    },
};
use std::ops::Range;

/// The most bytes that tokens are learned from. Of a longer training part as many are taken, in windows at even distances.
const MOST: u64 = 8 << 20;

/// The bytes of such a window.
const WINDOW: u64 = 1 << 16;

/// Which part of a text tokens are learned from.
#[derive(Clone, Copy)]
enum Part {
    /// The first nine tenths of its bytes, so that nothing is learned from what validates.
    Training,
    Whole,
}

/// Reads `source`, learns `vocab_size` tokens from its training part, and reads it once more for its tokens, as [`reading::read`]
/// does. What can be read only once is in memory meanwhile.
///
/// # Errors
/// Those of [`reading::read`] and of [`Bpe::train`].
pub(super) fn read_and_learn(source: &mut Source, vocab_size: usize, long: u64) -> Result<(Text, Tokenizer)> {
    let (sample, held) = read_sample(source, Part::Training, long)?;
    let tokenizer = Tokenizer::Bpe(sample.learn(PATTERN, vocab_size)?);
    match held {
        Some(text) => Ok((reading::index(text, &tokenizer), tokenizer)),
        None => reading::read(source, Wanted::Tokenizer(&tokenizer), long),
    }
}

/// Learns `vocab_size` tokens from the whole of `source`; from windows of it where it is long, and says so.
///
/// # Errors
/// Those of [`Source`] and of [`Bpe::train`].
pub fn learn(source: &mut Source, pattern: Pattern, vocab_size: usize) -> Result<Bpe> {
    read_sample(source, Part::Whole, super::LONG)?.0.learn(pattern, vocab_size)
}

/// Reads `source` for what tokens are learned from. Returns the text too where it can be read only once.
fn read_sample(source: &mut Source, part: Part, long: u64) -> Result<(Sample, Option<String>)> {
    if source.is_stream() {
        let (mut held, mut progress) = (String::new(), Progress::new(&source.name(), None, true));
        source.read(|piece| {
            held.push_str(piece.text);
            progress.at(piece.bytes);
        })?;
        let mut sample = Sample::new(held.len() as u64, part);
        sample.add(&Piece { text: &held, lines: 0, bytes: held.len() as u64 });
        return Ok((sample, Some(held)));
    }
    let size = source.stamp().map_or(corpus::TEXT.len() as u64, |stamp| stamp.size);
    let mut sample = Sample::new(size, part);
    let mut progress = Progress::new(&source.name(), Some(size), size >= long);
    source.read(|piece| {
        sample.add(&piece);
        progress.at(piece.bytes);
    })?;
    Ok((sample, None))
}

/// What tokens are learned from: the part of the text itself, or windows of it.
struct Sample {
    text: String,
    /// The bytes of the part.
    part: u64,
    windows: u64,
}

impl Sample {
    /// Of a text of `size` bytes.
    fn new(size: u64, part: Part) -> Sample {
        let part = match part {
            Part::Training => (u128::from(size) * 9 / 10) as u64,
            Part::Whole => size,
        };
        Sample { text: String::new(), part, windows: if part > MOST { MOST / WINDOW } else { 1 } }
    }

    /// Where a window begins and ends in the text.
    fn window(&self, index: u64) -> Range<u64> {
        let begin = (u128::from(self.part) * u128::from(index) / u128::from(self.windows)) as u64;
        let length = if self.windows == 1 { self.part } else { WINDOW };
        begin..begin + length
    }

    /// Takes what the next piece of the text has in the windows: whole characters.
    fn add(&mut self, piece: &Piece<'_>) {
        let (first, text) = (piece.begin(), piece.text);
        let within = |at: u64| {
            let at = at.clamp(first, piece.bytes) - first;
            (at as usize..text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len())
        };
        let windows = (0..self.windows).map(|index| self.window(index));
        let parts: Vec<&str> = windows
            .filter(|window| window.start < piece.bytes && window.end > first)
            .map(|window| &text[within(window.start)..within(window.end)])
            .collect();
        parts.into_iter().for_each(|part| self.text.push_str(part));
    }

    fn learn(&self, pattern: Pattern, vocab_size: usize) -> Result<Bpe> {
        if self.windows > 1 {
            let count = |number: u64| output::thousands(u128::from(number));
            output::note(&format!(
                "the tokens are learned from {} of {} bytes, in {} windows at even distances",
                count(self.text.len() as u64),
                count(self.part),
                self.windows
            ));
        }
        let progress = Counter::new("learning tokens", vocab_size.saturating_sub(256));
        Bpe::train(pattern, &self.text, vocab_size, |merge| progress.at(merge.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text of `size` bytes in which every byte says where it is, and what a sample takes of it in pieces of `length` bytes.
    fn sample(size: usize, length: usize, part: Part) -> Sample {
        let text: String = (0..size).map(|i| char::from(b'a' + (i / 977 % 26) as u8)).collect();
        let mut sample = Sample::new(size as u64, part);
        for begin in (0..size).step_by(length) {
            let end = size.min(begin + length);
            sample.add(&Piece { text: &text[begin..end], lines: 0, bytes: end as u64 });
        }
        let windows = (0..sample.windows).map(|index| sample.window(index));
        let expected: String = windows.map(|window| &text[window.start as usize..window.end as usize]).collect();
        assert!(sample.text == expected, "{size} {length}");
        sample
    }

    #[test]
    fn a_sample_is_the_training_part_or_windows_of_it_however_the_text_is_cut() {
        for length in [1 << 16, 100_003] {
            let short = sample(200_000, length, Part::Training);
            assert_eq!((short.text.len(), short.windows), (180_000, 1));
            let long = sample(20 << 20, length, Part::Training);
            assert_eq!((long.text.len() as u64, long.windows), (MOST, 128));
            assert!(long.window(127).end <= long.part, "nothing of what validates");
            assert_eq!(sample(200_000, length, Part::Whole).text.len(), 200_000);
        }
    }

    #[test]
    fn characters_at_the_border_of_a_window_stay_whole() {
        let text = "天".repeat(10);
        let mut sample = Sample::new(text.len() as u64, Part::Training); // 27 of 30 bytes
        sample.add(&Piece { text: &text[..12], lines: 0, bytes: 12 });
        sample.add(&Piece { text: &text[12..], lines: 0, bytes: 30 });
        assert_eq!(sample.text, "天".repeat(9));
        let mut sample = Sample::new(28, Part::Training); // 25 bytes, one of them of the ninth character
        sample.add(&Piece { text: &text[..27], lines: 0, bytes: 27 });
        assert_eq!(sample.text, "天".repeat(9));
    }
}
