//! Token ids in the narrowest integers that hold them: a byte each for English.

use std::ops::Range;

/// A sequence of ids, all in one, two or four little-endian bytes. It starts with one and widens when it must, in place,
/// so that it never lies in memory twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tokens {
    bytes: Vec<u8>,
    width: usize,
}

impl Tokens {
    /// None, with room for `bytes` if the system has it.
    pub fn with_room(bytes: usize) -> Tokens {
        let mut tokens = Tokens { bytes: Vec::new(), width: 1 };
        let _ = tokens.bytes.try_reserve_exact(bytes); // a hint: without it the vector grows as it goes
        tokens
    }

    /// Those in `bytes`, `width` bytes each; `None` where that cannot be, or where one is not below `vocabulary`.
    pub fn from_bytes(bytes: Vec<u8>, width: usize, vocabulary: usize) -> Option<Tokens> {
        if ![1, 2, 4].contains(&width) || !bytes.len().is_multiple_of(width) {
            return None;
        }
        let tokens = Tokens { bytes, width };
        let largest = match width {
            1 => tokens.bytes.iter().max().map(|&id| u32::from(id)), // as fast as memory
            _ => tokens.ids(0..tokens.len()).max(),
        };
        largest.is_none_or(|id| (id as usize) < vocabulary).then_some(tokens)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes that an id takes.
    pub fn width(&self) -> usize {
        self.width
    }

    pub fn len(&self) -> usize {
        self.bytes.len() / self.width
    }

    pub fn extend(&mut self, ids: &[u32]) {
        let largest = ids.iter().copied().max().unwrap_or(0);
        self.widen(if largest < 1 << 8 {
            1
        } else if largest < 1 << 16 {
            2
        } else {
            4
        });
        match self.width {
            1 => self.bytes.extend(ids.iter().map(|&id| id as u8)),
            2 => self.bytes.extend(ids.iter().flat_map(|&id| (id as u16).to_le_bytes())),
            _ => self.bytes.extend(ids.iter().flat_map(|&id| id.to_le_bytes())),
        }
    }

    /// Gives back the room that is not needed.
    pub fn trim(&mut self) {
        self.bytes.shrink_to_fit();
    }

    pub fn insert_first(&mut self, id: u32) {
        let mut first = Tokens { bytes: Vec::new(), width: self.width };
        first.extend(&[id]);
        self.widen(first.width);
        self.bytes.splice(0..0, first.bytes);
    }

    /// Replaces each id by what `new_ids` has for it; the largest of them is as large as the largest id.
    pub fn renumber(&mut self, new_ids: &[u32]) {
        if new_ids.iter().zip(0..).all(|(&id, i)| id == i) {
            return;
        }
        let width = self.width;
        if width == 1 {
            return self.bytes.iter_mut().for_each(|id| *id = new_ids[usize::from(*id)] as u8);
        }
        for place in self.bytes.chunks_exact_mut(width) {
            let id = new_ids[read(place) as usize];
            place.copy_from_slice(&id.to_le_bytes()[..width]);
        }
    }

    pub fn append_to(&self, range: Range<usize>, out: &mut Vec<u32>) {
        out.extend(self.ids(range));
    }

    fn ids(&self, range: Range<usize>) -> impl Iterator<Item = u32> {
        self.bytes[range.start * self.width..range.end * self.width].chunks_exact(self.width).map(read)
    }

    fn widen(&mut self, width: usize) {
        let (old, count) = (self.width, self.len());
        if width <= old {
            return;
        }
        self.bytes.resize(count * width, 0);
        for i in (0..count).rev() {
            // From the end, so that nothing is written over that is still to be read.
            let id = read(&self.bytes[i * old..][..old]);
            self.bytes[i * width..][..width].copy_from_slice(&id.to_le_bytes()[..width]);
        }
        self.width = width;
    }
}

fn read(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |id, &byte| id << 8 | u32::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(tokens: &Tokens) -> Vec<u32> {
        let mut ids = Vec::new();
        tokens.append_to(0..tokens.len(), &mut ids);
        ids
    }

    #[test]
    fn ids_take_as_few_bytes_as_the_largest_needs_and_stay_what_they_are() {
        for (largest, width) in [(7, 1), (255, 1), (256, 2), (65_535, 2), (65_536, 4), (0x10_ffff, 4)] {
            let (mut tokens, mut expected) = (Tokens::with_room(0), Vec::new());
            for piece in [&[0, 1, largest / 3][..], &[255.min(largest), 7], &[], &[largest, 2], &[3]] {
                tokens.extend(piece);
                expected.extend_from_slice(piece);
            }
            assert_eq!((all(&tokens), tokens.width()), (expected.clone(), width));
            let (mut part, bytes) = (Vec::new(), tokens.bytes().to_vec());
            tokens.append_to(2..5, &mut part);
            assert_eq!(part, expected[2..5]);
            assert_eq!(Tokens::from_bytes(bytes.clone(), width, largest as usize + 1), Some(tokens.clone()));
            assert_eq!(Tokens::from_bytes(bytes, width, largest as usize), None, "an id outside of the vocabulary");
            tokens.insert_first(largest);
            assert_eq!(all(&tokens), [&[largest], &expected[..]].concat());
        }
        assert_eq!(Tokens::from_bytes(vec![0; 6], 4, 9), None);
        assert_eq!(Tokens::from_bytes(vec![0; 6], 3, 9), None);
    }

    #[test]
    fn ids_are_renumbered_in_every_width() {
        for largest in [3, 300, 70_000] {
            let mut tokens = Tokens::with_room(0);
            tokens.extend(&[0, largest, 2, 1]);
            let new_ids: Vec<u32> = (0..=largest).rev().collect();
            tokens.renumber(&new_ids);
            assert_eq!(all(&tokens), [largest, 0, largest - 2, largest - 1]);
        }
    }
}
