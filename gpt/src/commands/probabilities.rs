//! The table of `gradus sample --probabilities`: what the model predicted at every step, and what was drawn from it.
//!
//! ```text
//! text so far     chosen     the 5 likeliest
//!   Once upon a   't'  61.2  't'  61.2  'm'  10.9  's'   4.5  'l'   3.1  'f'   2.8
//!                      74.0       74.0       12.8        3.9        2.5        2.2
//! ```
//!
//! The upper row has the probabilities of the model, the lower one those after temperature, top-k and top-p. Columns are
//! measured as a terminal shows them: a Chinese character takes two.

use crate::{
    error::{Error, Result},
    output,
    sampler::{Candidate, Sampling},
    tokenizer::{Decoder, Tokenizer, TokenizerKind},
};
use unicode_width::UnicodeWidthStr;

const SHOWN: usize = 5; // candidates in a row
const TEXT_WIDTH: usize = 14; // of the text so far
const PERCENT_WIDTH: usize = 4;
const LABEL_WIDTH: usize = 10; // at most

/// The rows, one step after the other.
#[derive(Debug)]
pub struct Table<'a> {
    tokenizer: &'a Tokenizer,
    decoder: Decoder<'a>,
    kind: TokenizerKind,
    sampling: Sampling,
    label_width: usize,
    text: String,
    prompt_length: usize,
}

