//! Vectors: N columns of C at once, their sums in a register over all of k.
//!
//! For each step of k one element of A is spread over a vector and multiplied with N neighbours of B's row. C goes to
//! memory once in all. But each multiply-add needs its own load of B, and waits for the one before it: the sum is one
//! chain, 4 cycles a link, where the machine could start one each cycle. In NT the neighbours of B are a column apart
//! and are collected one by one.
//!
//! One chain allows a quarter of the peak, 29 GFLOP/s, and where B stays in the second-level cache that is what it
//! makes: in the report 29.1 at 768×512×128, 1.34 times the rung below. At 512×512×512 it is NN 22.7, TN 14.8, NT
//! 2.9, which is 1.03, 0.63 and 2.92 times the rung below; at 1024×1024×1024 NN 11.6. For B is walked down its
//! columns, another page for every few multiply-adds, and all of B for every row of C. So 16 lanes are hardly faster
//! than the 4 that the compiler gave the blocked loops. Vectors alone are not the win; what follows is.

use super::{Shape, Strides, View, begin};
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
        for (i, c) in c.chunks_exact_mut(shape.n).enumerate() {
            for (group, c) in c.chunks_mut(S::N).enumerate() {
                let (a, b) = (a.from(i, 0), b.from(0, group * S::N));
                let mut sum = if accumulate { s.load_partial(c) } else { s.zero() };
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
