//! A long sum: k is cut into parts of fixed length, whose products are added in order.
//!
//! The gradient of a weight is such a product, 65×384 with k = 16384: C has too few blocks to keep the cores busy, and with
//! smaller blocks every task would read all of A or B. Each part of k reads its own share of both, and no task waits until
//! the others have packed. The sums of the parts have memory of their own and are added from the first to the last, so the
//! order is fixed. 128×128 with k = 768, two threads: 180 GFLOP/s, in blocks of C 145.

use super::{
    Shape,
    operands::{Product, Source},
};
use crate::{parallel, scratch};
use rayon::prelude::*;

/// The shortest part; a sum at the end costs a few per cent of so many steps.
const PART: usize = 192;
/// The most parts of a small and of a large C, which bounds the memory for their sums.
const PARTS: [usize; 2] = [16, 8];
/// The largest C that is small, and the largest of all, in elements: 4 MiB.
const LARGEST: [usize; 2] = [1 << 16, 1 << 20];

/// The length of a part of the sum, if k is long enough and C small enough. There is an even number of parts, so that two
/// cores get equal shares.
pub(super) fn part(Shape { m, n, k, .. }: Shape) -> Option<usize> {
    let pays = m * n <= LARGEST[1] && k >= 4 * PART && k / 4 >= m.min(n);
    let most = PARTS[usize::from(m * n > LARGEST[0])];
    pays.then(|| k.div_ceil((k / PART).min(most) / 2 * 2).next_multiple_of(8))
}

/// C = Σ, or C += Σ, of the products of every `part` of k, which `one` computes.
pub(super) fn sum_of_parts<'a>(
    part: usize,
    Product { shape, a, b, c, add }: Product<'a, Source<'a>>,
    one: impl Fn(Product<'_, Source<'_>>) + Sync,
) {
    let Shape { m, n, k, .. } = shape;
    let outputs = m * n;
    scratch::with(k.div_ceil(part) * outputs, |sums: &mut [f32]| {
        sums.par_chunks_mut(outputs).with_max_len(1).enumerate().for_each(|(index, sum)| {
            let first = index * part;
            let shape = Shape { k: part.min(k - first), ..shape };
            one(Product { shape, a: a.from(0, first), b: b.from(first, 0), c: sum, add: false });
        });
        let sums = &*sums;
        let add_up = |(first, c): (usize, &mut [f32])| {
            if !add {
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
            add_up((0, c));
        } else {
            c.par_chunks_mut(items).enumerate().for_each(|(index, c)| add_up((index * items, c)));
        }
    });
}
