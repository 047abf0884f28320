//! Vectors: a vector of counters makes four words a lane, and half a word decides an element, so eight counters serve
//! four runs of sixteen neighbouring elements. With 16 bits p is met to 2⁻¹⁷; FlashAttention-2 takes 8.
//!
//! A 64-bit product fills two lanes, so the counters are in the even ones; the halves of a word are separated only at the end,
//! when one of them goes to the odd lane (see [`Dropout::drop_masks`]). 64 elements take 39 cycles, and 92 with a whole word
//! for each (Zen 4).

use super::{Dropout, expect};
use crate::{
    Isa,
    philox::GROUP,
    rows::{Access, Whole},
    simd_fn,
};

/// y = x·keep / (1 − p). Panics as [`super::apply`].
pub fn apply(isa: Isa, dropout: Dropout, x: &[f32], y: &mut [f32]) {
    expect(dropout, x.len(), y.len());
    apply_from(isa, dropout, 0, false, x, y);
}

simd_fn! {
    /// The same where the first element is the first of the group `first`; `far`: whether y is written past the caches.
    pub(super) fn apply_from<S>(s: S, dropout: Dropout, first: u64, far: bool, x: &[f32], y: &mut [f32]) {
        let scale = s.splat(dropout.scale());
        let (whole_x, rest_x) = x.as_chunks::<GROUP>();
        let (whole_y, rest_y) = y.as_chunks_mut::<GROUP>();
        let mut group = first;
        for (x, y) in whole_x.iter().zip(whole_y) {
            for part in 0..16 / S::N {
                for (word, mask) in dropout.drop_masks(s, group, part).into_iter().enumerate() {
                    let i = word * 16 + part * S::N;
                    let v = s.mul(s.load(&x[i..]), scale);
                    Whole.write(s, far, &mut y[i..], s.select(mask, s.zero(), v));
                }
            }
            group += 1;
        }
        s.fence();
        if rest_x.is_empty() {
            return;
        }
        for part in 0..16 / S::N {
            for (word, mask) in dropout.drop_masks(s, group, part).into_iter().enumerate() {
                let i = (word * 16 + part * S::N).min(rest_x.len());
                let v = s.mul(s.load_partial(&rest_x[i..]), scale);
                s.store_partial(&mut rest_y[i..], s.select(mask, s.zero(), v));
            }
        }
    }
}
