//! Counter-based random numbers: Philox 4×32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
//!
//! The n-th number is a function of (seed, stream, n) and of nothing else: any thread can make any part of a sequence,
//! the backward pass can make it again instead of keeping a mask, and CPU and CUDA agree.

use crate::simd::Simd;

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// The elements that 8 counters serve, each with half a word: element e has counter 8·⌊e/64⌋ + ⌊(e mod 16) / 2⌋, of it
/// word ⌊e/16⌋ mod 4, and of that the low half where e is even, the high half where it is odd. So a vector of counters
/// makes four runs of neighbouring elements.
pub const GROUP: usize = 64;

/// One block of Philox 4×32-10.
///
/// ```
/// // The first known answer of the authors' Random123 library.
/// let zero = gradus_kernels::philox::block([0; 4], [0; 2]);
/// assert_eq!(zero, [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
/// ```
pub fn block(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let wide = |i: usize, x: u32| u64::from(MULTIPLIERS[i]) * u64::from(x);
        let (p0, p1) = (wide(0, counter[0]), wide(1, counter[2]));
        counter =
            [(p1 >> 32) as u32 ^ counter[1] ^ key[0], p1 as u32, (p0 >> 32) as u32 ^ counter[3] ^ key[1], p0 as u32];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

/// Which elements are dropped: each with probability `p`, by the random sequence (`seed`, `stream`).
///
/// An element is decided by 16 random bits, so `p` is rounded to a multiple of 2⁻¹⁶; what is kept is scaled by the
/// rounded one, and the expectation is exact. A training run has one seed; every place where it drops elements, at every
/// step, has a stream of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// The probability that an element is dropped, in [0, 1).
    pub p: f32,
    /// The seed of the run.
    pub seed: u64,
    /// The number of this mask within the run.
    pub stream: u64,
}

impl Dropout {
    /// What kept elements are multiplied with, 1 / (1 − p) for the rounded p, so that the expectation stays.
    pub fn scale(&self) -> f32 {
        65_536.0 / (65_536 - self.threshold()) as f32
    }

    /// 16 random bits below this drop their element: 2¹⁶·p rounded, and less than 2¹⁶.
    pub fn threshold(&self) -> u32 {
        ((self.p * 65_536.0).round() as u32).min(65_535)
    }

    fn key(&self) -> [u32; 2] {
        [self.seed as u32, (self.seed >> 32) as u32]
    }

    /// Whether the element is kept, by the scalar rungs of attention; [`crate::dropout::naive::keeps`] is the specification.
    pub fn keeps(&self, element: u64) -> bool {
        let counter = element / GROUP as u64 * 8 + element % 16 / 2;
        let words = [counter as u32, (counter >> 32) as u32, self.stream as u32, (self.stream >> 32) as u32];
        let word = block(words, self.key())[(element / 16 % 4) as usize];
        word >> (element % 2 * 16) & 0xffff >= self.threshold()
    }

    /// The lanes to drop, for the elements 64·`group` + 16·w + N·`part` …, w = 0 to 3, with `part` < 16 / N.
    #[inline(always)]
    pub fn drop_masks<S: Simd>(&self, s: S, group: u64, part: usize) -> [S::Mask; 4] {
        let first = group * 8 + (part * S::N / 2) as u64; // 8 counters of a group never cross 2³²
        let counters = s.add_u32(s.splat_u32(first as u32), s.shr_u32::<1>(s.iota_u32()));
        let [w0, w1, w2, w3] = self.block_even(s, counters, (first >> 32) as u32);
        let threshold = s.splat_u32(self.threshold() << 16);
        // Each half at the top of a lane of its own, with less below it, which decides nothing.
        let drop = |word| s.lt_u32(s.interleave_even_u32(s.shl_u32::<16>(word), word), threshold);
        [drop(w0), drop(w1), drop(w2), drop(w3)]
    }

    /// [`block`] of the counters in the even lanes, whose second word is `high`; the odd lanes hold no result.
    ///
    /// A product is 64 bits wide and fills two lanes, and its low half is the next word where it stands. In the first two
    /// rounds one of the two products is the same in all lanes and is computed with scalars.
    #[inline(always)]
    fn block_even<S: Simd>(&self, s: S, c0: S::U32, high: u32) -> [S::U32; 4] {
        let key = |i: usize, round: u32| self.key()[i].wrapping_add(WEYL[i].wrapping_mul(round));
        let wide = |i: usize, x: u32| u64::from(MULTIPLIERS[i]) * u64::from(x);
        let (m0, m1) = (s.splat_u32(MULTIPLIERS[0]), s.splat_u32(MULTIPLIERS[1]));

        let p1 = wide(1, self.stream as u32);
        let p0 = s.mul_even_u32(m0, c0);
        let first = (p1 >> 32) as u32 ^ high ^ key(0, 0);
        let c2 = s.xor_u32(s.odd_to_even_u32(p0), s.splat_u32((self.stream >> 32) as u32 ^ key(1, 0)));

        let q0 = wide(0, first);
        let q1 = s.mul_even_u32(m1, c2);
        let mut c = [
            s.xor_u32(s.odd_to_even_u32(q1), s.splat_u32(p1 as u32 ^ key(0, 1))),
            q1,
            s.xor_u32(p0, s.splat_u32((q0 >> 32) as u32 ^ key(1, 1))),
            s.splat_u32(q0 as u32),
        ];
        for round in 2..10 {
            let (p0, p1) = (s.mul_even_u32(m0, c[0]), s.mul_even_u32(m1, c[2]));
            let c0 = s.xor3_u32(s.odd_to_even_u32(p1), c[1], s.splat_u32(key(0, round)));
            let c2 = s.xor3_u32(s.odd_to_even_u32(p0), c[3], s.splat_u32(key(1, round)));
            c = [c0, p1, c2, p0];
        }
        c
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Isa, dropout::naive, simd_fn};

