//! The online softmax: maximum and sum are kept up to date from block to block, so no row of scores is ever whole.
//!
//! After some blocks of keys a query has m = max S, l = Σ exp(S − m) and o = Σ exp(S − m)·V. A block with a larger
//! maximum m' turns them into the same sums less m' by one factor, exp(m − m'):
//!
//! ```text
//! l ← l·exp(m − m') + Σ exp(S − m')     o ← o·exp(m − m') + Σ exp(S − m')·V
//! ```
//!
//! In the end O = o / l and lse = m + log l. Values are added in the same visit in which keys are scored, and the scratch is
//! a block instead of a row, which pays where a row does not fit the first-level cache: 1×2×2048×64 takes 245 ms, 350 with
//! [`super::blocked`]. In the backward pass lse stands for both m and l, so it has no rung of this name.
//!
//! Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018; Rabe and Staats, "Self-attention does not need
//! O(n²) memory", 2021.

use crate::Isa;
use crate::attention::{
    Inputs, Output,
    ladder::{
        blocked::KEYS,
        causal::{add_scaled, rows, score},
    },
};

pub(in crate::attention) fn forward(_: Isa, inputs: &Inputs<'_>, mut o: Output<'_>, lse: &mut [f32]) {
    let d = inputs.shape.d;
    for [b, h, i] in rows(inputs.shape) {
        let (q, keys) = (inputs.q.row(b, h, i, d), inputs.keys(i));
        let o = o.row(b, h, i);
        o.fill(0.0);
        let (mut max, mut sum) = (f32::NEG_INFINITY, 0.0);
        for first in keys.clone().step_by(KEYS) {
            let block = first..(first + KEYS).min(keys.end);
            let mut s = [0.0; KEYS];
            let s = &mut s[..block.len()];
            for (s, j) in s.iter_mut().zip(block.clone()) {
                *s = score(inputs, q, [b, h, i], j);
            }
            let new = s.iter().copied().fold(max, f32::max);
            if new == f32::NEG_INFINITY && s.iter().all(|&s| s == new) {
                continue; // no key seen so far: −∞ − −∞ would be NaN, which is right only where a score is
            }
            let factor = (max - new).exp();
            max = new;
            sum *= factor;
            o.iter_mut().for_each(|o| *o *= factor);
            for (s, j) in s.iter().zip(block) {
                let p = (s - max).exp();
                sum += p;
                add_scaled(o, p * inputs.keep_factor(b, h, i, j), inputs.v.row(b, inputs.kv_head(h), j, d));
            }
        }
        if sum > 0.0 {
            o.iter_mut().for_each(|o| *o /= sum);
        }
        lse[inputs.row_index(b, h, i)] = max + sum.ln();
    }
}
