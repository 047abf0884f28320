//! Every rung at every instruction set where formulas end: 0, ±∞, NaN, and far out.

use super::super::*;
use crate::corners::{self, POINTS, check};
use crate::trials::runs;

/// The units of rounding that are allowed: the derivatives of GELU at −1 are off by up to 1.9e-7.
const UNITS: f64 = 20.0;
/// Enough copies for whole vectors of every level and a rest.
const COPIES: usize = 37;

fn close(got: f32, expected: f64) -> Result<(), String> {
    let expected = expected as f32;
    check(f64::from(got), f64::from(expected), UNITS, f64::from(f32::EPSILON))
}

#[test]
fn the_definition_in_f64() {
    for (op, values, slopes) in corners::UNARY {
        for ((x, value), slope) in POINTS.into_iter().zip(values).zip(slopes) {
            let y = naive::apply(op, x);
            let saved = if op.saves() == Saves::Output { y } else { x };
            let d = naive::apply_backward(op, saved, 1.0);
            check(y, value, UNITS, f64::EPSILON).unwrap_or_else(|e| panic!("{op:?}({x:e}): {e}"));
            check(d, slope, UNITS, f64::EPSILON).unwrap_or_else(|e| panic!("{op:?}′({x:e}): {e}"));
        }
    }
    for (op, a, b, value, _) in corners::BINARY {
        let y = naive::combine(op, a, b);
        check(y, value, UNITS, f64::EPSILON).unwrap_or_else(|e| panic!("{op:?}({a:e}, {b:e}): {e}"));
    }
}

#[test]
fn every_unary_rung() {
    for (op, values, slopes) in corners::UNARY {
        for ((point, value), slope) in POINTS.into_iter().zip(values).zip(slopes) {
            let (x, mut y) = ([point as f32; COPIES], [9.0; COPIES]);
            for (name, isa, run) in runs(&UNARY_RUNGS) {
                run(isa, op, &x, &mut y);
                for &y in &y {
                    close(y, value).unwrap_or_else(|e| panic!("{name} {isa} {op:?}({point:e}): {e}"));
                }
            }
            let saved: &[f32] = match op.saves() {
                Saves::Nothing => &[],
                Saves::Input => &x,
                Saves::Output => &y,
            };
            for (name, isa, run) in runs(&UNARY_BACKWARD_RUNGS) {
                let mut dx = [9.0; COPIES];
                run(isa, op, saved, &[1.0; COPIES], &mut dx);
                for &d in &dx {
                    close(d, slope).unwrap_or_else(|e| panic!("{name} {isa} {op:?}′({point:e}): {e}"));
                }
            }
        }
    }
}

#[test]
fn every_binary_rung() {
    for (op, a, b, value, _) in corners::BINARY {
        let operands = [a, b].map(|x| [x as f32; COPIES]);
        for (name, isa, run) in runs(&BINARY_RUNGS) {
            for (a_stride, b_stride) in [(1, 1), (0, 1), (1, 0)] {
                let mut y = [9.0; COPIES];
                run(isa, op, &[COPIES], &operands[0], &[a_stride], &operands[1], &[b_stride], &mut y);
                for &y in &y {
                    close(y, value).unwrap_or_else(|e| panic!("{name} {isa} {op:?}({a:e}, {b:e}): {e}"));
                }
            }
        }
    }
}
