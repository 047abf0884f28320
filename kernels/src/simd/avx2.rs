//! AVX2 with FMA: 8 lanes, 16 registers, two fused multiply-adds a cycle.

use super::Simd;
use crate::Isa;
use std::arch::x86_64::*;

/// The proof that this processor has AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub struct Avx2(());

impl Avx2 {
    /// The proof, where it can be given.
    #[inline]
    pub fn new() -> Option<Avx2> {
        Isa::Avx2.is_available().then_some(Avx2(()))
    }
}

/// Eight set lanes and eight clear ones: read at 8 − n, it masks the first n lanes.
const LANES: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

#[inline(always)]
fn first_lanes(n: usize) -> __m256i {
    let n = n.min(8);
    // SAFETY: 8 − n + 8 ≤ 16 elements are read; a `self` of the caller proves AVX.
    unsafe { _mm256_loadu_si256(LANES.as_ptr().add(8 - n).cast()) }
}

/// The methods that are one instruction each.
macro_rules! instructions {
    ($($name:ident($($arg:ident : $ty:ty),*) -> $out:ty = $e:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: $ty),*) -> $out {
            // SAFETY: `self` proves AVX2 and FMA.
            unsafe { $e }
        }
    )*};
}

#[inline(always)]
fn pow2(n: __m256) -> __m256 {
    // SAFETY: called with an `Avx2` at hand.
    unsafe {
        let biased = _mm256_cvtps_epi32(_mm256_add_ps(n, _mm256_set1_ps(127.0)));
        _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
    }
}

impl Simd for Avx2 {
    type F32 = __m256;
    type U32 = __m256i;
    type Mask = __m256;
    const N: usize = 8;
    const ISA: Isa = Isa::Avx2;
    const FUSED: bool = true;

