//! Vectors: a lane is a pair where pairs are made of two halves, and a channel where they are made of neighbours.
//!
//! With halves, a vector of the first and one of the second are multiplied with the same cosines and sines: two loads, two
//! products, two fused products and two stores for 2·N channels. With neighbours both lanes take both numbers: the lanes are exchanged in
//! registers, y = x·cos + exchanged(x)·(∓sin), and each cosine has to stand twice. The tables are spread like that once for
//! each position, for all of its heads.

use super::{Input, Pairing, Shape};
use crate::{
    Isa,
    rows::{Access, for_vectors},
    scratch, simd_fn,
};
use std::ops::Range;

/// y = x turned by the angles of its positions.
pub fn rotate(isa: Isa, input: Input<'_>, y: &mut [f32]) {
    input.check(y.len());
    rotate_rows(isa, input, 0..input.shape.b * input.shape.t, y);
}

/// The same for some of the B·T rows of H·D elements; `y` begins with the first of them.
pub(super) fn rotate_rows(isa: Isa, input: Input<'_>, rows: Range<usize>, y: &mut [f32]) {
    let spread = if input.pairing == Pairing::Interleaved { 4 * input.shape.pairs } else { 0 };
    scratch::with(spread, |spread: &mut [f32]| match input.pairing {
        Pairing::HalfSplit => half_split(isa, input, rows, y),
        Pairing::Interleaved => interleaved(isa, input, rows, spread, y),
    });
}

simd_fn! {
    fn half_split<S>(s: S, input: Input<'_>, rows: Range<usize>, y: &mut [f32]) {
        let Shape { t, h, rotated, d, pairs, .. } = input.shape;
        let sign = s.splat(if input.inverse { -1.0 } else { 1.0 });
        for (row, y) in rows.zip(y.chunks_exact_mut((h * d).max(1))) {
            let x = &input.x[row * h * d..][..h * d];
            let table = row % t * pairs;
            let (cos, sin) = (&input.cos[table..][..pairs], &input.sin[table..][..pairs]);
            for (x, y) in x.chunks_exact(d).zip(y.chunks_exact_mut(d)).take(rotated) {
                let ((x_a, x_b), (y_a, y_b)) = (x.split_at(pairs), y.split_at_mut(pairs));
                let ((x_b, x_rest), (y_b, y_rest)) = (x_b.split_at(pairs), y_b.split_at_mut(pairs));
                for_vectors!(S, pairs, |i, at| {
                    let (cos, sin) = (at.load(s, &cos[i..]), s.mul(at.load(s, &sin[i..]), sign));
                    let (a, b) = (at.load(s, &x_a[i..]), at.load(s, &x_b[i..]));
                    at.store(s, &mut y_a[i..], s.neg_mul_add(b, sin, s.mul(a, cos)));
                    at.store(s, &mut y_b[i..], s.mul_add(a, sin, s.mul(b, cos)));
                });
                y_rest.copy_from_slice(x_rest);
            }
            y[rotated * d..].copy_from_slice(&x[rotated * d..]);
        }
    }
}

simd_fn! {
    /// `spread` is memory for two rows of R elements: each cosine twice, and each sine as −sin, sin.
    fn interleaved<S>(s: S, input: Input<'_>, rows: Range<usize>, spread: &mut [f32], y: &mut [f32]) {
        let Shape { t, h, rotated, d, pairs, .. } = input.shape;
        let (cos, sin) = spread.split_at_mut(2 * pairs);
        for (row, y) in rows.zip(y.chunks_exact_mut((h * d).max(1))) {
            let x = &input.x[row * h * d..][..h * d];
            for i in 0..pairs {
                let (c, angle) = (input.cos[row % t * pairs + i], input.sin[row % t * pairs + i]);
                let angle = if input.inverse { -angle } else { angle };
                (cos[2 * i], cos[2 * i + 1]) = (c, c);
                (sin[2 * i], sin[2 * i + 1]) = (-angle, angle);
            }
            for (x, y) in x.chunks_exact(d).zip(y.chunks_exact_mut(d)).take(rotated) {
                let ((x, x_rest), (y, y_rest)) = (x.split_at(2 * pairs), y.split_at_mut(2 * pairs));
                for_vectors!(S, 2 * pairs, |i, at| {
                    let v = at.load(s, &x[i..]);
                    let bits = s.to_bits(v);
                    let exchanged = s.from_bits(s.interleave_even_u32(s.odd_to_even_u32(bits), bits));
                    let product = s.mul(v, at.load(s, &cos[i..]));
                    at.store(s, &mut y[i..], s.mul_add(exchanged, at.load(s, &sin[i..]), product));
                });
                y_rest.copy_from_slice(x_rest);
            }
            y[rotated * d..].copy_from_slice(&x[rotated * d..]);
        }
    }
}
