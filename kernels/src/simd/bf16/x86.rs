//! Pairs of bf16 numbers on x86-64: taken apart and transposed by shuffles, and the instructions for bf16 themselves.
//!
//! AVX2 and AVX-512 multiply and round by the emulation of the [trait](Bf16); only AVX-512 with bf16 has both in
//! hardware.

use super::Bf16;
use crate::Bf16Isa;
use crate::simd::{Avx2, Avx512};
use std::{arch::x86_64::*, mem::transmute};

impl Bf16 for Avx2 {
    type S = Avx2;
    const ISA: Bf16Isa = Bf16Isa::Avx2;

    #[inline(always)]
    fn simd(self) -> Avx2 {
        self
    }
    #[inline(always)]
    fn unzip(self, [a, b]: [__m256; 2]) -> (__m256, __m256) {
        // SAFETY: `self` proves AVX2.
        unsafe {
            // The shuffle works on halves: quarters 1 and 2 have to change places.
            let even = _mm256_castps_pd(_mm256_shuffle_ps::<0x88>(a, b));
            let odd = _mm256_castps_pd(_mm256_shuffle_ps::<0xdd>(a, b));
            let order = |x| _mm256_castpd_ps(_mm256_permute4x64_pd::<0xd8>(x));
            (order(even), order(odd))
        }
    }
    #[inline(always)]
    fn zip(self, even: __m256, odd: __m256) -> [__m256; 2] {
        // SAFETY: `self` proves AVX2.
        unsafe {
            // Each works on halves: the first gives numbers 0 to 3 and 8 to 11.
            let (low, high) = (_mm256_unpacklo_ps(even, odd), _mm256_unpackhi_ps(even, odd));
            [_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high)]
        }
    }
    #[inline(always)]
    unsafe fn store_transposed(self, rows: [__m256i; 8], to: *mut u32, step: usize) {
        // SAFETY: `self` proves AVX2; the caller vouches for the columns.
        unsafe {
            let mut fours = [_mm256_setzero_si256(); 8];
            for h in 0..2 {
                let [a, b, c, d] = [rows[4 * h], rows[4 * h + 1], rows[4 * h + 2], rows[4 * h + 3]];
                let (ab, cd) = (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
                fours[4 * h] = _mm256_unpacklo_epi64(ab, cd);
                fours[4 * h + 1] = _mm256_unpackhi_epi64(ab, cd);
                let (ab, cd) = (_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
                fours[4 * h + 2] = _mm256_unpacklo_epi64(ab, cd);
                fours[4 * h + 3] = _mm256_unpackhi_epi64(ab, cd);
            }
            for t in 0..4 {
                let low = _mm256_permute2x128_si256::<0x20>(fours[t], fours[t + 4]);
                let high = _mm256_permute2x128_si256::<0x31>(fours[t], fours[t + 4]);
                _mm256_storeu_si256(to.add(t * step).cast(), low);
                _mm256_storeu_si256(to.add((t + 4) * step).cast(), high);
            }
        }
    }
}

impl Bf16 for Avx512 {
    type S = Avx512;
    const ISA: Bf16Isa = Bf16Isa::Avx512;

    #[inline(always)]
    fn simd(self) -> Avx512 {
        self
    }
    #[inline(always)]
    fn unzip(self, [a, b]: [__m512; 2]) -> (__m512, __m512) {
        // SAFETY: `self` proves AVX-512.
        unsafe {
            let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            let odd = _mm512_or_si512(even, _mm512_set1_epi32(1));
            (_mm512_permutex2var_ps(a, even, b), _mm512_permutex2var_ps(a, odd, b))
        }
    }
    #[inline(always)]
    fn zip(self, even: __m512, odd: __m512) -> [__m512; 2] {
        // SAFETY: `self` proves AVX-512.
        unsafe {
            let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            let high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
            [_mm512_permutex2var_ps(even, low, odd), _mm512_permutex2var_ps(even, high, odd)]
        }
    }
    #[inline(always)]
    unsafe fn store_eights(self, pairs: __m512i, to: *mut u32, step: usize) {
        // SAFETY: `self` proves AVX-512; the caller vouches for both eights.
        unsafe {
            _mm256_storeu_si256(to.cast(), _mm512_castsi512_si256(pairs));
            _mm256_storeu_si256(to.add(step).cast(), _mm512_extracti64x4_epi64::<1>(pairs));
        }
    }
    #[inline(always)]
    unsafe fn store_transposed(self, rows: [__m512i; 8], to: *mut u32, step: usize) {
        // SAFETY: `self` proves AVX-512; the caller vouches for the columns.
        unsafe {
            let mut fours = [_mm512_setzero_si512(); 8];
            for h in 0..2 {
                let [a, b, c, d] = [rows[4 * h], rows[4 * h + 1], rows[4 * h + 2], rows[4 * h + 3]];
                let (ab, cd) = (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d));
                fours[4 * h] = _mm512_unpacklo_epi64(ab, cd);
                fours[4 * h + 1] = _mm512_unpackhi_epi64(ab, cd);
                let (ab, cd) = (_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d));
                fours[4 * h + 2] = _mm512_unpacklo_epi64(ab, cd);
                fours[4 * h + 3] = _mm512_unpackhi_epi64(ab, cd);
            }
            // fours[t] holds columns t, t + 4, t + 8 and t + 12 of rows 0 to 3, fours[t + 4] of rows 4 to 7.
            let low = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
            let high = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
            for t in 0..4 {
                for (order, first) in [(low, t), (high, t + 8)] {
                    let two = _mm512_permutex2var_epi64(fours[t], order, fours[t + 4]);
                    _mm256_storeu_si256(to.add(first * step).cast(), _mm512_castsi512_si256(two));
                    _mm256_storeu_si256(to.add((first + 4) * step).cast(), _mm512_extracti64x4_epi64::<1>(two));
                }
            }
        }
    }
}

