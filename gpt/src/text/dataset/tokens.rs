//! The ids of a text: in memory, in a file, or still to be encoded.

use super::{identity::Stamp, packed, text::Text, token_file::TokenFile};
use crate::error::Result;
use std::ops::Range;

/// The ids of a text. Those of a long text are not in memory: a batch reads the few that it needs.
#[derive(Debug)]
pub(super) enum Tokens {
    /// In memory, `width` bytes each.
    Memory { bytes: Vec<u8>, width: usize },
    /// In a file of ids beside the run.
    File(TokenFile),
    /// In the text; encoded when a batch reads them.
    Text(Text),
}

impl Tokens {
    /// In memory, of a vocabulary of this size.
    pub fn in_memory(ids: &[u32], vocab_size: usize) -> Tokens {
        let (mut bytes, width) = (Vec::new(), packed::width(vocab_size));
        packed::pack(ids, width, &mut bytes);
        Tokens::Memory { bytes, width }
    }

    pub fn len(&self) -> usize {
        match self {
            Tokens::Memory { bytes, width } => bytes.len() / width,
            Tokens::File(file) => file.len(),
            Tokens::Text(text) => text.len(),
        }
    }

    /// The stamp of the text that they are read from; `None` where that is no file.
    pub fn stamp(&self) -> Option<Stamp> {
        match self {
            Tokens::Text(text) => text.stamp(),
            Tokens::Memory { .. } | Tokens::File(_) => None,
        }
    }

    /// Appends those in `range` to `out`.
    ///
    /// # Errors
    /// [`crate::Error::Unreadable`] where they can no longer be read from a file.
    ///
    /// # Panics
    /// Where there are not so many.
    pub fn append_to(&self, range: Range<usize>, out: &mut Vec<u32>) -> Result<()> {
        match self {
            Tokens::Memory { bytes, width } => {
                out.extend(packed::unpack(&bytes[range.start * width..range.end * width], *width));
                Ok(())
            }
            Tokens::File(file) => file.append_to(range, out),
            Tokens::Text(text) => text.append_to(range, out),
        }
    }
}
