//! A long sum: k is cut into parts of fixed length, whose products are added in order.
//!
//! The gradient of a weight is such a product, 65×384 with k = 16384: there are too few blocks of C to keep the cores
//! busy, and cutting C finer would have every task read all of A or B. Each part of k reads its own share of both, whole
//! rows of them where they are sums over positions (TN), and no task waits until the others have packed.
//! The parts' sums go to memory of their own and are added from the first to the last, so the order is fixed.
//!
//! Measured on 2 threads at AVX-512, GFLOP/s: 128×128 with k = 768 180, in blocks of C 145; 65×128 with k = 768 167,
//! in blocks of C 115. With k = 16384, in turn with blocks of C: 384×384 204 / 199, 1152×384 208 / 210, 1536×384 209 / 202,
//! 384×1536 212 / 207, and 205 where in other runs blocks of C made 160; 65×384 158. Since the next steps of B are fetched
//! during a product, in turn with the code before: 65×384 161 to 167 (bf16 267 to 275), 384×384 210 to 213; and since they
//! are no more than the second-level cache keeps until they are packed (`packed.rs`) 65×384 184 (bf16 325).

use super::{Shape, View, packed};
use crate::{Isa, parallel, scratch};
use rayon::prelude::*;

/// The shortest part; a sum at the end costs a few per cent of so many steps.
const PART: usize = 192;
/// The most parts of a small and of a large C, which bounds the memory for their sums.
const PARTS: [usize; 2] = [16, 8];
/// The largest C that is small, and the largest of all, in elements: 4 MiB.
const LARGEST: [usize; 2] = [1 << 16, 1 << 20];

/// Whether k is long enough, and C small enough.
pub(super) fn pays(shape: Shape) -> bool {
    let Shape { m, n, k, .. } = shape;
    m * n <= LARGEST[1] && k >= 4 * PART && k / 4 >= m.min(n)
}

/// The length of a part: there is an even number of them, so that two cores get equal shares.
fn part(shape: Shape) -> usize {
    let Shape { m, n, k, .. } = shape;
    let most = PARTS[usize::from(m * n > LARGEST[0])];
    k.div_ceil((k / PART).min(most) / 2 * 2).next_multiple_of(8)
}

/// One matrix of the batch; none of the sizes is 0.
pub(super) fn product(isa: Isa, shape: Shape, a: View<'_>, b: View<'_>, c: &mut [f32], accumulate: bool) {
    sum_of_parts(shape, part(shape), c, accumulate, |first, shape, sum| {
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
