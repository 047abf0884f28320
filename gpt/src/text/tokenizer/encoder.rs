//! Long texts, which come in pieces: finding their vocabulary, and turning them into ids with one that is known.

use super::{
    Tokenizer, TokenizerKind, Vocabulary,
    bpe::{Bpe, is_certain_cut},
};

/// Most bytes of a [block](Encoder::block) that is not cut where a piece ends.
const LONGEST_BLOCK: usize = 1 << 16;

/// The id of a character that is not in the vocabulary.
const NONE: u32 = u32::MAX;

/// A character that is not in the vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// The character.
    pub character: char,
    /// Where it begins in the piece, in bytes.
    pub at: usize,
}

/// Finds the tokenizer of a text on the way through it: the characters that it uses, or none where every byte is a token.
#[derive(Clone, Debug)]
pub struct TokenizerBuilder {
    /// For each code point, as far as the table goes, whether it was seen; `None` where every byte is a token.
    seen: Option<Vec<bool>>,
}

impl TokenizerBuilder {
    /// For a tokenizer of this kind, before the first piece; `None` where it takes more than one reading of the text: byte pair
    /// encoding first learns its tokens, and then finds them.
    pub fn new(kind: TokenizerKind) -> Option<TokenizerBuilder> {
        match kind {
            TokenizerKind::Char => Some(TokenizerBuilder { seen: Some(Vec::new()) }),
            TokenizerKind::Byte => Some(TokenizerBuilder { seen: None }),
            TokenizerKind::Bpe(_) => None,
        }
    }

    /// Takes in the next piece. Returns how many tokens it has.
    pub fn add(&mut self, text: &str) -> usize {
        let Some(seen) = &mut self.seen else { return text.len() };
        let mut count = 0;
        for character in text.chars() {
            let code = character as usize;
            if code >= seen.len() {
                seen.resize(code + 1, false);
            }
            seen[code] = true;
            count += 1;
        }
        count
    }

    /// The tokenizer for all pieces.
    pub fn finish(self) -> Tokenizer {
        let Some(seen) = self.seen else { return Tokenizer::Byte };
        let characters = (0..).zip(seen).filter_map(|(code, seen)| char::from_u32(code).filter(|_| seen));
        Tokenizer::Char(Vocabulary(characters.collect()))
    }
}

/// Turns pieces of a text into ids.
#[derive(Clone, Debug)]
pub enum Encoder {
    /// The id of each code point, as far as the table goes.
    Characters(Vec<u32>),
    /// Every byte is a token.
    Bytes,
    /// The tokens of byte pair encoding.
    Pairs(Bpe),
}

impl Encoder {
    /// With the vocabulary of `tokenizer`.
    pub fn new(tokenizer: &Tokenizer) -> Encoder {
        match tokenizer {
            Tokenizer::Byte => Encoder::Bytes,
            Tokenizer::Bpe(bpe) => Encoder::Pairs(bpe.clone()),
            Tokenizer::Char(Vocabulary(characters)) => {
                // The last one is the largest.
                let mut ids = vec![NONE; characters.last().map_or(0, |&last| last as usize + 1)];
                for (id, &character) in (0..).zip(characters) {
                    ids[character as usize] = id;
                }
                Encoder::Characters(ids)
            }
        }
    }

    /// Appends the ids of `text` to `out`.
    ///
    /// # Errors
    /// The first character that is not in the vocabulary.
    pub fn encode(&self, text: &str, out: &mut Vec<u32>) -> Result<(), Unknown> {
        let ids = match self {
            Encoder::Characters(ids) => ids,
            Encoder::Bytes => {
                out.extend(text.bytes().map(u32::from));
                return Ok(());
            }
            Encoder::Pairs(bpe) => {
                bpe.encode_into(text, out);
                return Ok(());
            }
        };
        for (at, character) in text.char_indices() {
            match ids.get(character as usize) {
                None | Some(&NONE) => return Err(Unknown { character, at }),
                Some(&id) => out.push(id),
            }
        }
        Ok(())
    }

    /// Appends the ids of `text`, block after block, as it is encoded where it is too long for memory. They differ from those of
    /// [`Encoder::encode`] only in a text with 64 KiB of letters, digits or signs alone.
    ///
    /// # Errors
    /// The first character that is not in the vocabulary; its place is that in `text`.
    pub fn encode_in_blocks(&self, text: &str, size: usize, out: &mut Vec<u32>) -> Result<(), Unknown> {
        let mut begin = 0;
        while let Some(length) = self.block(&text[begin..], size, false) {
            let place = |unknown: Unknown| Unknown { at: begin + unknown.at, ..unknown };
            self.encode(&text[begin..begin + length], out).map_err(place)?;
            begin += length;
        }
        Ok(())
    }

    /// How many bytes of `text` are the next block of a long text: a part with the same tokens as in the whole, of at most `size`
    /// bytes if there is one. `None` where there is no more text, or where that depends on the text that follows, if `more` does.
    /// Which blocks there are does not depend on how much of the text is there at a time.
    pub fn block(&self, text: &str, size: usize, more: bool) -> Option<usize> {
        if text.is_empty() {
            return None;
        }
        if !matches!(self, Encoder::Pairs(_)) {
            return Some(character_start(text, size));
        }
        if text.len() <= size {
            return (!more).then_some(text.len());
        }
        let certain = |&at: &usize| {
            let (before, after) = (text[..at].chars().next_back(), text[at..].chars().next());
            before.zip(after).is_some_and(|(before, after)| is_certain_cut(before, after))
        };
        let starts = |at: &usize| text.is_char_boundary(*at);
        let end = LONGEST_BLOCK.max(size).min(text.len() - 1);
        let cut =
            (1..=size).rev().filter(starts).find(certain).or_else(|| (size + 1..=end).filter(starts).find(certain));
        cut.or_else(|| match text.len() > LONGEST_BLOCK {
            true => Some(character_start(text, LONGEST_BLOCK)),
            false => (!more).then_some(text.len()),
        })
    }
}

