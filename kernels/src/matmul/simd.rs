//! Vectors: N columns of C at once, with their sums in a register over all of k.
//!
//! Each step of k broadcasts one element of A and multiplies it with N neighbours of B's row; C is written once. But each
//! multiply-add needs a load of B, and waits for the one before it: the sum is one chain of 4 cycles a link, a quarter of
//! the peak. Where B is larger than a cache the loop down its columns is slower still: vectors alone are not the gain, but
//! what follows needs them. 768×512×128, one thread: 29.1 GFLOP/s, 1.34 times the rung below.

use super::operands::{Product, Products, View};
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
        let Product { shape, a, b, c, add } = one;
        for (i, c) in c.chunks_exact_mut(shape.n).enumerate() {
            for (group, c) in c.chunks_mut(S::N).enumerate() {
                let (a, b) = (a.from(i, 0), b.from(0, group * S::N));
                let mut sum = if add { s.load_partial(c) } else { s.zero() };
                for p in 0..shape.k {
                    sum = s.mul_add(s.splat(a.data[p * a.col]), neighbours(s, b, p, c.len()), sum);
                }
                s.store_partial(c, sum);
            }
        }
    }
}

/// The first `count` elements of row `p`, at most N, and zeros.
#[inline(always)]
pub(super) fn neighbours<S: Simd>(s: S, b: View<'_>, p: usize, count: usize) -> S::F32 {
    let row = &b.data[p * b.row..];
    if b.col == 1 {
        return s.load_partial(&row[..count]);
    }
    let mut lanes = [0.0; 16];
    let mut j = 0;
    while j < count.min(S::N) {
        lanes[j] = row[j * b.col];
        j += 1;
    }
    s.load(&lanes)
}
