//! Matrix times vector with weights stored in bf16: y = W·round(x), the product of decoding a token.
//!
//! Every weight is read once, so the time is that of reading W, and half the bytes take half the time: 50257×768 takes 2.1
//! times as long in `f32`. x is rounded once into pairs, which stay in the first-level cache, and each output is a dot
//! product. Tasks are blocks of y.

use crate::matmul::{
    gemv::dots,
    operands::{Product, View},
};
use crate::simd::Simd;
use crate::simd::bf16::{load_rounded, pair, round};
use crate::simd::operand_kind::Pairs;
use crate::{Bf16Isa, bf16_fn, scratch};
use half::bf16;
use rayon::prelude::*;

/// The most tasks.
pub(super) const TASKS: usize = 64;
/// Weights of one task: 128 KiB.
const TASK: usize = 1 << 16;

/// A product with one row, y = x·B or y += x·B, where the steps of B lie side by side; in up to `most` tasks.
pub(super) fn product(isa: Bf16Isa, Product { shape, a: x, b, c: y, add }: Product<'_, View<'_, bf16>>, most: usize) {
    let (k, w) = (shape.k, b.transposed());
    // Whole vectors of x, so that only W has an edge.
    scratch::with(k.div_ceil(2).next_multiple_of(16), |pairs: &mut [u32]| {
        if x.col == 1 {
            round_all(isa, &x.data[..k], pairs);
        } else {
            let element = |p: usize| if p < k { round(x.data[p * x.col]) } else { bf16::ZERO };
            for (q, to) in pairs.iter_mut().enumerate() {
                *to = pair(element(2 * q), element(2 * q + 1));
            }
        }
        let tasks = (y.len().saturating_mul(k) / TASK).clamp(1, most);
        let tasks = if tasks > 2 { tasks / 2 * 2 } else { tasks };
        let outputs = y.len().div_ceil(tasks).next_multiple_of(16);
        if y.len() <= outputs {
            return dots_of_pairs(isa, w, pairs, k, y, add);
        }
        let pairs = &*pairs;
        y.par_chunks_mut(outputs).with_max_len(1).enumerate().for_each(|(index, y)| {
            dots_of_pairs(isa, w.from(index * outputs, 0), pairs, k, y, add);
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
    /// [`dots`] of pairs.
    fn dots_of_pairs<B>(b: B, w: View<'_, bf16>, x: &[u32], k: usize, y: &mut [f32], accumulate: bool) {
        dots(Pairs(b), w, x, k, y, accumulate);
    }
}
