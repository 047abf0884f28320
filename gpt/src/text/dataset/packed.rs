//! Token ids in the narrowest integers that hold every id of a vocabulary: a byte each for English.

/// The bytes that an id takes, 1, 2 or 4, with a vocabulary of this size.
pub(super) fn width(vocab_size: usize) -> usize {
    match vocab_size {
        0..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        _ => 4,
    }
}

/// Appends `ids` to `out` in little-endian integers of `width` bytes.
pub(super) fn pack(ids: &[u32], width: usize, out: &mut Vec<u8>) {
    match width {
        1 => out.extend(ids.iter().map(|&id| id as u8)),
        2 => out.extend(ids.iter().flat_map(|&id| (id as u16).to_le_bytes())),
        _ => out.extend(ids.iter().flat_map(|&id| id.to_le_bytes())),
    }
}

/// The ids in `bytes`, `width` bytes each.
pub(super) fn unpack(bytes: &[u8], width: usize) -> impl Iterator<Item = u32> {
    bytes.chunks_exact(width).map(|bytes| bytes.iter().rev().fold(0, |id, &byte| id << 8 | u32::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_take_as_few_bytes_as_the_largest_needs_and_stay_what_they_are() {
        for (vocab_size, expected) in [(1, 1), (256, 1), (257, 2), (65_536, 2), (65_537, 4), (0x11_0000, 4)] {
            let ids = [0, 1, vocab_size as u32 / 3, vocab_size as u32 - 1, 0];
            let mut bytes = vec![7];
            assert_eq!(width(vocab_size), expected);
            pack(&ids, expected, &mut bytes);
            assert_eq!(bytes.len(), 1 + ids.len() * expected);
            assert_eq!(unpack(&bytes[1..], expected).collect::<Vec<_>>(), ids);
        }
    }
}
