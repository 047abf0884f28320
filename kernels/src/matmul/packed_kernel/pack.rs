//! Packing: a block of a matrix copied into panels, in the order in which the micro-kernel reads it.
//!
//! A panel is `width` neighbours for every step p of k: for A some rows of a column, for B some columns of a row. The
//! micro-kernel then reads both operands front to back, whatever layout they came in, from whole cache lines and few
//! pages; the last panel is filled up with zeros, so there is no special case at the edge. Where the neighbours lie
//! side by side in memory a panel is copied; where the steps do, it is transposed, 8×8 elements at a time.

use crate::matmul::operands::View;
use crate::prefetch::prefetch;
use crate::{Isa, simd::Simd, simd_fn};

/// Rows of a panel of A that vectors multiply.
pub(in crate::matmul) const PANEL_ROWS: usize = 8;

/// Columns of a panel of B that vectors multiply: those of a tile.
pub(in crate::matmul) const fn panel_columns(isa: Isa) -> usize {
    match isa {
        Isa::Portable => 8,
        Isa::Avx2 => 24,
        Isa::Avx512 => 48,
    }
}

/// How many rows ahead are prefetched where rows are copied: they lie a page or more apart, so the hardware does not prefetch
/// them. One line at a time; prefetches of eight rows at once have to wait for each other.
const STEPS_AHEAD: usize = 8;

simd_fn! {
    /// Packs rows 0..`count`, columns 0..`k` of `source` into panels of `width` rows: element (i, p) goes to
    /// `panels[(i / width)·k·width + p·width + i % width]`. Pass the transposed matrix to pack columns.
    pub(in crate::matmul) fn pack<S>(s: S, source: View<'_>, count: usize, k: usize, width: usize, panels: &mut [f32]) {
        assert_eq!(panels.len(), count.next_multiple_of(width) * k, "matmul: packed panels");
        if source.row == 1 {
            match width {
                8 => copy::<8>(source, count, k, panels),
                24 => copy::<24>(source, count, k, panels),
                _ => copy::<48>(source, count, k, panels),
            }
        } else if source.col == 1 {
            transpose(s, source, count, k, width, panels);
        } else {
            for (group, panel) in panels.chunks_exact_mut(k * width).enumerate() {
                gather(source.from(group * width, 0), width.min(count - group * width), 0..k, 0..width, width, panel);
            }
        }
    }
}

/// Neighbours side by side: 8 rows of the source at a time are dealt out to the panels. One row at a time would write
/// a piece to each panel in turn, and panels are often a multiple of 4 KiB apart, all in the same set of the cache.
#[inline(always)]
fn copy<const WIDTH: usize>(source: View<'_>, count: usize, k: usize, panels: &mut [f32]) {
    let whole = count / WIDTH;
    let rest = count % WIDTH;
    for first in (0..k).step_by(8) {
        let steps = first..k.min(first + 8);
        for group in 0..whole {
            for p in steps.clone() {
                if WIDTH > 8 || group % 2 == 0 {
                    let ahead = (p + STEPS_AHEAD).wrapping_mul(source.col).wrapping_add(group * WIDTH);
                    (0..WIDTH)
                        .step_by(16)
                        .for_each(|i| prefetch(source.data.as_ptr().wrapping_add(ahead).wrapping_add(i)));
                }
                let neighbours = &source.data[p * source.col + group * WIDTH..][..WIDTH];
                panels[(group * k + p) * WIDTH..][..WIDTH].copy_from_slice(neighbours);
            }
        }
        for p in steps.filter(|_| rest > 0) {
            let out = &mut panels[(whole * k + p) * WIDTH..][..WIDTH];
            out[..rest].copy_from_slice(&source.data[p * source.col + whole * WIDTH..][..rest]);
            out[rest..].fill(0.0);
        }
    }
}

