//! Blocks of rows, copied from wherever they lie into small dense buffers.
//!
//! A block is used by every query (or key) block that meets it, so a copy costs little; and rows that lie a power of
//! two apart, as those of a \[B,T,3,H,D\] buffer may, would fall into the same few lines of the first-level cache.

use crate::attention::{Inputs, blocks::next_head::take, view::HeadRows};
use crate::{
    rows::{Access, Whole},
    simd::{Simd, operand_kind::OperandKind},
};
use std::ops::Range;

/// D rounded up to whole vectors at every instruction set: the width of packed rows.
pub(in crate::attention) fn width(d: usize) -> usize {
    d.next_multiple_of(16)
}

/// `to` (rows of [`width`]) ← factor · `from`, zeros after the D elements.
#[inline(always)]
pub(in crate::attention) fn rows<S: Simd>(s: S, from: HeadRows<'_>, factor: f32, to: &mut [f32]) {
    let (factor, width) = (s.splat(factor), width(from.d));
    for (to, r) in to.chunks_exact_mut(width.max(1)).zip(0..from.count) {
        let row = from.row(r);
        for j in (0..width).step_by(S::N) {
            s.store(&mut to[j..], s.mul(factor, load_at(s, row, j)));
        }
    }
}

/// `to` (D × `to_row`) ← `from`, transposed; columns past the last row are zero.
///
/// In squares of 8×4. (Element by element, the compiler made scatters of the stores: a fifth of the forward time.)
#[inline(always)]
pub(in crate::attention) fn transposed<S: Simd>(s: S, from: HeadRows<'_>, to: &mut [f32], to_row: usize) {
    let (n, d) = (from.count, from.d);
    let whole = n / 8 * 8;
    for j in (0..whole).step_by(8) {
        let mut rows: [&[f32]; 8] = [&[]; 8];
        for (r, row) in rows.iter_mut().enumerate() {
            *row = from.row(j + r);
        }
        eight(s, &rows, d / 8 * 8, &mut to[j..], to_row);
        for x in d / 8 * 8..d {
            for (r, row) in rows.iter().enumerate() {
                to[x * to_row + j + r] = row[x];
            }
        }
    }
    for j in whole..n {
        let row = from.row(j);
        (0..d).for_each(|x| to[x * to_row + j] = row[x]);
    }
    if n < to_row {
        for to in to.chunks_exact_mut(to_row).take(d) {
            to[n..].fill(0.0);
        }
    }
}

/// The first d elements of eight rows, a multiple of 8, become columns.
///
/// No closures here: they would be compiled without the instruction set.
#[inline(always)]
fn eight<S: Simd>(_: S, rows: &[&[f32]; 8], d: usize, to: &mut [f32], to_row: usize) {
    #[cfg(target_arch = "x86_64")]
    if const { !matches!(S::ISA, crate::Isa::Portable) } {
        use std::arch::x86_64::*;
        let mut whole = d == 0 || (d - 1) * to_row + 8 <= to.len();
        for row in rows {
            whole &= d <= row.len();
        }
        assert!(whole, "eight rows do not fit");
        for x in (0..d).step_by(4) {
            // SAFETY: a value of a vector type other than the portable one proves AVX; 4 elements are read of each row
            // and 8 written to 4 rows, inside as asserted. d is a multiple of 4.
            unsafe {
                let mut v = [_mm256_setzero_ps(); 4];
                for (i, v) in v.iter_mut().enumerate() {
                    let (low, high) = (rows[i].as_ptr().add(x), rows[i + 4].as_ptr().add(x));
                    *v = _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(_mm_loadu_ps(low)), _mm_loadu_ps(high));
                }
                let low = [_mm256_unpacklo_ps(v[0], v[1]), _mm256_unpacklo_ps(v[2], v[3])];
                let high = [_mm256_unpackhi_ps(v[0], v[1]), _mm256_unpackhi_ps(v[2], v[3])];
                let at = to.as_mut_ptr().add(x * to_row);
                _mm256_storeu_ps(at, _mm256_shuffle_ps::<0x44>(low[0], low[1]));
                _mm256_storeu_ps(at.add(to_row), _mm256_shuffle_ps::<0xee>(low[0], low[1]));
                _mm256_storeu_ps(at.add(2 * to_row), _mm256_shuffle_ps::<0x44>(high[0], high[1]));
                _mm256_storeu_ps(at.add(3 * to_row), _mm256_shuffle_ps::<0xee>(high[0], high[1]));
            }
        }
        return;
    }
    for (r, row) in rows.iter().enumerate() {
        for (i, &x) in row[..d].iter().enumerate() {
            to[i * to_row + r] = x;
        }
    }
}

/// Prefetches the next `rows` rows of K and V, and takes them from `t`.
///
/// The hardware does not: a row is short, and the next one is a page away.
#[inline(always)]
pub(in crate::attention) fn prefetch(inputs: &Inputs<'_>, [b, kv]: [usize; 2], t: &mut Range<usize>, rows: usize) {
    let now = take(t, rows);
    for from in [&inputs.k, &inputs.v] {
        from.prefetch([b, kv, inputs.shape.d], now.clone());
    }
}