impl<'a> Table<'a> {
    /// A table for a text that begins with `prompt`.
    ///
    /// # Errors
    /// [`crate::Error::UnknownToken`] for an id outside of the vocabulary.
    pub fn new(tokenizer: &'a Tokenizer, sampling: Sampling, prompt: &[u32]) -> Result<Table<'a>> {
        let mut decoder = tokenizer.decoder();
        let mut text = String::new();
        for &token in prompt {
            text.push_str(decoder.push(token)?);
        }
        let label_width = match tokenizer.kind() {
            TokenizerKind::Byte => 4,
            TokenizerKind::Char | TokenizerKind::Bpe(_) => (0..tokenizer.vocab_size() as u32)
                .map(|token| tokenizer.label(token).width())
                .max()
                .unwrap_or(0)
                .clamp(4, LABEL_WIDTH),
        };
        Ok(Table { decoder, tokenizer, kind: tokenizer.kind(), sampling, label_width, prompt_length: text.len(), text })
    }

    /// What the table shows, and the titles of its columns.
    pub fn header(&self) -> String {
        let mut lines = vec![
            "Each step shows the end of the text so far, the token that was chosen and the".to_string(),
            "five likeliest tokens, with their probabilities in percent, softmax(logits).".to_string(),
        ];
        if self.sampling.temperature == 0.0 {
            lines.push("Temperature 0 is greedy decoding: the likeliest token is chosen.".to_string());
        } else if self.sampling != (Sampling { temperature: 1.0, top_k: None, top_p: None }) {
            lines.push("The row below has, where they differ, the probabilities that the token was".to_string());
            lines.push(format!("drawn with, after {}; – is 0.", describe(&self.sampling)));
        }
        if self.kind != TokenizerKind::Char {
            lines.push("\\xe5 is a byte that begins or continues a character of several bytes.".to_string());
        }
        let chosen = pad("chosen", self.cell_width());
        lines.push(format!("\n{:<TEXT_WIDTH$}  {chosen}  the {SHOWN} likeliest", "text so far"));
        lines.join("\n")
    }

    /// The rows of a step in which `chosen` was drawn from `candidates`, which are the likeliest first.
    ///
    /// # Errors
    /// [`crate::Error::UnknownToken`] for an id outside of the vocabulary.
    pub fn step(&mut self, chosen: u32, candidates: &[Candidate]) -> Result<String> {
        let of_chosen = candidates.iter().find(|candidate| candidate.token == chosen);
        let shown: Vec<&Candidate> = of_chosen.into_iter().chain(candidates.iter().take(SHOWN)).collect();
        let labels: Vec<String> = shown.iter().map(|c| self.label(c.token)).collect::<Result<_>>()?;
        let model: Vec<String> = shown.iter().map(|c| percent(c.model)).collect();
        let mut rows = self.row(&self.end_of_text(), &labels, &model);

        let drawn = |p| if p == 0.0 { "–".to_string() } else { percent(p) };
        let sampling: Vec<String> = shown.iter().map(|c| drawn(c.sampling)).collect();
        if self.sampling.temperature > 0.0 && sampling != model {
            let blank: Vec<String> = labels.iter().map(|label| " ".repeat(label.width())).collect();
            rows = format!("{rows}\n{}", self.row("", &blank, &sampling));
        }
        self.text.push_str(self.decoder.push(chosen)?);
        Ok(rows)
    }

    /// The text after the prompt.
    pub fn finish(mut self) -> String {
        self.text.push_str(self.decoder.finish());
        self.text.split_off(self.prompt_length)
    }

    fn cell_width(&self) -> usize {
        self.label_width + 1 + PERCENT_WIDTH
    }

    fn row(&self, text: &str, labels: &[String], percents: &[String]) -> String {
        let left = " ".repeat(TEXT_WIDTH.saturating_sub(text.width()));
        let cells = std::iter::zip(labels, percents).map(|(label, percent)| {
            let gap = self.cell_width().saturating_sub(label.width() + percent.width()).max(1);
            format!("  {label}{}{percent}", " ".repeat(gap))
        });
        format!("{left}{text}{}", cells.collect::<String>())
    }

    /// The text that `token` is, or the character that a byte completes, in quotes; otherwise its bytes.
    fn label(&self, token: u32) -> Result<String> {
        if matches!(self.kind, TokenizerKind::Bpe(_)) {
            return self.label_of_several(token);
        }
        let mut decoder = self.decoder.clone();
        let text = decoder.push(token)?;
        if self.kind == TokenizerKind::Byte && token >= 0x80 && (text.is_empty() || text.contains('\u{fffd}')) {
            return Ok(format!("\\x{token:02x}"));
        }
        // An ASCII character that comes too early ends the one before it, which the text shows as U+FFFD.
        Ok(text.chars().last().map(|c| format!("{c:?}")).unwrap_or_default())
    }

    /// The text or the bytes of a token of any length, cut to the width of the column.
    fn label_of_several(&self, token: u32) -> Result<String> {
        let bytes = self.tokenizer.bytes(token);
        let bytes = bytes.ok_or(Error::UnknownToken { token, vocabulary: self.tokenizer.vocab_size() })?;
        let (pieces, quote) = match str::from_utf8(&bytes) {
            Ok(text) => (text.chars().map(|c| c.escape_debug().to_string()).collect(), "'"),
            Err(_) => (bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect::<Vec<_>>(), ""),
        };
        let room = LABEL_WIDTH - 2 * quote.len();
        if pieces.iter().map(|piece| piece.width()).sum::<usize>() <= room {
            return Ok(format!("{quote}{}{quote}", pieces.concat()));
        }
        let mut width = 1; // of the dots
        let fits = |piece: &&String| {
            width += piece.width();
            width <= room
        };
        let shown: String = pieces.iter().take_while(fits).map(String::as_str).collect();
        Ok(format!("{quote}{shown}…{quote}"))
    }

    /// The last characters of the text, as many as the column holds, and the bytes of one that is not complete.
    fn end_of_text(&self) -> String {
        let bytes: String = self.decoder.waiting().iter().map(|byte| format!("\\x{byte:02x}")).collect();
        let (mut pieces, mut width) = (Vec::new(), bytes.width());
        for c in self.text.chars().rev() {
            let piece = output::one_line(c.encode_utf8(&mut [0; 4]));
            width += piece.width();
            if width > TEXT_WIDTH {
                break;
            }
            pieces.push(piece);
        }
        pieces.reverse();
        pieces.concat() + &bytes
    }
}

/// `text` and spaces up to `width` columns.
fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

/// Up to four columns: `0.3`, `45.1`, `100`.
fn percent(probability: f64) -> String {
    match 100.0 * probability {
        percent if percent < 0.05 => "<0.1".to_string(),
        percent if percent >= 99.95 => "100".to_string(),
        percent => format!("{percent:.1}"),
    }
}

fn describe(sampling: &Sampling) -> String {
    let mut parts = vec![format!("temperature {}", sampling.temperature)];
    parts.extend(sampling.top_k.map(|k| format!("top-k {k}")));
    parts.extend(sampling.top_p.map(|p| format!("top-p {p}")));
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::Sampler;

    const PLAIN: Sampling = Sampling { temperature: 1.0, top_k: None, top_p: None };

    /// Probabilities of 0.75, 0.12, 0.07 and 0.06 for the tokens `ids` of a vocabulary of so many.
    fn candidates(sampling: Sampling, vocabulary: usize, ids: &[u32]) -> Vec<Candidate> {
        let mut logits = vec![-40.0f32; vocabulary];
        for (rank, &id) in ids.iter().enumerate() {
            logits[id as usize] = [0.75f32, 0.12, 0.07, 0.06][rank].ln();
        }
        Sampler::new(sampling, 0).unwrap().candidates(&logits).unwrap()
    }

    #[test]
    fn a_step_has_the_text_the_choice_and_the_likeliest() {
        let tokenizer = Tokenizer::new(TokenizerKind::Char, "\nabc");
        let mut table = Table::new(&tokenizer, PLAIN, &tokenizer.encode("ab\n").unwrap()).unwrap();
        let all = candidates(PLAIN, 4, &[1, 2, 3, 0]);
        assert_eq!(
            table.step(3, &all).unwrap(),
            r"          ab\n  'c'   7.0  'a'  75.0  'b'  12.0  'c'   7.0  '\n'  6.0"
        );
        assert_eq!(
            table.step(0, &all).unwrap(),
            r"         ab\nc  '\n'  6.0  'a'  75.0  'b'  12.0  'c'   7.0  '\n'  6.0"
        );
        assert_eq!(table.finish(), "c\n");
    }

    #[test]
    fn a_choice_outside_of_the_likeliest_has_its_probability() {
        let tokenizer = Tokenizer::new(TokenizerKind::Char, "abcdefg");
        let mut table = Table::new(&tokenizer, PLAIN, &[0]).unwrap();
        let mut sampler = Sampler::new(PLAIN, 0).unwrap();
        let all = sampler.candidates(&[0.30f32, 0.20, 0.15, 0.12, 0.10, 0.08, 0.05].map(f32::ln)).unwrap();
        let row = table.step(6, &all).unwrap();
        assert_eq!(row, "             a  'g'   5.0  'a'  30.0  'b'  20.0  'c'  15.0  'd'  12.0  'e'  10.0");
    }

    #[test]
    fn probabilities_after_temperature_and_top_k_stand_below_where_they_differ() {
        let tokenizer = Tokenizer::new(TokenizerKind::Char, "abcd");
        let sampling = Sampling { temperature: 1.0, top_k: Some(2), top_p: None };
        let mut table = Table::new(&tokenizer, sampling, &[0]).unwrap();
        let rows = table.step(0, &candidates(sampling, 4, &[0, 1, 2, 3])).unwrap();
        let rows: Vec<&str> = rows.lines().collect();
        assert_eq!(
            rows,
            [
                "             a  'a'  75.0  'a'  75.0  'b'  12.0  'c'   7.0  'd'   6.0",
                "                     86.2       86.2       13.8          –          –"
            ]
        );
        let everything = Sampling { top_k: Some(4), top_p: Some(1.0), ..sampling };
        let mut table = Table::new(&tokenizer, everything, &[0]).unwrap();
        assert_eq!(table.step(0, &candidates(everything, 4, &[0, 1, 2, 3])).unwrap().lines().count(), 1);
        let mut table = Table::new(&tokenizer, Sampling::GREEDY, &[0]).unwrap();
        assert_eq!(table.step(0, &candidates(Sampling::GREEDY, 4, &[0, 1, 2, 3])).unwrap().lines().count(), 1);
    }

    #[test]
    fn wide_and_escaped_characters_leave_the_columns_where_they_are() {
        let tokenizer = Tokenizer::new(TokenizerKind::Char, "ab天地玄黄\u{1b}");
        let ids = tokenizer.encode("天地ab").unwrap();
        let widths = |text: &str| {
            let mut table = Table::new(&tokenizer, PLAIN, &tokenizer.encode(text).unwrap()).unwrap();
            let rows = table.step(ids[0], &candidates(PLAIN, 7, &ids)).unwrap();
            let likeliest = rows.rfind("'天'").unwrap();
            (rows[..likeliest].width(), rows.width())
        };
        assert_eq!(widths("ab"), widths("天地玄黄天地玄黄天地"));
        assert_eq!(widths("ab"), widths("a天地玄黄天地玄"));
        assert_eq!(widths("ab"), widths("a\u{1b}天"));
    }

    #[test]
    fn bytes_become_characters_when_they_are_complete() {
        let bytes = "天".as_bytes();
        let mut table = Table::new(&Tokenizer::Byte, PLAIN, &[u32::from(b'a')]).unwrap();
        let mut rows = Vec::new();
        for &byte in bytes {
            rows.push(table.step(u32::from(byte), &candidates(PLAIN, 256, &[u32::from(byte), 97])).unwrap());
        }
        assert!(rows[0].starts_with(r"             a  \xe5 ") && rows[0].contains("  'a' "), "{}", rows[0]);
        assert!(rows[1].starts_with(r"         a\xe5  \xa4 ") && rows[1].contains("  'a' "), "{}", rows[1]);
        assert!(rows[2].starts_with(r"     a\xe5\xa4  '天' "), "{}", rows[2]);
        let mut cut = Table::new(&Tokenizer::Byte, PLAIN, &[0xe5]).unwrap();
        let row = cut.step(0xe6, &candidates(PLAIN, 256, &[0xe6, 97])).unwrap();
        assert!(row.starts_with(r"          \xe5  \xe6 ") && row.contains("  'a' "), "{row}");
        assert_eq!(cut.finish(), "\u{fffd}\u{fffd}");
        assert_eq!(table.finish(), "天");
        assert!(Table::new(&Tokenizer::Byte, PLAIN, &[]).unwrap().header().contains(r"\xe5 is a byte"));
    }

    #[test]
    fn tokens_of_several_characters_are_shown_and_cut_to_their_column() {
        let text = "so to say: internationally, internationally, 天天天天\n";
        let tokenizer = Tokenizer::new(TokenizerKind::Bpe(281), &text.repeat(9));
        let id = |bytes: &[u8]| (0..281).find(|&id| tokenizer.bytes(id).as_deref() == Some(bytes)).unwrap();
        let table = Table::new(&tokenizer, PLAIN, &tokenizer.encode("so").unwrap()).unwrap();
        let labels = [&b" to"[..], "天".as_bytes(), b" internationally", b",", b"\n", b"\xe5"].map(|bytes| {
            let label = table.label(id(bytes)).unwrap();
            assert!(label.width() <= LABEL_WIDTH, "{label}");
            label
        });
        assert_eq!(labels, ["' to'", "'天'", "' intern…'", "','", r"'\n'", r"\xe5"]);
        assert!(table.header().contains("is a byte that begins or continues"));
        assert!(table.label(281).is_err());
    }

    #[test]
    fn the_header_says_what_is_below_and_fits_80_columns() {
        let tokenizer = Tokenizer::new(TokenizerKind::Char, "abc");
        let header = |sampling| Table::new(&tokenizer, sampling, &[0]).unwrap().header();
        let cut = Sampling { temperature: 0.8, top_k: Some(40), top_p: Some(0.95) };
        assert!(header(cut).contains("after temperature 0.8, top-k 40, top-p 0.95"), "{}", header(cut));
        assert!(!header(PLAIN).contains("row below") && header(Sampling::GREEDY).contains("greedy"));
        assert!(header(cut).ends_with("text so far     chosen     the 5 likeliest"), "{}", header(cut));
        assert!(header(cut).lines().all(|line| line.width() <= 80));
    }

    #[test]
    fn percents_take_four_columns() {
        assert_eq!(
            [0.0, 0.0004, 0.0005, 0.1, 0.9994, 0.9996].map(percent),
            ["<0.1", "<0.1", "0.1", "10.0", "99.9", "100"]
        );
    }
}
