//! Matrix times vector with weights stored in bf16: y = W·round(x), what decoding a token does.
//!
//! Every weight is read once, so the time is that of reading W, and half the bytes are half the time. x is rounded once
//! into pairs, which stay in the first-level cache; four rows of W go by at once, so that each load of x serves four
//! and the sums across lanes at the end of the rows overlap. Tasks are blocks of y.

use super::pack::load_stored;
use crate::simd::Simd;
use crate::simd::bf16::{Bf16, pair, round};
use crate::{Bf16Isa, bf16_fn, scratch};
use half::bf16;
use rayon::prelude::*;

/// Weights of one task: 256 KiB.
const TASK: usize = 1 << 17;

/// y = W·x, or y += W·x with `accumulate`, for W with `y.len()` rows of `k` neighbours, `row` apart, and x with its
/// step.
pub(super) fn product(
    isa: Bf16Isa,
    w: &[bf16],
    row: usize,
    x: (&[f32], usize),
    k: usize,
    y: &mut [f32],
    accumulate: bool,
) {
    let (data, step) = x;
    let element = |p: usize| if p < k { round(data[p * step]) } else { bf16::ZERO };
    // Whole vectors of x, so that only W has an edge.
    scratch::with(k.div_ceil(2).next_multiple_of(16), |x: &mut [u32]| {
        for (q, x) in x.iter_mut().enumerate() {
            *x = pair(element(2 * q), element(2 * q + 1));
        }
        let tasks = (y.len().saturating_mul(k) / TASK).clamp(1, 64);
        let tasks = if tasks > 2 { tasks / 2 * 2 } else { tasks };
        let outputs = y.len().div_ceil(tasks).next_multiple_of(16);
        if y.len() <= outputs {
            return dots(isa, w, row, x, k, y, accumulate);
        }
        let x = &*x;
        y.par_chunks_mut(outputs).with_max_len(1).enumerate().for_each(|(index, y)| {
            dots(isa, &w[index * outputs * row..], row, x, k, y, accumulate);
        });
    });
}

bf16_fn! {
    /// A dot product for each output, four at a time.
    fn dots<B>(b: B, w: &[bf16], row: usize, x: &[u32], k: usize, y: &mut [f32], accumulate: bool) {
        let (fours, rest) = y.as_chunks_mut::<4>();
        let mut first = 0;
        for y in fours {
            let rows = std::array::from_fn(|i| &w[(first + i) * row..][..k]);
            put(y, rows_times(b, rows, x), accumulate);
            first += 4;
        }
        for y in rest {
            put(std::array::from_mut(y), rows_times(b, [&w[first * row..][..k]], x), accumulate);
            first += 1;
        }
    }
}

#[inline(always)]
fn put<const R: usize>(y: &mut [f32; R], sums: [f32; R], accumulate: bool) {
    for (y, sum) in y.iter_mut().zip(sums) {
        *y = if accumulate { *y + sum } else { sum };
    }
}

/// R rows times x, two vectors of sums for each; the order of a row's sum does not depend on R.
#[inline(always)]
fn rows_times<B: Bf16, const R: usize>(b: B, w: [&[bf16]; R], x: &[u32]) -> [f32; R] {
    let s = b.simd();
    let (n, k) = (B::S::N, w[0].len());
    let mut sums = [[s.zero(); 2]; R];
    let mut p = 0;
    while p + 4 * n <= k {
        let halves = [b.load(&x[p / 2..]), b.load(&x[p / 2 + n..])];
        for (w, sum) in w.iter().zip(&mut sums) {
            for h in 0..2 {
                sum[h] = b.dot(load_stored(b, &w[p + 2 * n * h..p + 2 * n * (h + 1)], 2 * n), halves[h], sum[h]);
            }
        }
        p += 4 * n;
    }
    while p < k {
        let x = b.load(&x[p / 2..]);
        for (w, sum) in w.iter().zip(&mut sums) {
            sum[0] = b.dot(load_stored(b, &w[p..], k - p), x, sum[0]);
        }
        p += 2 * n;
    }
    sums.map(
        #[inline(always)]
        |[a, b]| s.reduce_sum(s.add(a, b)),
    )
}
