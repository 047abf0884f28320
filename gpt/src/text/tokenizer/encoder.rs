//! Long texts, which come in pieces: finding their vocabulary, and turning them into ids with one that is known.

use super::{Tokenizer, TokenizerKind, Vocabulary};

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

/// Finds the tokenizer of a text.
#[derive(Clone, Debug)]
pub struct TokenizerBuilder {
    /// For each code point, as far as the table goes, whether it was seen; `None` where every byte is a token.
    seen: Option<Vec<bool>>,
}

impl TokenizerBuilder {
    /// For a tokenizer of this kind, before the first piece.
    pub fn new(kind: TokenizerKind) -> TokenizerBuilder {
        TokenizerBuilder { seen: (kind == TokenizerKind::Char).then(Vec::new) }
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
pub struct Encoder {
    /// The id of each code point, as far as the table goes; `None` where every byte is a token.
    ids: Option<Vec<u32>>,
}

impl Encoder {
    /// With the vocabulary of `tokenizer`.
    pub fn new(tokenizer: &Tokenizer) -> Encoder {
        let Tokenizer::Char(Vocabulary(characters)) = tokenizer else { return Encoder { ids: None } };
        let mut ids = vec![NONE; characters.last().map_or(0, |&last| last as usize + 1)]; // the last one is the largest
        for (id, &character) in (0..).zip(characters) {
            ids[character as usize] = id;
        }
        Encoder { ids: Some(ids) }
    }

    /// Appends the ids of `text` to `out`.
    ///
    /// # Errors
    /// The first character that is not in the vocabulary.
    pub fn encode(&self, text: &str, out: &mut Vec<u32>) -> Result<(), Unknown> {
        let Some(ids) = &self.ids else {
            out.extend(text.bytes().map(u32::from));
            return Ok(());
        };
        for (at, character) in text.char_indices() {
            match ids.get(character as usize) {
                None | Some(&NONE) => return Err(Unknown { character, at }),
                Some(&id) => out.push(id),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "天地玄黄 naïve 🦀\u{10ffff}\n天 a";

    #[test]
    fn the_tokenizer_of_all_pieces_is_that_of_the_whole_text() {
        for kind in [TokenizerKind::Char, TokenizerKind::Byte] {
            let mut builder = TokenizerBuilder::new(kind);
            let count: usize = TEXT.split_inclusive(' ').map(|piece| builder.add(piece)).sum();
            let tokenizer = builder.finish();
            assert_eq!(tokenizer, Tokenizer::new(kind, TEXT));
            assert_eq!(count, tokenizer.encode(TEXT).unwrap().len());
        }
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
