//! What a task takes, and what it writes: queries of a head forward, keys of a key head backward.

use super::view::{Part, PartOf};
use std::ops::Range;

/// The queries of one head that a task of the forward pass takes, and the rows of O and lse that it writes.
pub(super) struct QueryTask<'a> {
    /// The batch entry and the head.
    pub(super) head: [usize; 2],
    pub(super) queries: Range<usize>,
    pub(super) o: Part<'a>,
    pub(super) lse: Part<'a>,
}

/// The keys of one key head that a task of the backward pass takes, and the rows of gradients that it writes.
pub(super) struct KeyTask<'a> {
    /// The batch entry and the key head.
    pub(super) head: [usize; 2],
    pub(super) keys: Range<usize>,
    /// The rows of dQ of each query head.
    pub(super) dq: &'a PartOf<'a>,
    pub(super) dk: Part<'a>,
    pub(super) dv: Part<'a>,
}

/// One query head of a [`KeyTask`].
pub(super) struct HeadTask<'a, 'b> {
    /// The batch entry, the query head and the key head.
    pub(super) head: [usize; 3],
    pub(super) keys: Range<usize>,
    pub(super) dq: Part<'a>,
    /// Written by the last query head.
    pub(super) dk: &'a mut Part<'b>,
    pub(super) dv: &'a mut Part<'b>,
}
