//! A tile of C in registers: R rows by V vectors, so that every load serves several multiply-adds.
//!
//! A step of k loads V vectors of B and R elements of A and does R·V multiply-adds. With 8×3 tiles of AVX-512 vectors
//! that is 11 loads for 24 multiply-adds, and 24 independent chains, more than enough to hide the 4 cycles of each.
//! 24 sums, 3 vectors of B and one of A fill 28 of the 32 registers; AVX2 has 16 and gets 4×3.
//! The operands are still read where they lie: in large matrices each row of B is on another page, and where the
//! width is a power of two all rows of a tile fall into the same few places of the cache.
//!
//! Measured: 512×512×512 NN 105, TN 107, NT 7.5 GFLOP/s (NN at AVX2 46, portable 28); 1024×1024×1024 NN 103, TN 99,
//! NT 4.9. Where B can be loaded this is the step that matters, 4.7 times the rung below in NN of 512 and 7.3 in TN by the
//! report; NT waits for its elements one by one.

use super::{Shape, Strides, View, begin, simd::neighbours};
use crate::{Isa, simd::Simd, simd_fn};

/// The rung: see [`super::forward`].
///
/// # Panics
/// As [`super::forward`].
pub fn run(
    isa: Isa,
    shape: Shape,
    a: &[f32],
    a_strides: Strides,
    b: &[f32],
    b_strides: Strides,
    c: &mut [f32],
    accumulate: bool,
) {
    if !begin(shape, a, a_strides, b, b_strides, c, accumulate) {
        return;
    }
    for (index, c) in c.chunks_exact_mut(shape.m * shape.n).enumerate() {
        let (a, b) = (View::of(a, a_strides, index), View::of(b, b_strides, index));
        product(isa, shape, a, b, c, accumulate);
    }
}

simd_fn! {
    /// One matrix of the batch.
    fn product<S>(s: S, shape: Shape, a: View<'_>, b: View<'_>, c: &mut [f32], accumulate: bool) {
        match S::ISA {
            Isa::Avx512 => tiles::<S, 8, 3>(s, shape, a, b, c, accumulate),
            Isa::Avx2 => tiles::<S, 4, 3>(s, shape, a, b, c, accumulate),
            Isa::Portable => tiles::<S, 4, 1>(s, shape, a, b, c, accumulate),
        }
    }
}

#[inline(always)]
fn tiles<S: Simd, const R: usize, const V: usize>(
    s: S,
    shape: Shape,
    a: View<'_>,
    b: View<'_>,
    c: &mut [f32],
    accumulate: bool,
) {
    let Shape { m, n, k, .. } = shape;
    let mut j = 0;
    while j < n {
        let whole = n - j >= V * S::N && b.col == 1;
        let mut i = 0;
        while i < m {
            let (a, b, c) = (a.from(i, 0), b.from(0, j), &mut c[i * n + j..]);
            match (whole, m - i >= R) {
                (true, true) => tile::<S, R, V, true>(s, k, n - j, a, b, c, n, accumulate),
                (false, true) => tile::<S, R, V, false>(s, k, n - j, a, b, c, n, accumulate),
                (true, false) => tile::<S, 1, V, true>(s, k, n - j, a, b, c, n, accumulate),
                (false, false) => tile::<S, 1, V, false>(s, k, n - j, a, b, c, n, accumulate),
            }
            i += if m - i >= R { R } else { 1 };
        }
        j += V * S::N;
    }
}

/// R rows of C from `c` on, at most V·N of the `columns` that are left; a `WHOLE` tile has all of them, and rows of B
/// that can be loaded.
#[inline(always)]
fn tile<S: Simd, const R: usize, const V: usize, const WHOLE: bool>(
    s: S,
    k: usize,
    columns: usize,
    a: View<'_>,
    b: View<'_>,
    c: &mut [f32],
    c_row: usize,
    accumulate: bool,
) {
    let mut sums = [[s.zero(); V]; R];
    assert!((R - 1) * a.row + (k - 1) * a.col < a.data.len(), "R rows of A");
    assert!(!WHOLE || (k - 1) * b.row + V * S::N <= b.data.len(), "k rows of V vectors of B");
    for p in 0..k {
        let mut row = [s.zero(); V];
        for v in 0..V {
            row[v] = if WHOLE {
                // SAFETY: the second assertion; p < k.
                unsafe { s.load_ptr(b.data.as_ptr().add(p * b.row + v * S::N)) }
            } else if v * S::N < columns {
                neighbours(s, b.from(0, v * S::N), p, (columns - v * S::N).min(S::N))
            } else {
                s.zero()
            };
        }
        for r in 0..R {
            // SAFETY: the first assertion; r < R and p < k.
            let a = s.splat(unsafe { *a.data.get_unchecked(r * a.row + p * a.col) });
            for v in 0..V {
                sums[r][v] = s.mul_add(a, row[v], sums[r][v]);
            }
        }
    }
    for r in 0..R {
        let end = columns.min(V * S::N);
        let c = &mut c[r * c_row..][..end];
        for v in 0..V {
            if v * S::N < end {
                let c = &mut c[v * S::N..];
                let old = if accumulate { s.load_partial(c) } else { s.zero() };
                s.store_partial(c, s.add(old, sums[r][v]));
            }
        }
    }
}
