//! Blocks of rows, copied from wherever they lie into small dense buffers.
//!
//! A block is used by every query (or key) block that meets it, so a copy costs little; and rows that lie a power of
//! two apart, as those of a \[B,T,3,H,D\] buffer may, would fall into the same few lines of the first-level cache.

use super::View;
use crate::{Isa, simd::Simd};
use std::ops::Range;

/// D rounded up to whole vectors at every instruction set: the width of packed rows.
pub(super) fn width(d: usize) -> usize {
    d.next_multiple_of(16)
}

/// `to` (rows × `width`) ← factor · the rows `t` of (b, h), zeros after the D elements.
#[inline(always)]
pub(super) fn rows<S: Simd>(
    s: S,
    from: &View<'_>,
    [b, h, d]: [usize; 3],
    t: Range<usize>,
    factor: f32,
    to: &mut [f32],
) {
    let factor = s.splat(factor);
    for (to, t) in to.chunks_exact_mut(width(d).max(1)).zip(t) {
        let from = from.row(b, h, t, d);
        for j in (0..width(d)).step_by(S::N) {
            let x = if j + S::N <= d { s.load(&from[j..]) } else { s.load_partial(&from[j.min(d)..]) };
            s.store(&mut to[j..], s.mul(factor, x));
        }
    }
}

/// `to` (D × `to_row`) ← the rows `t` of (b, h), transposed; columns past the last row are zero.
///
/// In squares of 8×8. (Element by element, the compiler made scatters of the stores: a fifth of the forward time.)
#[inline(always)]
pub(super) fn transposed<S: Simd>(
    s: S,
    from: &View<'_>,
    [b, h, d]: [usize; 3],
    t: Range<usize>,
    to: &mut [f32],
    to_row: usize,
) {
    let n = t.len();
    let whole = n / 8 * 8;
    for j in (0..whole).step_by(8) {
        let mut rows: [&[f32]; 8] = [&[]; 8];
        for (r, row) in rows.iter_mut().enumerate() {
            *row = from.row(b, h, t.start + j + r, d);
        }
        for x in (0..d / 8 * 8).step_by(8) {
            square8(s, &rows, x, &mut to[x * to_row + j..], to_row);
        }
        for x in d / 8 * 8..d {
            for (r, row) in rows.iter().enumerate() {
                to[x * to_row + j + r] = row[x];
            }
        }
    }
    for j in whole..n {
        let row = from.row(b, h, t.start + j, d);
        (0..d).for_each(|x| to[x * to_row + j] = row[x]);
    }
    if n < to_row {
        for to in to.chunks_exact_mut(to_row).take(d) {
            to[n..].fill(0.0);
        }
    }
}

/// Elements `x` to `x` + 7 of eight rows become columns.
///
/// No closures here: they would be compiled without the instruction set.
#[inline(always)]
fn square8<S: Simd>(_: S, rows: &[&[f32]; 8], x: usize, to: &mut [f32], to_row: usize) {
    let to = &mut to[..7 * to_row + 8];
    #[cfg(target_arch = "x86_64")]
    if const { !matches!(S::ISA, Isa::Portable) } {
        use std::arch::x86_64::*;
        // SAFETY: a value of a vector type other than the portable one proves AVX; 8 elements are read of each row,
        // and the last store ends where `to` does.
        unsafe {
            let mut v = [_mm256_setzero_ps(); 8];
            for (v, row) in v.iter_mut().zip(rows) {
                *v = _mm256_loadu_ps(row[x..x + 8].as_ptr());
            }
            let mut pairs = v;
            for i in [0, 2, 4, 6] {
                pairs[i] = _mm256_unpacklo_ps(v[i], v[i + 1]);
                pairs[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
            }
            let mut fours = v;
            for i in [0, 1, 4, 5] {
                let to = i / 4 * 4 + i % 4 * 2;
                fours[to] = _mm256_shuffle_ps::<0x44>(pairs[i], pairs[i + 2]);
                fours[to + 1] = _mm256_shuffle_ps::<0xee>(pairs[i], pairs[i + 2]);
            }
            for i in 0..4 {
                let at = to.as_mut_ptr().add(i * to_row);
                _mm256_storeu_ps(at, _mm256_permute2f128_ps::<0x20>(fours[i], fours[i + 4]));
                _mm256_storeu_ps(at.add(4 * to_row), _mm256_permute2f128_ps::<0x31>(fours[i], fours[i + 4]));
            }
        }
        return;
    }
    for (r, row) in rows.iter().enumerate() {
        for i in 0..8 {
            to[i * to_row + r] = row[x + i];
        }
    }
}

/// Cuts a buffer into parts of these lengths.
pub(super) fn split<const N: usize>(mut buffer: &mut [f32], lengths: [usize; N]) -> [&mut [f32]; N] {
    lengths.map(|len| {
        let (part, rest) = std::mem::take(&mut buffer).split_at_mut(len);
        buffer = rest;
        part
    })
}
