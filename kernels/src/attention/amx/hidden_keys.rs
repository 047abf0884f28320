//! Which keys are hidden from a query, and which dropout takes from it: a bit for each of 32 keys.
//!
//! The masks of dropout are drawn for 64 keys of one query at once. Forward, queries are rows, and that is what a row needs.
//! Backward, queries are in the lanes: a word for each of 16 queries is a vector, and key j of a square reads bit j of all
//! lanes. So nothing is transposed, and masks are drawn once for a block.

use crate::attention::{Inputs, amx::product::STEP};
use crate::{
    philox::{Dropout, GROUP},
    simd::{Bf16, Simd, bf16::F32},
};
use std::ops::Range;

/// Words for a group of dropout's masks.
pub(in crate::attention) const WORDS_OF_GROUP: usize = GROUP / STEP;

/// A bit for each lane.
const LANES: [u32; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768];

/// The bits of the 64 keys of a group that dropout takes.
#[inline(always)]
pub(in crate::attention) fn dropped<S: Simd>(s: S, dropout: Dropout, group: u64) -> [u32; WORDS_OF_GROUP] {
    let mut bits = [0; WORDS_OF_GROUP];
    for part in 0..16 / S::N {
        let masks = dropout.drop_masks(s, group, part);
        for (word, &mask) in masks.iter().enumerate() {
            bits[word / 2] |= s.mask_bits(mask) << (word % 2 * 16 + part * S::N);
        }
    }
    bits
}

/// The bits of the keys that dropout takes from a query, of `keys` at least; bit 0 of the first word is that of the first key
/// of the group in which `first` lies. `of_query` is the group of key 0.
#[inline(always)]
pub(in crate::attention) fn dropped_from<S: Simd, const N: usize>(
    s: S,
    dropout: Dropout,
    of_query: u64,
    first: usize,
    keys: Range<usize>,
) -> [u32; N] {
    let mut bits = [0; N];
    for group in keys.start / GROUP..keys.end.div_ceil(GROUP) {
        let to = &mut bits[WORDS_OF_GROUP * (group - first / GROUP)..][..WORDS_OF_GROUP];
        to.copy_from_slice(&dropped(s, dropout, of_query + group as u64));
    }
    bits
}

/// The probabilities of a query with the keys from `column` on, 0 where their bits are set.
#[inline(always)]
pub(in crate::attention) fn drop_out<B: Bf16>(b: B, bits: &[u32], column: usize, p: F32<B>) -> F32<B> {
    let s = b.simd();
    let bits = s.splat_u32(bits[column / STEP] >> (column % STEP));
    s.select(test(s, bits, b.load(&LANES)), s.zero(), p)
}

/// The bits of the 32 keys from `key` on that query i of (b, h) does not see, or that are not there; all of them where there
/// is no such query.
#[inline(always)]
pub(in crate::attention) fn hidden<S: Simd>(s: S, inputs: &Inputs<'_>, [b, h, i]: [usize; 3], key: usize) -> u32 {
    if i >= inputs.shape.tq {
        return u32::MAX;
    }
    let seen = inputs.keys(i);
    let (start, end) = (seen.start.saturating_sub(key).min(STEP), seen.end.saturating_sub(key).min(STEP));
    let mut bits = !(((1_u64 << end) - (1_u64 << start)) as u32);
    if let Some(keep) = inputs.mask_row(b, h, i) {
        for lane in (0..STEP).step_by(S::N) {
            let keep = s.load_partial(&keep[(key + lane).min(keep.len())..]);
            bits |= s.mask_bits(s.eq(keep, s.zero())) << lane;
        }
    }
    bits
}

/// The lanes in which the words have any bit in common.
#[inline(always)]
pub(in crate::attention) fn test<S: Simd>(s: S, a: S::U32, b: S::U32) -> S::Mask {
    s.lt_u32(s.splat_u32(0), s.and_u32(a, b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Isa, simd_fn};

    simd_fn! {
        fn words<S>(s: S, dropout: Dropout, group: u64) -> [u32; WORDS_OF_GROUP] {
            dropped(s, dropout, group)
        }
    }

    #[test]
    fn the_bits_are_those_of_the_stream() {
        let dropout = Dropout { p: 0.3, seed: 42, stream: 7 };
        for isa in Isa::available() {
            for group in [0, 5, 0x1_0000_0000] {
                let words = words(isa, dropout, group);
                for key in 0..GROUP {
                    let dropped = words[key / STEP] >> (key % STEP) & 1 == 1;
                    assert_eq!(dropped, !dropout.keeps(group * 64 + key as u64), "{isa}, group {group}, key {key}");
                }
            }
        }
    }
}