    instructions! {
        splat(x: f32) -> __m256 = _mm256_set1_ps(x);
        add(a: __m256, b: __m256) -> __m256 = _mm256_add_ps(a, b);
        sub(a: __m256, b: __m256) -> __m256 = _mm256_sub_ps(a, b);
        mul(a: __m256, b: __m256) -> __m256 = _mm256_mul_ps(a, b);
        div(a: __m256, b: __m256) -> __m256 = _mm256_div_ps(a, b);
        mul_add(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps(a, b, c);
        neg_mul_add(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fnmadd_ps(a, b, c);
        min(a: __m256, b: __m256) -> __m256 = _mm256_min_ps(a, b);
        max(a: __m256, b: __m256) -> __m256 = _mm256_max_ps(a, b);
        sqrt(a: __m256) -> __m256 = _mm256_sqrt_ps(a);
        round_small(a: __m256) -> __m256 = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a);
        lt(a: __m256, b: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_LT_OQ>(a, b);
        le(a: __m256, b: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_LE_OQ>(a, b);
        eq(a: __m256, b: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b);
        select(mask: __m256, yes: __m256, no: __m256) -> __m256 = _mm256_blendv_ps(no, yes, mask);
        mask_bits(mask: __m256) -> u32 = _mm256_movemask_ps(mask) as u32;
        splat_u32(x: u32) -> __m256i = _mm256_set1_epi32(x as i32);
        iota_u32() -> __m256i = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        to_bits(a: __m256) -> __m256i = _mm256_castps_si256(a);
        from_bits(a: __m256i) -> __m256 = _mm256_castsi256_ps(a);
        i32_to_f32(a: __m256i) -> __m256 = _mm256_cvtepi32_ps(a);
        add_u32(a: __m256i, b: __m256i) -> __m256i = _mm256_add_epi32(a, b);
        sub_u32(a: __m256i, b: __m256i) -> __m256i = _mm256_sub_epi32(a, b);
        and_u32(a: __m256i, b: __m256i) -> __m256i = _mm256_and_si256(a, b);
        or_u32(a: __m256i, b: __m256i) -> __m256i = _mm256_or_si256(a, b);
        xor_u32(a: __m256i, b: __m256i) -> __m256i = _mm256_xor_si256(a, b);
        mul_even_u32(a: __m256i, b: __m256i) -> __m256i = _mm256_mul_epu32(a, b);
        odd_to_even_u32(a: __m256i) -> __m256i = _mm256_srli_epi64::<32>(a);
        interleave_even_u32(even: __m256i, odd: __m256i) -> __m256i =
            _mm256_blend_epi32::<0b1010_1010>(even, _mm256_shuffle_epi32::<0b10_10_00_00>(odd));
    }

    #[inline(always)]
    fn load(self, x: &[f32]) -> __m256 {
        // SAFETY: the slice holds 8 elements; `self` proves AVX2.
        unsafe { _mm256_loadu_ps(x[..8].as_ptr()) }
    }
    #[inline(always)]
    fn store(self, x: &mut [f32], v: __m256) {
        // SAFETY: the slice holds 8 elements; `self` proves AVX2.
        unsafe { _mm256_storeu_ps(x[..8].as_mut_ptr(), v) }
    }
    #[inline(always)]
    fn stream(self, x: &mut [f32], v: __m256) {
        let x = &mut x[..8];
        if x.as_ptr().addr().is_multiple_of(32) {
            // SAFETY: the slice holds 8 elements and is aligned to 32 bytes; `self` proves AVX2.
            unsafe { _mm256_stream_ps(x.as_mut_ptr(), v) }
        } else {
            self.store(x, v);
        }
    }
    #[inline(always)]
    fn fence(self) {
        // SAFETY: every x86-64 has SSE.
        unsafe { _mm_sfence() };
    }
    #[inline(always)]
    fn load_partial(self, x: &[f32]) -> __m256 {
        // SAFETY: lanes past the slice are masked and not touched; `self` proves AVX2.
        unsafe { _mm256_maskload_ps(x.as_ptr(), first_lanes(x.len())) }
    }
    #[inline(always)]
    fn store_partial(self, x: &mut [f32], v: __m256) {
        // SAFETY: lanes past the slice are masked and not touched; `self` proves AVX2.
        unsafe { _mm256_maskstore_ps(x.as_mut_ptr(), first_lanes(x.len()), v) }
    }
    #[inline(always)]
    unsafe fn load_ptr(self, x: *const f32) -> __m256 {
        // SAFETY: the caller vouches for 8 readable elements.
        unsafe { _mm256_loadu_ps(x) }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, x: *mut f32, v: __m256) {
        // SAFETY: the caller vouches for 8 writable elements.
        unsafe { _mm256_storeu_ps(x, v) }
    }

    #[inline(always)]
    fn scale_by_pow2(self, a: __m256, n: __m256) -> __m256 {
        // Two factors, for 2ⁿ itself may be denormal or too large.
        // SAFETY: `self` proves AVX2.
        let n = unsafe { _mm256_floor_ps(n) };
        let half = self.round_small(self.mul(n, self.splat(0.5)));
        self.mul(self.mul(a, pow2(half)), pow2(self.sub(n, half)))
    }
    #[inline(always)]
    fn reduce_sum(self, a: __m256) -> f32 {
        // SAFETY: `self` proves AVX2.
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
    }
    #[inline(always)]
    fn reduce_sums(self, [a, b, c, d]: [__m256; 4]) -> [f32; 4] {
        // SAFETY: `self` proves AVX2.
        unsafe {
            // Fours of a and b, of c and d; then twos of a, c, b and d.
            let ab = _mm256_add_ps(_mm256_permute2f128_ps::<0x20>(a, b), _mm256_permute2f128_ps::<0x31>(a, b));
            let cd = _mm256_add_ps(_mm256_permute2f128_ps::<0x20>(c, d), _mm256_permute2f128_ps::<0x31>(c, d));
            let twos = _mm256_add_ps(_mm256_shuffle_ps::<0x44>(ab, cd), _mm256_shuffle_ps::<0xee>(ab, cd));
            let sums = _mm256_add_ps(twos, _mm256_permute_ps::<0xb1>(twos));
            let mut lanes = [0.0; 8];
            self.store(&mut lanes, sums);
            [lanes[0], lanes[4], lanes[2], lanes[6]]
        }
    }
    #[inline(always)]
    fn reduce_max(self, a: __m256) -> f32 {
        // SAFETY: `self` proves AVX2.
        unsafe {
            let four = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
    }

    #[inline(always)]
    fn shr_u32<const BITS: u32>(self, a: __m256i) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_srl_epi32(a, _mm_cvtsi32_si128(BITS as i32)) }
    }
    #[inline(always)]
    fn shl_u32<const BITS: u32>(self, a: __m256i) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_sll_epi32(a, _mm_cvtsi32_si128(BITS as i32)) }
    }
    #[inline(always)]
    fn lookup(self, table: &[f32; 8], index: __m256i) -> __m256 {
        // SAFETY: the table has 8 elements; `self` proves AVX2.
        unsafe { _mm256_permutevar8x32_ps(_mm256_loadu_ps(table.as_ptr()), index) }
    }
    #[inline(always)]
    fn lt_u32(self, a: __m256i, b: __m256i) -> __m256 {
        // SAFETY: `self` proves AVX2.
        unsafe {
            let sign = _mm256_set1_epi32(i32::MIN); // the comparison is signed: move both ranges
            let less = _mm256_cmpgt_epi32(_mm256_xor_si256(b, sign), _mm256_xor_si256(a, sign));
            _mm256_castsi256_ps(less)
        }
    }
    #[inline(always)]
    fn array_u32(self, a: __m256i) -> [u32; 16] {
        let mut lanes = [0; 16];
        // SAFETY: 8 of the 16 elements are written; `self` proves AVX2.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), a) };
        lanes
    }
}
