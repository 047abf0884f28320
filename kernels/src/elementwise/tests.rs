mod corners;
mod strided;
mod threads;

use super::*;
use crate::oracle;

/// Values in the domain of the operation, with what training never sees but a user may: large, tiny, zero.
fn inputs(op: Unary, len: usize) -> Vec<f32> {
    let extreme = [0.0, 1e-30, 1e-3, 9.0, 40.0, 85.0];
    let values = oracle::values(1, len).into_iter().enumerate();
    let x = values.map(|(i, x)| if i % 7 == 3 { extreme[i / 7 % 6] * x.signum() } else { 4.0 * x });
    x.map(|x| if op.domain() == Domain::Positive { x.abs() + 1e-3 } else { x }).collect()
}

/// What the derivative is computed from.
fn saved_of<E: crate::Float>(op: Unary, x: &[E]) -> Vec<E> {
    match op.saves() {
        Saves::Nothing => vec![],
        Saves::Input => x.to_vec(),
        Saves::Output => x.iter().map(|&x| naive::apply(op, x)).collect(),
    }
}

#[test]
fn derivatives_agree_with_central_differences() {
    for op in Unary::ALL {
        // Away from the kinks of relu and |x|, and where the rounding of a difference quotient is small.
        let x = oracle::widen(&oracle::values(2, 33)).into_iter().map(|x| x + 0.02_f64.copysign(x));
        let x: Vec<f64> = x.map(|x| if op.domain() == Domain::Positive { x.abs() + 0.1 } else { 3.0 * x }).collect();
        let dy = oracle::widen(&oracle::values(3, 33));
        let mut dx = vec![0.0; 33];
        naive::unary_backward(op, &saved_of(op, &x), &dy, &mut dx);
        for i in 0..33 {
            let h = 1e-5;
            let difference = (naive::apply(op, x[i] + h) - naive::apply(op, x[i] - h)) / (2.0 * h) * dy[i];
            assert!((dx[i] - difference).abs() < 1e-8, "{op:?} at {}: {} and {difference}", x[i], dx[i]);
        }
    }
}

#[test]
fn every_unary_rung_meets_the_oracle() {
    for len in [0, 1, 7, 8, 16, 33, 257] {
        for op in Unary::ALL {
            let x = inputs(op, len);
            let (mut plain, mut exact, mut y) = (vec![0.0; len], vec![0.0; len], vec![9.0; len]);
            naive::unary(op, &x, &mut plain);
            naive::unary(op, &oracle::widen(&x), &mut exact);
            // One at a time, so that a large element does not hide the error of a small one.
            for rung in &UNARY_RUNGS {
                for isa in Isa::available() {
                    (rung.run)(isa, op, &x, &mut y);
                    for i in 0..len {
                        let result = oracle::check(&y[i..=i], &plain[i..=i], &[exact[i]]);
                        let tiny = (f64::from(y[i]) - exact[i]).abs() < 1e-6; // GELU's left tail is a difference
                        assert!(result.is_ok() || tiny, "{} {isa} {op:?}({}): {result:?}", rung.name, x[i]);
                    }
                    oracle::check(&y, &plain, &exact).unwrap_or_else(|e| panic!("{} {isa} {op:?}: {e}", rung.name));
                }
            }
        }
    }
}

#[test]
fn every_unary_backward_rung_meets_the_oracle() {
    for len in [0, 1, 7, 8, 16, 33, 257] {
        for op in Unary::ALL {
            let (saved, dy) = (saved_of(op, &inputs(op, len)), oracle::values(4, len));
            let (mut plain, mut exact, mut dx) = (vec![0.0; len], vec![0.0; len], vec![9.0; len]);
            naive::unary_backward(op, &saved, &dy, &mut plain);
            naive::unary_backward(op, &oracle::widen(&saved), &oracle::widen(&dy), &mut exact);
            for rung in &UNARY_BACKWARD_RUNGS {
                for isa in Isa::available() {
                    (rung.run)(isa, op, &saved, &dy, &mut dx);
                    oracle::check(&dx, &plain, &exact).unwrap_or_else(|e| panic!("{} {isa} {op:?}: {e}", rung.name));
                }
            }
        }
    }
}

#[test]
fn a_gradient_in_place_is_the_same_bits() {
    for len in [0, 1, 7, 16, 33, 257, 20_011] {
        for op in Unary::ALL {
            let (saved, dy) = (saved_of(op, &inputs(op, len)), oracle::values(4, len));
            for isa in Isa::available() {
                let (mut dx, mut d) = (vec![9.0; len], dy.clone());
                unary::simd_backward(isa, op, &saved, &dy, &mut dx);
                unary::in_place(isa, op, &saved, &mut d);
                assert!(dx.iter().zip(&d).all(|(x, y)| x.to_bits() == y.to_bits()), "{isa} {op:?} {len}");
            }
        }
    }
}