/// The last place where a character begins within the first `most` bytes; the end where `text` is not longer.
fn character_start(text: &str, most: usize) -> usize {
    let most = most.min(text.len());
    (0..=most).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{super::bpe::Pattern, *};

    const TEXT: &str = "天地玄黄 naïve 🦀\u{10ffff}\n天 a";

    #[test]
    fn the_tokenizer_of_all_pieces_is_that_of_the_whole_text() {
        for kind in [TokenizerKind::Char, TokenizerKind::Byte] {
            let mut builder = TokenizerBuilder::new(kind).unwrap();
            let count: usize = TEXT.split_inclusive(' ').map(|piece| builder.add(piece)).sum();
            let tokenizer = builder.finish();
            assert_eq!(tokenizer, Tokenizer::new(kind, TEXT));
            assert_eq!(count, tokenizer.encode(TEXT).unwrap().len());
        }
    }

    /// All tokens of `text`, of which `length` bytes come at a time, in blocks of at most 64 bytes.
    fn in_blocks(encoder: &Encoder, text: &str, length: usize) -> (Vec<u32>, Vec<usize>) {
        let (mut ids, mut blocks, mut rest, mut at) = (Vec::new(), Vec::new(), String::new(), 0);
        while at < text.len() {
            let end = character_start(text, at + length).max(at + text[at..].chars().next().unwrap().len_utf8());
            rest.push_str(&text[at..end]);
            at = end;
            while let Some(block) = encoder.block(&rest, 64, at < text.len()) {
                encoder.encode(&rest[..block], &mut ids).unwrap();
                blocks.push(block);
                rest.drain(..block);
            }
        }
        assert!(rest.is_empty());
        (ids, blocks)
    }

    #[test]
    fn blocks_have_the_tokens_of_the_whole_text_however_it_comes() {
        let line = "He's 12345 years, don't!!\n\n  \t he\u{301}llo HELLOworld 天地玄黄，宇宙 🦀🦀//\n/x \r\n";
        let text: String = (0..40).map(|i| line.chars().cycle().skip(i * 7).take(50).collect::<String>()).collect();
        for pattern in [Pattern::Gpt2, Pattern::Cl100k, Pattern::O200k] {
            let bpe = Bpe::train(pattern, &text, 310, |_| ()).unwrap();
            let encoder = Encoder::Pairs(bpe.clone());
            let (whole, blocks) = in_blocks(&encoder, &text, text.len());
            assert_eq!(whole, bpe.encode(&text), "{pattern:?}");
            assert!(blocks.len() > text.len() / 64 && blocks.iter().all(|&block| block <= 64), "{blocks:?}");
            for length in [1, 2, 3, 7, 63, 64, 65, 66, 200] {
                assert_eq!(in_blocks(&encoder, &text, length), (whole.clone(), blocks.clone()), "{length}");
            }
            let mut ids = Vec::new();
            encoder.encode_in_blocks(&text, 64, &mut ids).unwrap();
            assert_eq!(ids, whole);
        }
    }

    #[test]
    fn a_text_that_cannot_be_cut_is_cut_after_64_kib_and_always_there() {
        let text: String =
            (0..150_000_u32).map(|i| char::from(b'a' + (i.wrapping_mul(2_654_435_761) >> 16) as u8 % 7)).collect();
        let encoder = Encoder::Pairs(Bpe::train(Pattern::Cl100k, &text[..5000], 300, |_| ()).unwrap());
        let (ids, blocks) = in_blocks(&encoder, &text, text.len());
        assert_eq!(blocks, [65_536, 65_536, 18_928]);
        assert_eq!(in_blocks(&encoder, &text, 4099), (ids.clone(), blocks));
        let mut again = Vec::new();
        encoder.encode_in_blocks(&text, 64, &mut again).unwrap();
        assert_eq!(again, ids);
    }

    #[test]
    fn pieces_have_the_ids_of_the_tokenizer() {
        for kind in [TokenizerKind::Char, TokenizerKind::Byte] {
            let tokenizer = Tokenizer::new(kind, TEXT);
            let (encoder, mut ids) = (Encoder::new(&tokenizer), Vec::new());
            TEXT.split_inclusive(' ').for_each(|piece| encoder.encode(piece, &mut ids).unwrap());
            assert_eq!(ids, tokenizer.encode(TEXT).unwrap());
        }
    }

    #[test]
    fn a_character_outside_of_the_vocabulary_is_named_with_its_place() {
        let encoder = Encoder::new(&Tokenizer::new(TokenizerKind::Char, TEXT));
        for unknown in ['b', '界', '\u{10fffe}'] {
            let refused = encoder.encode(&format!("天 {unknown}"), &mut Vec::new());
            assert_eq!(refused, Err(Unknown { character: unknown, at: 4 }));
        }
    }
}
