//! Matrix times vector with weights stored in bf16: y = W·round(x), what decoding a token does.
//!
//! Every weight is read once, so the time is that of reading W, and half the bytes are half the time. x is rounded once
//! into pairs, which stay in the first-level cache; each output is a dot product, for W has to be read front to back.
//! Tasks are blocks of y.
//!
//! Measured on 2 threads at AVX-512 with `vdpbf16ps`, one stream, GB/s of W (and how many times as fast as `f32`, in the
//! same run on a machine that others used): 50257×768 27 (2.1); with 22 MB in all, a part of which the third-level cache
//! keeps, 28000×384 46 to 58 (2.5 to 3.2), 1536×384 47 to 74 (2.9 to 4.0), 384×384 44 to 58 (2.8 to 3.1). With four streams,
//! a quarter of the task apart, `sample` at the sizes of the preset `large` went from 1805–2081 to 2305–2511 tokens a
//! second, three runs of each in turn. Four neighbouring rows are slower: no stream is then longer than a row.

use crate::simd::Simd;
use crate::simd::bf16::{Bf16, load_rounded, load_stored, pair, round};
use crate::{Bf16Isa, bf16_fn, scratch};
use half::bf16;
use rayon::prelude::*;

/// The most tasks.
pub(super) const TASKS: usize = 64;
/// Weights of one task: 128 KiB.
const TASK: usize = 1 << 16;

/// y = W·x, or y += W·x with `accumulate`, for W with `y.len()` rows of `k` neighbours, `row` apart, and x with its
/// step; in up to `most` tasks.
pub(super) fn product(
    isa: Bf16Isa,
    w: &[bf16],
    row: usize,
    x: (&[f32], usize),
    k: usize,
    y: &mut [f32],
    accumulate: bool,
    most: usize,
) {
    let (data, step) = x;
    // Whole vectors of x, so that only W has an edge.
    scratch::with(k.div_ceil(2).next_multiple_of(16), |x: &mut [u32]| {
        if step == 1 {
            round_all(isa, &data[..k], x);
        } else {
            let element = |p: usize| if p < k { round(data[p * step]) } else { bf16::ZERO };
            for (q, x) in x.iter_mut().enumerate() {
                *x = pair(element(2 * q), element(2 * q + 1));
            }
        }
        let tasks = (y.len().saturating_mul(k) / TASK).clamp(1, most);
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
    /// x rounded into pairs, and zeros after them.
    fn round_all<B>(b: B, x: &[f32], pairs: &mut [u32]) {
        for (q, pairs) in pairs.chunks_exact_mut(B::S::N).enumerate() {
            let p = (2 * B::S::N * q).min(x.len());
            b.store(pairs, load_rounded(b, &x[p..], x.len() - p));
        }
    }
}

bf16_fn! {
    /// A dot product for each output, in turn for four quarters of them: W is read at four places at once.
    fn dots<B>(b: B, w: &[bf16], row: usize, x: &[u32], k: usize, y: &mut [f32], accumulate: bool) {
        let quarter = y.len() / 4;
        let at = |i: usize| &w[i * row..][..k];
        for i in 0..quarter {
            let sums = rows_times(b, [at(i), at(quarter + i), at(2 * quarter + i), at(3 * quarter + i)], x);
            for (q, sum) in sums.into_iter().enumerate() {
                let y = &mut y[q * quarter + i];
                *y = if accumulate { *y + sum } else { sum };
            }
        }
        for (i, y) in y.iter_mut().enumerate().skip(4 * quarter) {
            let [sum] = rows_times(b, [at(i)], x);
            *y = if accumulate { *y + sum } else { sum };
        }
    }
}

/// Σ wᵢ·xᵢ for each row w of `k` elements, in two vectors of sums.
#[inline(always)]
fn rows_times<B: Bf16, const Q: usize>(b: B, w: [&[bf16]; Q], x: &[u32]) -> [f32; Q] {
    let s = b.simd();
    let (n, k) = (B::S::N, w[0].len());
    let mut sums = [[s.zero(); 2]; Q];
    let mut p = 0;
    while p + 4 * n <= k {
        for h in 0..2 {
            let from = p + 2 * n * h;
            let x = b.load(&x[from / 2..]);
            for q in 0..Q {
                sums[q][h] = b.dot(load_stored(b, &w[q][from..], 2 * n), x, sums[q][h]);
            }
        }
        p += 4 * n;
    }
    while p < k {
        let x = b.load(&x[p / 2..]);
        for q in 0..Q {
            sums[q][0] = b.dot(load_stored(b, &w[q][p..], k - p), x, sums[q][0]);
        }
        p += 2 * n;
    }
    let mut out = [0.0; Q];
    for q in 0..Q {
        out[q] = s.reduce_sum(s.add(sums[q][0], sums[q][1]));
    }
    out
}
