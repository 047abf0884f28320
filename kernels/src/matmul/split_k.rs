//! A small C with a long sum: k is cut into parts of fixed length, whose products are added in order.
//!
//! The gradient of a weight is such a product, 65×384 with k = 16384: there are too few blocks of C to keep the cores
//! busy, and cutting C finer would have every task read all of A or B. Each part of k reads its own share of both.
//! The parts' sums go to memory of their own and are added from the first to the last, so the order is fixed.
//!
//! Measured on 2 threads at AVX-512, GFLOP/s: 128×128 with k = 768 180, in blocks of C 145; 65×128 with k = 768 167,
//! in blocks of C 115; 65×384 with k = 16384 137.

use super::{Shape, View, packed};
use crate::{Isa, parallel, scratch};
use rayon::prelude::*;

/// The shortest part; a sum at the end costs a few per cent of so many steps.
const PART: usize = 192;
/// The most parts, which bounds the memory for their sums.
const PARTS: usize = 16;
/// The largest C, in elements.
const LARGEST: usize = 1 << 16;

/// Whether k is long enough, and C small enough.
pub(super) fn pays(shape: Shape) -> bool {
    let Shape { m, n, k, .. } = shape;
    m * n <= LARGEST && k >= 4 * PART && k / 4 >= m.min(n)
}

/// An even number of parts, so that two cores get equal shares.
fn part(k: usize) -> usize {
    k.div_ceil((k / PART).min(PARTS) / 2 * 2).next_multiple_of(8)
}

/// One matrix of the batch; none of the sizes is 0.
pub(super) fn product(isa: Isa, shape: Shape, a: View<'_>, b: View<'_>, c: &mut [f32], accumulate: bool) {
    sum_of_parts(shape, part(shape.k), c, accumulate, |first, shape, sum| {
        packed::product(isa, shape, a.from(0, first), b.from(first, 0), sum, false);
    });
}

/// C = Σ, or C += Σ, of what `one(first, shape, sum)` writes for every `part` of k, which begins at step `first`.
pub(super) fn sum_of_parts(
    shape: Shape,
    part: usize,
    c: &mut [f32],
    accumulate: bool,
    one: impl Fn(usize, Shape, &mut [f32]) + Sync,
) {
    let Shape { m, n, k, .. } = shape;
    let outputs = m * n;
    scratch::with(k.div_ceil(part) * outputs, |sums: &mut [f32]| {
        sums.par_chunks_mut(outputs).with_max_len(1).enumerate().for_each(|(index, sum)| {
            let first = index * part;
            one(first, Shape { k: part.min(k - first), ..shape }, sum);
        });
        let sums = &*sums;
        let add = |(first, c): (usize, &mut [f32])| {
            if !accumulate {
                c.fill(0.0);
            }
            for sum in sums.chunks_exact(outputs) {
                for (c, sum) in c.iter_mut().zip(&sum[first..]) {
                    *c += sum;
                }
            }
        };
        let items = parallel::items_per_task(outputs, sums.len() / outputs);
        if items == outputs {
            add((0, c));
        } else {
            c.par_chunks_mut(items).enumerate().for_each(|(index, c)| add((index * items, c)));
        }
    });
}
