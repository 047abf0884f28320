//! Prefetches of cache lines: hints that read nothing and fault at no address.

/// Prefetches a line into the first-level cache.
#[inline(always)]
pub(crate) fn prefetch(line: *const f32) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, see above; SSE is there on every x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}

/// Prefetches a line into the second-level cache.
#[inline(always)]
pub(crate) fn prefetch_second(line: *const f32) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: as in `prefetch`.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}

/// Prefetches a line that will be written.
#[inline(always)]
pub(crate) fn prefetch_write(line: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // The intrinsic becomes a prefetch for reading unless a feature is on that has no stable name.
    // SAFETY: a hint; every x86-64 has the instruction, if only as a no-operation.
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) line, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}
