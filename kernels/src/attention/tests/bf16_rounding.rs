//! Where the bf16 rungs round, number by number: one query and one or two keys of one number each.

use super::{super::*, case::*};
use crate::Bf16Isa;

/// Halfway between two bf16 numbers, and the one that it has to become: 1.0117 is rounded up, 1.0039 down.
const TIES: [[f32; 2]; 2] = [[1.0 + 3.0 / 256.0, 1.0 + 1.0 / 64.0], [1.0 + 1.0 / 256.0, 1.0]];

/// One query, `k.len()` keys and one number in each row, forward: O and lse.
fn one_query(isa: Bf16Isa, run: bf16::Forward, q: f32, k: &[f32], v: &[f32]) -> [f32; 2] {
    let shape = Shape { b: 1, h: 1, h_kv: 1, tq: 1, tk: k.len(), d: 1 };
    let s = Strides { b: 0, h: 0, t: 1 };
    let (q, mut o, mut lse) = ([q], [POISON], [POISON]);
    let inputs = Inputs::new(shape, plain_options(), view(&q, s), view(k, s), view(v, s));
    run(isa, &inputs, Output::new("o", &mut o, [1, 1, 1], s, 1), &mut lse);
    [o[0], lse[0]]
}

/// One query and one key, backward from any O and lse, so P = exp(QK − lse) and dS = P·dO·(V − O): dQ, dK and dV.
fn one_key(isa: Bf16Isa, run: bf16::Backward, [q, k, v, d_o]: [f32; 4], [o, lse]: [f32; 2]) -> [f32; 3] {
    let shape = Shape { b: 1, h: 1, h_kv: 1, tq: 1, tk: 1, d: 1 };
    let s = Strides { b: 0, h: 0, t: 1 };
    let [q, k, v, d_o, o, lse] = [q, k, v, d_o, o, lse].map(|x| [x]);
    let inputs = Inputs::new(shape, plain_options(), view(&q, s), view(&k, s), view(&v, s));
    let saved = Saved::new(shape, view(&o, s), &lse, view(&d_o, s));
    let mut gradients = [[POISON]; 3];
    let outputs = gradients.each_mut().map(|x| Output::new("gradient", x, [1, 1, 1], s, 1));
    run(isa, &inputs, &saved, outputs);
    gradients.map(|x| x[0])
}

fn plain_options() -> Options<'static> {
    Options { scale: 1.0, causal: false, window: None, mask: None, dropout: None }
}

fn near(got: f32, expected: f32) -> bool {
    (got - expected).abs() <= 4.0 * f32::EPSILON
}

/// A rounding that is left out, or done in another way, would pass the bounds, but not this.
#[test]
fn operands_are_rounded_to_the_nearest() {
    for [tie, rounded] in TIES {
        for (rung, gradient) in bf16::FORWARD_RUNGS.iter().zip(bf16::BACKWARD_RUNGS) {
            for isa in Bf16Isa::available().filter(|&isa| rung.simd || isa == Bf16Isa::Portable) {
                let what = || format!("{} {isa}, {tie}", rung.name);
                let [_, lse] = one_query(isa, rung.run, tie, &[1.0], &[1.0]);
                assert!(near(lse, rounded), "{}: Q, {lse}", what());
                let [_, lse] = one_query(isa, rung.run, 1.0, &[tie], &[1.0]);
                assert!(near(lse, rounded), "{}: K, {lse}", what());
                let [o, _] = one_query(isa, rung.run, 1.0, &[1.0], &[tie]);
                assert!(near(o, rounded), "{}: V, {o}", what());
                // P = 1 as long as lse is the product of Q and K; where O = V is dS nothing, so δ is that of the rounded dO.
                for (x, saved, expected) in [
                    ([tie, 1.0, 1.0, 1.0], [0.0, rounded], [1.0, rounded, 1.0]),
                    ([1.0, tie, 1.0, 1.0], [0.0, rounded], [rounded, 1.0, 1.0]),
                    ([1.0, 1.0, tie, 1.0], [0.0, 1.0], [rounded, rounded, 1.0]),
                    ([1.0, 1.0, 1.0, tie], [0.0, 1.0], [rounded; 3]),
                    ([1.0, 1.0, 1.0, tie], [1.0, 1.0], [0.0, 0.0, rounded]),
                ] {
                    let got = one_key(isa, gradient.run, x, saved);
                    let right = got.iter().zip(expected).all(|(&got, expected)| near(got, expected));
                    assert!(right, "{}: {x:?} gives {got:?}, not {expected:?}", what());
                }
            }
        }
    }
}

/// exp(−2) = 138.6/1024 becomes 139/1024, the nearest of 8 bits, in P and in dS.
#[test]
fn probabilities_are_rounded_to_the_nearest() {
    let (p, rounded) = ((-2_f32).exp(), 139.0 / 1024.0);
    for (rung, gradient) in bf16::FORWARD_RUNGS.iter().zip(bf16::BACKWARD_RUNGS).filter(|(rung, _)| rung.simd) {
        for isa in Bf16Isa::available() {
            let [o, _] = one_query(isa, rung.run, 1.0, &[0.0, -2.0], &[0.0, 1.0]);
            assert!(near(o, rounded / (1.0 + p)), "{} {isa}: P in O, {o}", rung.name);
            let got = one_key(isa, gradient.run, [0.0, 0.0, 1.0, 1.0], [0.0, 2.0]);
            assert_eq!(got, [0.0, 0.0, rounded], "{} {isa}: P in dV", rung.name);
            let got = one_key(isa, gradient.run, [1.0; 4], [0.0, 3.0]);
            assert_eq!(got, [rounded; 3], "{} {isa}: dS in dQ and dK", rung.name);
        }
    }
}
