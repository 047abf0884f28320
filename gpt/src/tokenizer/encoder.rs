//! Encoding a long text piece by piece, also where its vocabulary is only found on the way.
//!
//! A new character gets the next free id when it is first seen, and [`Encoder::finish`] says what becomes of these ids
//! once the vocabulary is in order. So a text is read once, and a pipe will do.

use super::{Tokenizer, TokenizerKind, Vocabulary};

/// An id that no character has.
const NONE: u32 = u32::MAX;

/// A character that the vocabulary lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// The character.
    pub character: char,
    /// Where it begins in the piece, in bytes.
    pub at: usize,
}

/// Turns pieces of a text into ids.
#[derive(Clone, Debug)]
pub struct Encoder(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Byte,
    Char {
        /// The id of each code point, as far as the table goes.
        ids: Vec<u32>,
        /// The character of each id.
        characters: Vec<char>,
        /// Whether a new character gets an id.
        learns: bool,
    },
}

impl Encoder {
    /// With a vocabulary that grows with the text.
    pub fn learning(kind: TokenizerKind) -> Encoder {
        Encoder(match kind {
            TokenizerKind::Byte => Kind::Byte,
            TokenizerKind::Char => Kind::Char { ids: Vec::new(), characters: Vec::new(), learns: true },
        })
    }

    /// With the vocabulary of `tokenizer`.
    pub fn of(tokenizer: &Tokenizer) -> Encoder {
        Encoder(match tokenizer {
            Tokenizer::Byte => Kind::Byte,
            Tokenizer::Char(vocabulary) => {
                let characters = vocabulary.0.clone(); // in order, so the last one is the largest
                let mut ids = vec![NONE; characters.last().map_or(0, |&last| last as usize + 1)];
                for (id, &character) in (0..).zip(&characters) {
                    ids[character as usize] = id;
                }
                Kind::Char { ids, characters, learns: false }
            }
        })
    }

    /// Appends the ids of `text` to `out`.
    ///
    /// # Errors
    /// The first character that a vocabulary that does not grow lacks.
    pub fn encode(&mut self, text: &str, out: &mut Vec<u32>) -> Result<(), Unknown> {
        let Kind::Char { ids, characters, learns } = &mut self.0 else {
            out.extend(text.bytes().map(u32::from));
            return Ok(());
        };
        for (at, character) in text.char_indices() {
            let mut id = ids.get(character as usize).copied().unwrap_or(NONE);
            if id == NONE {
                if !*learns {
                    return Err(Unknown { character, at });
                }
                id = learn(ids, characters, character);
            }
            out.push(id);
        }
        Ok(())
    }

    /// The tokenizer for all that was encoded, and the id that it has for each id that was given out.
    pub fn finish(self) -> (Tokenizer, Vec<u32>) {
        let Kind::Char { characters, .. } = self.0 else {
            return (Tokenizer::Byte, (0..256).collect());
        };
        let mut sorted = characters.clone();
        sorted.sort_unstable();
        let place = |character| sorted.partition_point(|&other| other < character) as u32;
        let new_ids = characters.into_iter().map(place).collect();
        (Tokenizer::Char(Vocabulary(sorted)), new_ids)
    }
}

fn learn(ids: &mut Vec<u32>, characters: &mut Vec<char>, character: char) -> u32 {
    let id = characters.len() as u32;
    characters.push(character);
    ids.resize(ids.len().max(character as usize + 1), NONE);
    ids[character as usize] = id;
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "天地玄黄 naïve 🦀\u{10ffff}\n天 a";

    #[test]
    fn a_vocabulary_that_grows_ends_as_that_of_the_whole_text() {
        for kind in [TokenizerKind::Char, TokenizerKind::Byte] {
            let (mut encoder, mut ids) = (Encoder::learning(kind), Vec::new());
            for piece in TEXT.split_inclusive(' ') {
                encoder.encode(piece, &mut ids).unwrap();
            }
            let (tokenizer, new_ids) = encoder.finish();
            assert_eq!(tokenizer, Tokenizer::new(kind, TEXT));
            let ids: Vec<u32> = ids.iter().map(|&id| new_ids[id as usize]).collect();
            assert_eq!(ids, tokenizer.encode(TEXT).unwrap());
        }
    }

    #[test]
    fn a_vocabulary_that_is_given_is_kept_to() {
        let tokenizer = Tokenizer::new(TokenizerKind::Char, TEXT);
        let (mut encoder, mut ids) = (Encoder::of(&tokenizer), Vec::new());
        encoder.encode(TEXT, &mut ids).unwrap();
        assert_eq!(ids, tokenizer.encode(TEXT).unwrap());
        for unknown in ['b', '界', '\u{10fffe}'] {
            let refused = encoder.encode(&format!("天 {unknown}"), &mut ids);
            assert_eq!(refused, Err(Unknown { character: unknown, at: 4 }));
        }
        assert_eq!(encoder.finish(), (tokenizer.clone(), (0..tokenizer.vocab_size() as u32).collect()));
    }
}
