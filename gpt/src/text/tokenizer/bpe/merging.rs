//! Merging the pairs of one piece, in the order in which they were learned.

use super::{Pair, Rules};
use std::{cmp::Reverse, collections::BinaryHeap};

/// No neighbour, and no token.
const NONE: u32 = u32::MAX;

/// Tokens as a linked list, and a heap of the pairs that may be merged: a piece of n bytes takes O(n log n). Kept from piece to
/// piece, so that its memory is.
#[derive(Debug, Default)]
pub(super) struct Merging {
    tokens: Vec<Link>,
    /// What a pair becomes, which is its rank too, and where it begins. The lowest rank comes first, of equal ones the leftmost.
    heap: BinaryHeap<Reverse<(u32, u32)>>,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    id: u32,
    previous: u32,
    next: u32,
}

impl Merging {
    /// Appends to `out` what `ids` become when no pair is left that `rules` merge. `parts` says what a merged token is made of.
    pub fn run(&mut self, ids: impl ExactSizeIterator<Item = u32>, rules: &Rules, parts: &[Pair], out: &mut Vec<u32>) {
        let count = u32::try_from(ids.len()).expect("a piece is shorter than 4 GiB");
        let link = |(i, id)| Link { id, previous: if i == 0 { NONE } else { i - 1 }, next: i + 1 };
        self.tokens.clear();
        self.tokens.extend((0..count).zip(ids).map(link));
        if let Some(last) = self.tokens.last_mut() {
            last.next = NONE;
        }
        self.heap.clear();
        (0..count).for_each(|at| self.offer(at, rules));
        while let Some(Reverse((id, at))) = self.heap.pop() {
            // A pair that a merge beside it has changed meanwhile is another pair, or none.
            if self.pair(at) == Some(parts[id as usize - 256]) {
                self.merge(at, id, rules);
            }
        }
        let mut at = if count == 0 { NONE } else { 0 };
        while at != NONE {
            out.push(self.tokens[at as usize].id);
            at = self.tokens[at as usize].next;
        }
    }

    /// The tokens at `at` and after it.
    fn pair(&self, at: u32) -> Option<Pair> {
        let token = self.tokens[at as usize];
        (token.id != NONE && token.next != NONE).then(|| (token.id, self.tokens[token.next as usize].id))
    }

    fn offer(&mut self, at: u32, rules: &Rules) {
        if let Some(&id) = self.pair(at).and_then(|pair| rules.get(&pair)) {
            self.heap.push(Reverse((id, at)));
        }
    }

    /// Puts the token `id` in the place of the pair at `at`.
    fn merge(&mut self, at: u32, id: u32, rules: &Rules) {
        let Link { previous, next: right, .. } = self.tokens[at as usize];
        let after = self.tokens[right as usize].next;
        self.tokens[right as usize].id = NONE;
        self.tokens[at as usize] = Link { id, previous, next: after };
        if after != NONE {
            self.tokens[after as usize].previous = at;
        }
        self.offer(at, rules);
        if previous != NONE {
            self.offer(previous, rules);
        }
    }
}
