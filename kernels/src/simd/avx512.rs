//! AVX-512: 16 lanes, 32 registers, a mask on every instruction.

use super::Simd;
use crate::Isa;
use std::arch::x86_64::*;

/// The proof that this processor has AVX-512 F, BW, DQ and VL.
#[derive(Clone, Copy, Debug)]
pub struct Avx512(());

impl Avx512 {
    /// The proof, where it can be given.
    #[inline]
    pub fn new() -> Option<Avx512> {
        Isa::Avx512.is_available().then_some(Avx512(()))
    }
}

#[inline(always)]
fn first_lanes(n: usize) -> __mmask16 {
    if n >= 16 { 0xffff } else { (1 << n) - 1 }
}

/// The methods that are one instruction each.
macro_rules! instructions {
    ($($name:ident($($arg:ident : $ty:ty),*) -> $out:ty = $e:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: $ty),*) -> $out {
            // SAFETY: `self` proves AVX-512.
            unsafe { $e }
        }
    )*};
}

impl Simd for Avx512 {
    type F32 = __m512;
    type U32 = __m512i;
    type Mask = __mmask16;
    const N: usize = 16;
    const ISA: Isa = Isa::Avx512;
    const FUSED: bool = true;

    instructions! {
        splat(x: f32) -> __m512 = _mm512_set1_ps(x);
        add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
        sub(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps(a, b);
        mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
        div(a: __m512, b: __m512) -> __m512 = _mm512_div_ps(a, b);
        mul_add(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
        neg_mul_add(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fnmadd_ps(a, b, c);
        min(a: __m512, b: __m512) -> __m512 = _mm512_min_ps(a, b);
        max(a: __m512, b: __m512) -> __m512 = _mm512_max_ps(a, b);
        sqrt(a: __m512) -> __m512 = _mm512_sqrt_ps(a);
        round_small(a: __m512) -> __m512 =
            _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a);
        scale_by_pow2(a: __m512, n: __m512) -> __m512 = _mm512_scalef_ps(a, n);
        lt(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b);
        le(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_LE_OQ>(a, b);
        eq(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b);
        select(mask: __mmask16, yes: __m512, no: __m512) -> __m512 = _mm512_mask_blend_ps(mask, no, yes);
        splat_u32(x: u32) -> __m512i = _mm512_set1_epi32(x as i32);
        iota_u32() -> __m512i = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        to_bits(a: __m512) -> __m512i = _mm512_castps_si512(a);
        from_bits(a: __m512i) -> __m512 = _mm512_castsi512_ps(a);
        i32_to_f32(a: __m512i) -> __m512 = _mm512_cvtepi32_ps(a);
        add_u32(a: __m512i, b: __m512i) -> __m512i = _mm512_add_epi32(a, b);
        sub_u32(a: __m512i, b: __m512i) -> __m512i = _mm512_sub_epi32(a, b);
        and_u32(a: __m512i, b: __m512i) -> __m512i = _mm512_and_si512(a, b);
        or_u32(a: __m512i, b: __m512i) -> __m512i = _mm512_or_si512(a, b);
        xor_u32(a: __m512i, b: __m512i) -> __m512i = _mm512_xor_si512(a, b);
        mul_even_u32(a: __m512i, b: __m512i) -> __m512i = _mm512_mul_epu32(a, b);
        odd_to_even_u32(a: __m512i) -> __m512i = _mm512_srli_epi64::<32>(a);
        interleave_even_u32(even: __m512i, odd: __m512i) -> __m512i =
            // Not a shift: the compiler would fuse it with a product before it into vpmullq, which is slow.
            _mm512_mask_shuffle_epi32::<0b10_10_00_00>(even, 0xaaaa, odd);
        xor3_u32(a: __m512i, b: __m512i, c: __m512i) -> __m512i = _mm512_ternarylogic_epi32::<0x96>(a, b, c);
        lt_u32(a: __m512i, b: __m512i) -> __mmask16 = _mm512_cmplt_epu32_mask(a, b);
    }

    #[inline(always)]
    fn mask_bits(self, mask: __mmask16) -> u32 {
        u32::from(mask)
    }
    #[inline(always)]
    fn load(self, x: &[f32]) -> __m512 {
        // SAFETY: the slice holds 16 elements; `self` proves AVX-512.
        unsafe { _mm512_loadu_ps(x[..16].as_ptr()) }
    }
    #[inline(always)]
    fn store(self, x: &mut [f32], v: __m512) {
        // SAFETY: the slice holds 16 elements; `self` proves AVX-512.
        unsafe { _mm512_storeu_ps(x[..16].as_mut_ptr(), v) }
    }
    #[inline(always)]
    fn stream(self, x: &mut [f32], v: __m512) {
        let x = &mut x[..16];
        if x.as_ptr().addr().is_multiple_of(64) {
            // SAFETY: the slice holds 16 elements and is aligned to 64 bytes; `self` proves AVX-512.
            unsafe { _mm512_stream_ps(x.as_mut_ptr(), v) }
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
    fn load_partial(self, x: &[f32]) -> __m512 {
        // SAFETY: lanes past the slice are masked and not touched; `self` proves AVX-512.
        unsafe { _mm512_maskz_loadu_ps(first_lanes(x.len()), x.as_ptr()) }
    }
    #[inline(always)]
    fn load_partial_or(self, x: &[f32], fill: __m512) -> __m512 {
        // SAFETY: lanes past the slice are masked and not touched; `self` proves AVX-512.
        unsafe { _mm512_mask_loadu_ps(fill, first_lanes(x.len()), x.as_ptr()) }
    }
    #[inline(always)]
    fn store_partial(self, x: &mut [f32], v: __m512) {
        // SAFETY: lanes past the slice are masked and not touched; `self` proves AVX-512.
        unsafe { _mm512_mask_storeu_ps(x.as_mut_ptr(), first_lanes(x.len()), v) }
    }
    #[inline(always)]
    unsafe fn load_ptr(self, x: *const f32) -> __m512 {
        // SAFETY: the caller vouches for 16 readable elements.
        unsafe { _mm512_loadu_ps(x) }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, x: *mut f32, v: __m512) {
        // SAFETY: the caller vouches for 16 writable elements.
        unsafe { _mm512_storeu_ps(x, v) }
    }

    #[inline(always)]
    fn reduce_sum(self, a: __m512) -> f32 {
        // SAFETY: `self` proves AVX-512.
        unsafe {
            let eight = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a));
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
    }
    #[inline(always)]
    fn reduce_sums(self, [a, b, c, d]: [__m512; 4]) -> [f32; 4] {
        // SAFETY: `self` proves AVX-512; an array of four has 16 bytes.
        unsafe {
            // Eights of a and b, of c and d; then a four of each.
            let ab = _mm512_add_ps(_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0xee>(a, b));
            let cd = _mm512_add_ps(_mm512_shuffle_f32x4::<0x44>(c, d), _mm512_shuffle_f32x4::<0xee>(c, d));
            let fours = _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(ab, cd), _mm512_shuffle_f32x4::<0xdd>(ab, cd));
            let twos = _mm512_add_ps(fours, _mm512_permute_ps::<0x4e>(fours));
            let sums = _mm512_add_ps(twos, _mm512_permute_ps::<0xb1>(twos));
            let first = _mm512_maskz_compress_ps(0x1111, sums);
            let mut four = [0.0; 4];
            _mm_storeu_ps(four.as_mut_ptr(), _mm512_castps512_ps128(first));
            four
        }
    }
    #[inline(always)]
    fn reduce_max(self, a: __m512) -> f32 {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_reduce_max_ps(a) }
    }

    #[inline(always)]
    fn shr_u32<const BITS: u32>(self, a: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_srli_epi32::<BITS>(a) }
    }
    #[inline(always)]
    fn shl_u32<const BITS: u32>(self, a: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_slli_epi32::<BITS>(a) }
    }
    #[inline(always)]
    fn lookup(self, table: &[f32; 8], index: __m512i) -> __m512 {
        // SAFETY: the table has 8 elements; `self` proves AVX-512.
        unsafe { _mm512_permutexvar_ps(index, _mm512_broadcast_f32x8(_mm256_loadu_ps(table.as_ptr()))) }
    }
    #[inline(always)]
    fn array_u32(self, a: __m512i) -> [u32; 16] {
        let mut lanes = [0; 16];
        // SAFETY: 16 elements are written; `self` proves AVX-512.
        unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), a) };
        lanes
    }
}