/// Steps side by side: blocks of 8 neighbours by 8 steps are transposed, what is left is collected one by one.
#[inline(always)]
fn transpose<S: Simd>(s: S, source: View<'_>, count: usize, k: usize, width: usize, panels: &mut [f32]) {
    assert!(width.is_multiple_of(8), "panels of eights");
    let steps = k / 8 * 8;
    for (group, panel) in panels.chunks_exact_mut(k * width).enumerate() {
        let source = source.from(group * width, 0);
        let count = width.min(count - group * width);
        let eights = count / 8 * 8;
        for i in (0..eights).step_by(8) {
            for p in (0..steps).step_by(8) {
                let from = &source.data[i * source.row + p..][..7 * source.row + 8];
                let to = &mut panel[p * width + i..][..7 * width + 8];
                transpose_8x8(s, from, source.row, to, width);
            }
        }
        gather(source, count, 0..steps, eights..width, width, panel);
        gather(source, count, steps..k, 0..width, width, panel);
    }
}

/// Element (i, p) one by one, for these steps and these places of one panel.
#[inline(always)]
fn gather(
    source: View<'_>,
    count: usize,
    steps: std::ops::Range<usize>,
    places: std::ops::Range<usize>,
    width: usize,
    panel: &mut [f32],
) {
    for p in steps {
        for i in places.clone() {
            panel[p * width + i] = if i < count { source.data[i * source.row + p * source.col] } else { 0.0 };
        }
    }
}

/// `to[c][r] = from[r][c]` for 8 rows of 8; the rows of both are so many elements apart.
#[inline(always)]
fn transpose_8x8<S: Simd>(_: S, from: &[f32], from_row: usize, to: &mut [f32], to_row: usize) {
    assert!(from.len() == 7 * from_row + 8 && to.len() == 7 * to_row + 8);
    match S::ISA {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 | Isa::Avx512 => {
            // SAFETY: 8 rows of 8 elements lie in each slice; a value of `S` proves AVX.
            unsafe { transpose_avx(from.as_ptr(), from_row, to.as_mut_ptr(), to_row) }
        }
        _ => {
            for r in 0..8 {
                for c in 0..8 {
                    to[c * to_row + r] = from[r * from_row + c];
                }
            }
        }
    }
}

/// Pairs, then quarters, then halves of 8 vectors change places: 24 shuffles for 64 elements.
///
/// # Safety
/// 8 rows of 8 elements, so many elements apart, are readable at `from` and writable at `to`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
#[inline]
unsafe fn transpose_avx(from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {
    use std::arch::x86_64::*;
    // SAFETY: the caller vouches for row r.
    let row = |r: usize| unsafe { _mm256_loadu_ps(from.add(r * from_row)) };
    let mut pairs = [_mm256_setzero_ps(); 8];
    let mut fours = pairs;
    for r in 0..4 {
        let (x, y) = (row(2 * r), row(2 * r + 1));
        pairs[2 * r] = _mm256_unpacklo_ps(x, y);
        pairs[2 * r + 1] = _mm256_unpackhi_ps(x, y);
    }
    for h in 0..2 {
        let [a, b, c, d] = [pairs[4 * h], pairs[4 * h + 1], pairs[4 * h + 2], pairs[4 * h + 3]];
        fours[4 * h] = _mm256_shuffle_ps::<0x44>(a, c);
        fours[4 * h + 1] = _mm256_shuffle_ps::<0xee>(a, c);
        fours[4 * h + 2] = _mm256_shuffle_ps::<0x44>(b, d);
        fours[4 * h + 3] = _mm256_shuffle_ps::<0xee>(b, d);
    }
    for c in 0..4 {
        let low = _mm256_permute2f128_ps::<0x20>(fours[c], fours[c + 4]);
        let high = _mm256_permute2f128_ps::<0x31>(fours[c], fours[c + 4]);
        // SAFETY: the caller vouches for rows c and c + 4.
        unsafe {
            _mm256_storeu_ps(to.add(c * to_row), low);
            _mm256_storeu_ps(to.add((c + 4) * to_row), high);
        }
    }
}
