//! The head after this one, asked for ahead of time.
//!
//! As a rule the thread that has a head takes the next one after it. In a buffer of all heads its rows lie apart and are
//! short, so the hardware does not foresee them. The requests are spread over the work on this head: a core has some
//! two dozen of them under way at once, and waits where it makes more.
//!
//! Measured (64×6×256×64 packed, 100 MB, two threads, AVX-512, medians per head): forward 62.8 µs without and 58.3 with;
//! 49.6 where all lies in the third-level cache. Backward, five operands instead of three, nothing was gained.

use super::{Inputs, Saved, Shape};
use std::ops::Range;

/// Where its rows lie.
pub(super) struct NextHead {
    q: [usize; 3],
    k: [usize; 3],
}

impl NextHead {
    #[inline(always)]
    pub(super) fn new(inputs: &Inputs<'_>, [b, h]: [usize; 2]) -> Self {
        let Shape { h: heads, d, .. } = inputs.shape;
        let [b, h] = if h + 1 < heads { [b, h + 1] } else { [b + 1, 0] };
        NextHead { q: [b, h, d], k: [b, inputs.kv_head(h), d] }
    }

    /// Asks for these rows of Q, K and V.
    #[inline(always)]
    pub(super) fn ask(&self, inputs: &Inputs<'_>, rows: Range<usize>) {
        inputs.q.ask(self.q, rows.clone());
        inputs.k.ask(self.k, rows.clone());
        inputs.v.ask(self.k, rows);
    }

    /// Asks for these rows of dO.
    #[inline(always)]
    pub(super) fn ask_gradient(&self, saved: &Saved<'_>, rows: Range<usize>) {
        saved.d_o.ask(self.q, rows);
    }
}

/// Takes the next `count` rows from `rows`, as many as there are.
#[inline(always)]
pub(super) fn take(rows: &mut Range<usize>, count: usize) -> Range<usize> {
    let now = rows.start..(rows.start + count).min(rows.end);
    rows.start = now.end;
    now
}