/// Cuts a buffer into parts of these lengths.
pub(in crate::attention) fn split<E, const N: usize>(mut buffer: &mut [E], lengths: [usize; N]) -> [&mut [E]; N] {
    lengths.map(|len| {
        let (part, rest) = std::mem::take(&mut buffer).split_at_mut(len);
        buffer = rest;
        part
    })
}

/// The words of a packed row of D numbers, whole vectors of them, with so many steps in a word.
#[inline(always)]
pub(in crate::attention) fn words_width(steps: usize, d: usize) -> usize {
    d.next_multiple_of(16 * steps) / steps
}

/// `N` numbers of a row from `j` on, zeros past its end.
#[inline(always)]
pub(in crate::attention) fn load_at<S: Simd>(s: S, row: &[f32], j: usize) -> S::F32 {
    if j + S::N <= row.len() { s.load(&row[j..]) } else { s.load_partial(&row[j.min(row.len())..]) }
}

#[inline(always)]
pub(in crate::attention) fn store_words<S: Simd>(s: S, to: &mut [u32], words: S::U32) {
    s.store(bytemuck::cast_slice_mut(to), s.from_bits(words));
}

/// `to` (rows of [`words_width`]) ← `from`: neighbours along D share a word. Zeros fill `to` up.
#[inline(always)]
pub(in crate::attention) fn words<W: OperandKind>(w: W, from: HeadRows<'_>, to: &mut [u32]) {
    let (s, n) = (w.simd(), W::S::N);
    let mut rows = to.chunks_exact_mut(words_width(W::STEPS, from.d).max(1));
    for r in 0..from.count {
        let (Some(to), row) = (rows.next(), from.row(r)) else { return };
        for (i, to) in to.chunks_exact_mut(n).enumerate() {
            let j = i * n * W::STEPS;
            store_words(s, to, w.pack([load_at(s, row, j), load_at(s, row, j + n * (W::STEPS - 1))]));
        }
    }
    rows.for_each(|to| to.fill(0));
}

/// `to` (rows of [`width`]) ← `from`, [`OperandKind::STEPS`] rows in one. Zeros fill the last one up.
#[inline(always)]
pub(in crate::attention) fn joined<W: OperandKind>(w: W, from: HeadRows<'_>, to: &mut [u32]) {
    let (s, n) = (w.simd(), W::S::N);
    for (to, first) in to.chunks_exact_mut(width(from.d).max(1)).zip((0..from.count).step_by(W::STEPS)) {
        let second = first + W::STEPS - 1;
        let second = if second < from.count { from.row(second) } else { &[] };
        let first = from.row(first);
        for (i, to) in to.chunks_exact_mut(n).enumerate() {
            store_words(s, to, w.join([load_at(s, first, i * n), load_at(s, second, i * n)]));
        }
    }
}

/// `to` (⌈D/steps⌉ × `to_row`) ← `from` as words, transposed; columns past the last row are zero.
/// `space` holds the rows as [`words`], where words are not numbers.
#[inline(always)]
pub(in crate::attention) fn words_transposed<W: OperandKind>(
    w: W,
    from: HeadRows<'_>,
    (to, to_row): (&mut [u32], usize),
    space: &mut [u32],
) {
    let (s, to) = (w.simd(), bytemuck::cast_slice_mut(to));
    if const { W::STEPS == 1 } {
        return transposed(s, from, to, to_row);
    }
    let (n, row) = (from.count, words_width(W::STEPS, from.d));
    let space = &mut space[..n * row];
    words(w, from, space);
    let packed = HeadRows::new(bytemuck::cast_slice(space), row, n, from.d.div_ceil(W::STEPS));
    transposed(s, packed, to, to_row);
}

/// The rows where they lie, and their distance, if `few` of them are read and words are the numbers of
/// memory. Where many products read them, a dense copy is the faster one.
#[inline(always)]
pub(in crate::attention) fn in_place<'a, W: OperandKind>(from: HeadRows<'a>, few: bool) -> Option<(&'a [u32], usize)> {
    (W::STEPS == 1 && few && from.count > 0 && from.d > 0 && from.d.is_multiple_of(16)).then(|| {
        let (data, stride) = from.memory();
        (bytemuck::cast_slice(data), stride)
    })
}

/// Every number of these words changes its sign.
#[inline(always)]
pub(in crate::attention) fn negate<W: OperandKind>(w: W, words: &mut [u32]) {
    let s = w.simd();
    let signs = s.splat_u32(if W::STEPS == 1 { 0x8000_0000 } else { 0x8000_8000 });
    for words in words.chunks_exact_mut(W::S::N) {
        let x = s.to_bits(s.load(bytemuck::cast_slice(words)));
        store_words(s, words, s.xor_u32(x, signs));
    }
}

/// `to` ← factor · the elements of `from`; `far`: past the caches, which [`Simd::fence`] has to end.
#[inline(always)]
pub(in crate::attention) fn scaled<S: Simd>(s: S, factor: S::F32, from: &[f32], to: &mut [f32], far: bool) {
    for (from, to) in from.chunks(S::N).zip(to.chunks_mut(S::N)) {
        if to.len() == S::N {
            Whole.write(s, far, to, s.mul(factor, s.load(from)));
        } else {
            s.store_partial(to, s.mul(factor, s.load_partial(from)));
        }
    }
}
