//! The definition against differences.

use super::{super::*, case::*};
use crate::oracle::widen;

#[test]
fn naive_gradients_are_the_differences() {
    for (what, case) in variety() {
        let ([queries, keys], options) = (case.strides(), case.options());
        let Shape { b, h, h_kv, tq, tk, d } = case.shape;
        let operands = [&case.q, &case.k, &case.v].map(|x| widen(x));
        let loss = |[q, k, v]: &[Vec<f64>; 3]| -> f64 {
            let (mut o, mut lse) = (vec![0.0; len(b, queries)], vec![0.0; b * h * tq]);
            let qkv = [view(q, queries), view(k, keys), view(v, keys)];
            naive::forward(case.shape, &options, qkv, (&mut o, queries), &mut lse);
            let mut sum = 0.0;
            for_rows(b, h, tq, queries, |at| {
                sum += (at..at + d).map(|e| o[e] * f64::from(case.d_o[e])).sum::<f64>();
            });
            sum
        };
        let [_, _, gradients @ ..] = case.exact();
        for (operand, (strides, heads, t)) in [(queries, h, tq), (keys, h_kv, tk), (keys, h_kv, tk)].iter().enumerate()
        {
            for_rows(b, *heads, *t, *strides, |at| {
                for e in at..at + d {
                    let moved = |step: f64| {
                        let mut operands = operands.clone();
                        operands[operand][e] += step;
                        loss(&operands)
                    };
                    let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                    let gradient = gradients[operand][e];
                    assert!(
                        (gradient - difference).abs() < 1e-8,
                        "{what}, operand {operand}, element {e}: {gradient} ≠ {difference}"
                    );
                }
            });
        }
    }
}
