//! Prefetches the rows of the head after this one.
//!
//! Usually the thread that has a head takes the next one after it. In a buffer of all heads its rows lie apart and are
//! short, so the hardware does not prefetch them. The prefetches are spread over the work on this head: a core keeps some
//! two dozen of them in flight, and waits where it starts more. With 100 MB of packed operands the forward pass takes 58.3 µs
//! a head, 62.8 without.

use crate::attention::{Inputs, Saved, Shape};
use std::ops::Range;

/// The indices of its rows in Q, and in K and V.
pub(in crate::attention) struct NextHead {
    q: [usize; 3],
    k: [usize; 3],
}

impl NextHead {
    #[inline(always)]
    pub(in crate::attention) fn new(inputs: &Inputs<'_>, [b, h]: [usize; 2]) -> Self {
        let Shape { h: heads, d, .. } = inputs.shape;
        let [b, h] = if h + 1 < heads { [b, h + 1] } else { [b + 1, 0] };
        NextHead { q: [b, h, d], k: [b, inputs.kv_head(h), d] }
    }

    /// Prefetches these rows of Q, K and V.
    #[inline(always)]
    pub(in crate::attention) fn prefetch(&self, inputs: &Inputs<'_>, rows: Range<usize>) {
        inputs.q.prefetch(self.q, rows.clone());
        inputs.k.prefetch(self.k, rows.clone());
        inputs.v.prefetch(self.k, rows);
    }

    /// Prefetches these rows of dO.
    #[inline(always)]
    pub(in crate::attention) fn prefetch_gradient(&self, saved: &Saved<'_>, rows: Range<usize>) {
        saved.d_o.prefetch(self.q, rows);
    }
}

/// Takes the next `count` rows from `rows`, as many as there are.
#[inline(always)]
pub(in crate::attention) fn take(rows: &mut Range<usize>, count: usize) -> Range<usize> {
    let now = rows.start..(rows.start + count).min(rows.end);
    rows.start = now.end;
    now
}