#[test]
fn special_values_come_out_as_the_definition_has_it() {
    let x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1e30, -1e30, 1e-40];
    for op in Unary::ALL {
        let mut exact = [0.0; 8];
        naive::unary(op, &oracle::widen(&x), &mut exact);
        for isa in Isa::available() {
            let mut y = [9.0; 8];
            unary::simd(isa, op, &x, &mut y);
            for i in 0..8 {
                let expected = exact[i] as f32;
                let same = y[i] == expected || (y[i].is_nan() && expected.is_nan());
                let close = (y[i] - expected).abs() <= 2e-7 * expected.abs() + f32::from_bits(1);
                assert!(same || close, "{isa} {op:?}({}): {} instead of {expected}", x[i], y[i]);
            }
        }
    }
}

#[test]
fn a_gradient_passes_nan_on() {
    for op in Unary::ALL {
        for isa in Isa::available() {
            let (saved, mut dx) = (saved_of(op, &[0.5; 3]), [0.0; 3]);
            unary::simd_backward(isa, op, &saved, &[1.0, f32::NAN, 1.0], &mut dx);
            assert!(!dx[0].is_nan() && dx[1].is_nan() && !dx[2].is_nan(), "{isa} {op:?}: {dx:?}");
            if !matches!(op, Unary::Neg | Unary::Relu) {
                unary::simd_backward(isa, op, &[f32::NAN; 3], &[1.0; 3], &mut dx);
                assert!(dx[0].is_nan(), "{isa} {op:?} of NaN: {dx:?}");
            }
        }
    }
}

#[test]
fn streamed_stores_leave_the_same_bits_as_others() {
    let len = (1 << 22) + 1_013; // past `rows::is_far`
    let (x, bias, mut expected) = (oracle::values(8, len), oracle::values(9, 411), vec![0.0; len]);
    let mut padded = vec![0.0; len + 16];
    for isa in Isa::available() {
        for start in [0, 3] {
            let y = &mut padded[start..][..len];
            unary::simd(isa, Unary::Silu, &x, &mut expected);
            unary::streamed(isa, Unary::Silu, &x, y);
            assert!(*y == expected, "{isa}");
            for (op, saved) in [(Unary::Silu, &x[..]), (Unary::Neg, &[])] {
                unary::simd_backward(isa, op, saved, &x, &mut expected);
                unary::streamed_backward(isa, op, saved, &x, y);
                assert!(*y == expected, "{isa} {op:?}");
            }
            binary::simd(isa, Binary::Sub, &[len], &x, &[1], &bias, &[0], &mut expected);
            binary::streamed(isa, Binary::Sub, &[len], &x, &[1], &bias, &[0], y);
            assert!(*y == expected, "{isa} sub");
            binary::select_simd(isa, &[len], &x, &[1], &x, &[1], &bias, &[0], &mut expected);
            binary::select_streamed(isa, &[len], &x, &[1], &x, &[1], &bias, &[0], y);
            assert!(*y == expected, "{isa} select");
        }
    }
}

#[test]
fn axpy_scale_and_accumulate_do_what_they_say() {
    for len in [0, 1, 7, 33, 200_001] {
        let (x, y) = (oracle::values(1, len), oracle::values(2, len));
        let (mut got, mut plain, mut exact) = (y.clone(), y.clone(), oracle::widen(&y));
        axpy(0.3, &x, &mut got);
        naive::axpy(0.3, &x, &mut plain);
        naive::axpy(f64::from(0.3_f32), &oracle::widen(&x), &mut exact);
        oracle::check(&got, &plain, &exact).unwrap();
        accumulate(&mut got, &y);
        naive::accumulate(&mut plain, &y);
        naive::accumulate(&mut exact, &oracle::widen(&y));
        oracle::check(&got, &plain, &exact).unwrap();
        scale_in_place(-3.0, &mut got);
        naive::scale_in_place(-3.0, &mut plain);
        naive::scale_in_place(-3.0, &mut exact);
        oracle::check(&got, &plain, &exact).unwrap();
    }
}

#[test]
#[should_panic(expected = "lengths of x and y")]
fn unary_refuses_other_lengths() {
    unary(Unary::Exp, &[0.0; 3], &mut [0.0; 4]);
}

#[test]
#[should_panic(expected = "lengths of (saved, dx)")]
fn unary_backward_refuses_what_is_not_saved() {
    let out_of_place = || unary_backward(Unary::Exp, &[], &[0.0; 4], &mut [0.0; 4]);
    assert!(std::panic::catch_unwind(out_of_place).is_err());
    unary_backward_in_place(Unary::Exp, &[], &mut [0.0; 4]);
}