/// The proof that this processor has AVX-512 and its instructions for bf16.
#[derive(Clone, Copy, Debug)]
pub struct Avx512Bf16(Avx512);

impl Avx512Bf16 {
    /// The proof, where it can be given.
    #[inline]
    pub fn new() -> Option<Avx512Bf16> {
        Avx512::new().filter(|_| Bf16Isa::Avx512Bf16.is_available()).map(Avx512Bf16)
    }
}

/// Where number i of two vectors side by side goes so that those of one lane are neighbours.
static ZIP: [u16; 32] = {
    let mut order = [0; 32];
    let mut i = 0;
    while i < 32 {
        order[i] = (i / 2 + i % 2 * 16) as u16;
        i += 1;
    }
    order
};

impl Bf16 for Avx512Bf16 {
    type S = Avx512;
    const ISA: Bf16Isa = Bf16Isa::Avx512Bf16;

    #[inline(always)]
    fn simd(self) -> Avx512 {
        self.0
    }
    #[inline(always)]
    fn unzip(self, x: [__m512; 2]) -> (__m512, __m512) {
        self.0.unzip(x)
    }
    #[inline(always)]
    fn zip(self, even: __m512, odd: __m512) -> [__m512; 2] {
        self.0.zip(even, odd)
    }
    #[inline(always)]
    unsafe fn store_eights(self, pairs: __m512i, to: *mut u32, step: usize) {
        // SAFETY: the caller's.
        unsafe { self.0.store_eights(pairs, to, step) }
    }
    #[inline(always)]
    unsafe fn store_transposed(self, rows: [__m512i; 8], to: *mut u32, step: usize) {
        // SAFETY: the caller's.
        unsafe { self.0.store_transposed(rows, to, step) }
    }
    #[inline(always)]
    fn dot(self, a: __m512i, b: __m512i, acc: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512 with bf16; the types are all 512 bits.
        unsafe { _mm512_dpbf16_ps(acc, transmute::<__m512i, __m512bh>(a), transmute::<__m512i, __m512bh>(b)) }
    }
    #[inline(always)]
    fn round_pair(self, even: __m512, odd: __m512) -> __m512i {
        // SAFETY: `self` proves AVX-512 with bf16; ZIP has 64 bytes, and so have the vectors.
        unsafe {
            let halves: __m512i = transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(odd, even));
            _mm512_permutexvar_epi16(_mm512_loadu_si512(ZIP.as_ptr().cast()), halves)
        }
    }
    #[inline(always)]
    fn round_neighbours(self, [first, second]: [__m512; 2]) -> __m512i {
        // SAFETY: `self` proves AVX-512 with bf16; both types are 512 bits.
        unsafe { transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(second, first)) }
    }
}