    /// Seed, stream, first element, and which of the 64 elements from there are kept at p = 0.3 (element i is bit i):
    /// printed by `tests/fixtures/philox.py`, which shares nothing with this file. Around 2¹⁶ and 2³², and around 2³⁵, where
    /// the counter crosses 2³².
    const KEPT: [(u64, u64, u64, u64); 16] = [
        (0x123456789abcdef0, 0xe00000000, 0x0, 0x6ffbc5778ad2fb4f),
        (0x123456789abcdef0, 0xe00000000, 0xffc0, 0xa1b9ff53e7cadb59),
        (0x123456789abcdef0, 0xe00000000, 0x10000, 0xd7bf6fd7e9ffd6df),
        (0x123456789abcdef0, 0xe00000000, 0xffffffc0, 0xf2cf9db3e5aa7e6f),
        (0x123456789abcdef0, 0xe00000000, 0x100000000, 0xfdb78af6b626f674),
        (0x123456789abcdef0, 0xe00000000, 0x7ffffffc0, 0xc7feba6eb3bddfef),
        (0x123456789abcdef0, 0xe00000000, 0x800000000, 0xf7d97b5266bd371d),
        (0x123456789abcdef0, 0xe00000000, 0x10000000000, 0xf7aef7feaf5c7fb3),
        (0x3, 0x5, 0x0, 0xc3fed6b107c9fbaf),
        (0x3, 0x5, 0xffc0, 0xb37f4fe7afdd7eea),
        (0x3, 0x5, 0x10000, 0xffffbbdf6ff1fcdd),
        (0x3, 0x5, 0xffffffc0, 0xdf3bcbf5f5feedd5),
        (0x3, 0x5, 0x100000000, 0xfcf62bd8feddfdbe),
        (0x3, 0x5, 0x7ffffffc0, 0xe3ffb7a0ebb3dcff),
        (0x3, 0x5, 0x800000000, 0xc2b177fffa715aaf),
        (0x3, 0x5, 0x10000000000, 0xfc3cfbfddd9dfaad),
    ];

    #[test]
    fn masks_are_those_of_another_implementation() {
        for (seed, stream, first, kept_bits) in KEPT {
            let (dropout, what) = (Dropout { p: 0.3, seed, stream }, format!("{seed:#x} {stream:#x} {first:#x}"));
            let bits = |keeps: &dyn Fn(u64) -> bool| (0..64).map(|i| u64::from(keeps(i)) << i).sum::<u64>();
            assert_eq!(bits(&|i| naive::keeps(dropout, first + i)), kept_bits, "the specification, {what}");
            assert_eq!(bits(&|i| dropout.keeps(first + i)), kept_bits, "one by one, {what}");
            for isa in Isa::available() {
                let mut keep = [2.0; GROUP];
                kept(isa, dropout, first / 64, &mut keep);
                assert_eq!(bits(&|i| keep[i as usize] == 1.0), kept_bits, "{isa}, {what}");
            }
        }
    }

    simd_fn! {
        fn kept<S>(s: S, dropout: Dropout, group: u64, keep: &mut [f32]) {
            for part in 0..16 / S::N {
                for (word, mask) in dropout.drop_masks(s, group, part).into_iter().enumerate() {
                    s.store(&mut keep[word * 16 + part * S::N..], s.select(mask, s.zero(), s.splat(1.0)));
                }
            }
        }
    }

    #[test]
    fn known_answers_of_random123() {
        assert_eq!(block([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(block([0xffff_ffff; 4], [0xffff_ffff; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            block([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn every_instruction_set_draws_the_same_mask() {
        let dropout = Dropout { p: 0.3, seed: 0x1234_5678_9abc_def0, stream: 7 << 33 };
        for isa in Isa::available() {
            for group in [0, 1, 0x03ff, 0x0400, 0x0fff_ffff, 0x1000_0000, 0x1fff_ffff, 0x2000_0000, 0x1_0000_0000] {
                let mut keep = [2.0; GROUP];
                kept(isa, dropout, group, &mut keep);
                for (i, &k) in keep.iter().enumerate() {
                    let element = group * 64 + i as u64;
                    assert_eq!(k == 1.0, naive::keeps(dropout, element), "{isa}, group {group}, element {i}");
                    assert_eq!(k == 1.0, dropout.keeps(element), "one by one, group {group}, element {i}");
                }
            }
        }
    }

    #[test]
    fn p_is_met_to_16_bits_and_something_is_kept() {
        let dropout = |p| Dropout { p, seed: 1, stream: 0 };
        for (p, threshold) in
            [(0.0, 0), (1e-7, 0), (1.0 / 65_536.0, 1), (0.2, 13_107), (0.5, 32_768), (0.999_999_9, 65_535)]
        {
            assert_eq!(dropout(p).threshold(), threshold, "{p}");
            let kept = f64::from(65_536 - threshold) / 65_536.0;
            approx::assert_relative_eq!(f64::from(dropout(p).scale()) * kept, 1.0, epsilon = 1e-7);
        }
    }

    #[test]
    fn the_share_that_is_dropped_is_p() {
        let dropout = Dropout { p: 0.2, seed: 1, stream: 0 };
        let dropped = (0..100_000).filter(|&e| !dropout.keeps(e)).count();
        assert!((19_500..20_500).contains(&dropped), "{dropped} of 100000"); // 4 standard deviations: 506
    }
}
