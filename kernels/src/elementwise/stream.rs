//! Stores that go past the caches, for outputs that are larger than they are.
//!
//! An ordinary store reads the line from memory first, to own it: y costs two transfers instead of one, a third of all
//! traffic of y = f(x). A non-temporal store of a whole line does not. It pays only where nobody could have found y in
//! a cache afterwards, so it is left to outputs of [`FROM`] elements or more.

use crate::simd::Simd;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
#[cfg(target_arch = "x86_64")]
use std::{any::TypeId, arch::x86_64::*, mem::transmute_copy};

/// The elements from which on an output is written past the caches: 32 MiB of them.
pub(super) const FROM: usize = 1 << 23;

/// How many elements precede the first whole cache line of y, at most all.
pub(super) fn unaligned_head(y: &[f32]) -> usize {
    y.as_ptr().align_offset(64).min(y.len())
}

/// Writes the first N elements of y, which start at a multiple of the vector's size; past the caches where there is an
/// instruction for that.
#[inline(always)]
pub(super) fn store<S: Simd>(s: S, y: &mut [f32], v: S::F32) {
    let y = &mut y[..S::N];
    debug_assert_eq!(y.as_ptr().align_offset(S::N * size_of::<f32>()), 0);
    #[cfg(target_arch = "x86_64")]
    {
        let aligned = y.as_ptr().addr().is_multiple_of(S::N * size_of::<f32>());
        if aligned && TypeId::of::<S>() == TypeId::of::<Avx512>() {
            // SAFETY: S is Avx512, so the vector is an __m512 and the processor has it; y holds 16 aligned elements.
            return unsafe { _mm512_stream_ps(y.as_mut_ptr(), transmute_copy::<S::F32, __m512>(&v)) };
        }
        if aligned && TypeId::of::<S>() == TypeId::of::<Avx2>() {
            // SAFETY: S is Avx2, so the vector is an __m256 and the processor has it; y holds 8 aligned elements.
            return unsafe { _mm256_stream_ps(y.as_mut_ptr(), transmute_copy::<S::F32, __m256>(&v)) };
        }
    }
    s.store(y, v);
}

/// Waits until what was stored is there for other threads; these stores are not ordered as others are.
#[inline(always)]
pub(super) fn finish() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has SSE.
    unsafe {
        _mm_sfence()
    };
}
