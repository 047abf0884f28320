//! A tile of C in registers, R rows by V vectors: every load serves several multiply-adds.
//!
//! A step of k loads V vectors of B and R elements of A and does R·V independent multiply-adds. AVX-512 has 32 registers:
//! tiles of 8×3 need 24 sums, 3 vectors of B and one of A, so 11 loads serve 24 multiply-adds. AVX2 has 16, and gets 4×3.
//! The operands are still read in place: in large matrices each row of B is on another page, and at distances of a power of
//! two all rows of a tile share a few sets of the cache. 512×512×512, NN, one thread: 105 GFLOP/s, 4.7 times the rung below.

use super::{
    Shape,
    operands::{Product, Products, View},
    simd::neighbours,
};
use crate::{Isa, simd::Simd, simd_fn};

/// The rung: see [`super::forward`].
///
/// # Panics
/// As [`super::forward`].
pub fn run(isa: Isa, products: Products<'_>) {
    products.for_each(|one| product(isa, one));
}

simd_fn! {
    /// One product.
    fn product<S>(s: S, one: Product<'_>) {
        match S::ISA {
            Isa::Avx512 => tiles::<S, 8, 3>(s, one),
            Isa::Avx2 => tiles::<S, 4, 3>(s, one),
            Isa::Portable => tiles::<S, 4, 1>(s, one),
        }
    }
}

#[inline(always)]
fn tiles<S: Simd, const R: usize, const V: usize>(s: S, Product { shape, a, b, c, add }: Product<'_>) {
    let Shape { m, n, k, .. } = shape;
    let mut j = 0;
    while j < n {
        let whole = n - j >= V * S::N && b.col == 1;
        let mut i = 0;
        while i < m {
            let (a, b, c) = (a.from(i, 0), b.from(0, j), &mut c[i * n + j..]);
            match (whole, m - i >= R) {
                (true, true) => tile::<S, R, V, true>(s, k, n - j, a, b, c, n, add),
                (false, true) => tile::<S, R, V, false>(s, k, n - j, a, b, c, n, add),
                (true, false) => tile::<S, 1, V, true>(s, k, n - j, a, b, c, n, add),
                (false, false) => tile::<S, 1, V, false>(s, k, n - j, a, b, c, n, add),
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
    add: bool,
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
                let old = if add { s.load_partial(c) } else { s.zero() };
                s.store_partial(c, s.add(old, sums[r][v]));
            }
        }
    }
}
