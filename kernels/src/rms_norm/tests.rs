use super::*;
use crate::oracle::{check, values, widen};
use crate::trials::{ODD_MATRICES, assert_same_on_any_number_of_threads, runs};

const SHAPES: [(usize, usize); 9] = [(0, 7), (5, 0), (1, 1), (5, 1), (5, 7), (1, 33), (5, 65), (3, 130), (2, 1031)];

fn check_each(what: &str, got: &[&[f32]], plain: &[&[f32]], exact: &[&[f64]]) {
    for (i, ((got, plain), exact)) in got.iter().zip(plain).zip(exact).enumerate() {
        check(got, plain, exact).unwrap_or_else(|e| panic!("{what}, output {i}: {e}"));
    }
}

/// Both directions, with and without the parameter.
fn check_all(rows: usize, c: usize, eps: f32, x: &[f32]) {
    let (gamma, dy) = (values(2, c), values(4, rows * c));
    let (wide_x, wide_gamma, wide_dy) = (widen(x), widen(&gamma), widen(&dy));
    for on in [false, true] {
        let (gamma, wide_gamma) = (on.then_some(&gamma[..]), on.then_some(&wide_gamma[..]));
        let (mut y, mut rrms) = (vec![7.0; x.len()], vec![7.0; rows]);
        let input = Input { rows, c, eps, x, gamma };
        naive::forward(input, Output { y: &mut y, rrms: &mut rrms });
        let (mut ey, mut er) = (vec![7.0; x.len()], vec![7.0; rows]);
        let wide_input = Input { rows, c, eps, x: &wide_x, gamma: wide_gamma };
        naive::forward(wide_input, Output { y: &mut ey, rrms: &mut er });
        for (name, isa, run) in runs(&FORWARD_RUNGS) {
            let (mut gy, mut gr) = (vec![7.0; x.len()], vec![7.0; rows]);
            run(isa, input, Output { y: &mut gy, rrms: &mut gr });
            check_each(&format!("{name} {isa} {rows}×{c}"), &[&gy, &gr], &[&y, &rrms], &[&ey, &er]);
        }
        let (mut dx, mut dg) = (vec![7.0; x.len()], vec![7.0; c]);
        let input = BackwardInput { rows, c, x, gamma, rrms: &rrms, dy: &dy };
        naive::backward(input, Gradients { dx: &mut dx, add: false, dgamma: Some(&mut dg) });
        let (mut ex, mut eg) = (vec![7.0; x.len()], vec![7.0; c]);
        let (x, gamma, wide_rrms) = (&wide_x, wide_gamma, widen(&rrms));
        let wide_input = BackwardInput { rows, c, x, gamma, rrms: &wide_rrms, dy: &wide_dy };
        naive::backward(wide_input, Gradients { dx: &mut ex, add: false, dgamma: Some(&mut eg) });
        // In short rows the two terms of dx nearly cancel: what may be wrong is a rounding of the terms, not of the rest.
        let largest_rrms = rrms.iter().copied().filter(|r| r.is_finite()).fold(0.0, f32::max);
        let term = largest_rrms * dy.iter().fold(0.0, |m: f32, d| m.max(d.abs()));
        dx.push(term);
        ex.push(f64::from(term));
        for (name, isa, run) in runs(&BACKWARD_RUNGS) {
            let (mut gx, mut gg) = (vec![7.0; x.len()], vec![7.0; c]);
            run(isa, input, Gradients { dx: &mut gx, add: false, dgamma: Some(&mut gg) });
            let mut alone = vec![7.0; x.len()];
            run(isa, input, Gradients { dx: &mut alone, add: false, dgamma: None });
            assert!(alone.iter().zip(&gx).all(|(a, b)| a.to_bits() == b.to_bits()), "{name} {isa} {rows}×{c}");
            let mut sum = vec![7.0; x.len()];
            run(isa, input, Gradients { dx: &mut sum, add: true, dgamma: None });
            let is_added = |(&sum, &dx): (&f32, &f32)| sum == 7.0 + dx || (sum.is_nan() && dx.is_nan());
            assert!(sum.iter().zip(&gx).all(is_added), "{name} {isa} {rows}×{c}: dx is added to what was there");
            gx.push(term);
            check_each(&format!("{name} {isa} {rows}×{c}"), &[&gx, &gg], &[&dx, &dg], &[&ex, &eg]);
        }
    }
}

#[test]
fn every_rung_keeps_to_the_oracle() {
    for (rows, c) in SHAPES {
        for size in [1.0, 1e4, 1e-3, 1e-40, 1e-30, 1e19, 1e30, 1e37] {
            let x: Vec<f32> = values(1, rows * c).iter().map(|x| x * size).collect();
            check_all(rows, c, 1e-5, &x);
        }
        for size in [1e-30, 1e-19, 1e19, 1e37] {
            let x: Vec<f32> = values(1, rows * c).iter().map(|x| x * size).collect();
            check_all(rows, c, 0.0, &x);
        }
    }
    let mut x = values(6, 3 * 37); // ∞ leaves its row with zeros beside one NaN
    x[40] = f32::INFINITY;
    check_all(3, 37, 1e-5, &x);
    let mut x = vec![0.0; 3 * 37]; // rows of zeros, and a NaN in a tail
    x[73] = f32::NAN;
    check_all(3, 37, 1e-5, &x);
}

#[test]
fn gradients_agree_with_central_differences() {
    let (rows, c, h) = (3, 7, 1e-5);
    let inputs = [widen(&values(5, rows * c)), widen(&values(6, c))];
    let dy = widen(&values(8, rows * c));
    let run = |[x, gamma]: &[Vec<f64>; 2]| {
        let (mut y, mut rrms) = (vec![0.0; rows * c], vec![0.0; rows]);
        let input = Input { rows, c, eps: 1e-5, x, gamma: Some(gamma) };
        naive::forward(input, Output { y: &mut y, rrms: &mut rrms });
        (y.iter().zip(&dy).map(|(y, dy)| y * dy).sum::<f64>(), rrms)
    };
    let (_, rrms) = run(&inputs);
    let mut d = [vec![7.0; rows * c], vec![7.0; c]];
    let [dx, dgamma] = &mut d;
    let input = BackwardInput { rows, c, x: &inputs[0], gamma: Some(&inputs[1]), rrms: &rrms, dy: &dy };
    naive::backward(input, Gradients { dx, add: false, dgamma: Some(dgamma) });
    for which in 0..2 {
        for i in 0..inputs[which].len() {
            let (mut up, mut down) = (inputs.clone(), inputs.clone());
            up[which][i] += h;
            down[which][i] -= h;
            let difference = (run(&up).0 - run(&down).0) / (2.0 * h);
            approx::assert_abs_diff_eq!(d[which][i], difference, epsilon = 1e-8);
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for (rows, c) in ODD_MATRICES {
        same_on_any_number_of_threads(rows, c);
    }
}

fn same_on_any_number_of_threads(rows: usize, c: usize) {
    let (x, gamma, dy) = (values(7, rows * c), values(8, c), values(9, rows * c));
    for (name, isa, run) in runs(&FORWARD_RUNGS) {
        let input = Input { rows, c, eps: 1e-5, x: &x, gamma: Some(&gamma) };
        assert_same_on_any_number_of_threads(&format!("{name} {isa} {rows}×{c}"), || {
            let (mut y, mut rrms) = (vec![7.0; x.len()], vec![7.0; rows]);
            run(isa, input, Output { y: &mut y, rrms: &mut rrms });
            [y, rrms]
        });
    }
    let rrms = values(10, rows);
    for (name, isa, run) in runs(&BACKWARD_RUNGS) {
        let input = BackwardInput { rows, c, x: &x, gamma: Some(&gamma), rrms: &rrms, dy: &dy };
        assert_same_on_any_number_of_threads(&format!("{name} {isa} {rows}×{c}, backward"), || {
            let (mut dx, mut dg) = (vec![7.0; x.len()], vec![7.0; c]);
            run(isa, input, Gradients { dx: &mut dx, add: false, dgamma: Some(&mut dg) });
            [dx, dg]
        });
    }
    check_all(rows, c, 1e-5, &x);
}

#[test]
fn results_past_the_caches_are_the_same_bits() {
    let (rows, c) = (70_001, 67); // more than 16 MiB, with rows on and off a vector's boundary
    let (x, gamma, dy) = (values(7, rows * c), values(8, c), values(9, rows * c));
    for isa in Isa::available() {
        let all = |forward: Forward, backward: Backward| {
            let (mut y, mut rrms) = (vec![0.0; x.len()], vec![0.0; rows]);
            forward(
                isa,
                Input { rows, c, eps: 1e-5, x: &x, gamma: Some(&gamma) },
                Output { y: &mut y, rrms: &mut rrms },
            );
            let (mut dx, mut dg) = (vec![0.0; x.len()], vec![0.0; c]);
            let input = BackwardInput { rows, c, x: &x, gamma: Some(&gamma), rrms: &rrms, dy: &dy };
            backward(isa, input, Gradients { dx: &mut dx, add: false, dgamma: Some(&mut dg) });
            [y, rrms, dx, dg]
        };
        assert!(all(threads::forward, threads::backward) == all(streamed::forward, streamed::backward), "{isa}");
    }
}

#[test]
fn wrong_lengths_are_refused() {
    let refused = |f: &dyn Fn()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).is_err();
    let z = |len: usize| vec![0.0; len];
    for (name, isa, run) in runs(&FORWARD_RUNGS) {
        let refuses = |[x, gamma, y, rrms]: [usize; 4]| {
            refused(&|| {
                let (x, gamma) = (z(x), z(gamma));
                let input = Input { rows: 2, c: 3, eps: 0.1, x: &x, gamma: Some(&gamma) };
                run(isa, input, Output { y: &mut z(y), rrms: &mut z(rrms) });
            })
        };
        assert!(!refuses([6, 3, 6, 2]), "{name} {isa}");
        for wrong in [[5, 3, 6, 2], [6, 2, 6, 2], [6, 4, 6, 2], [6, 3, 7, 2], [6, 3, 6, 1], [6, 3, 6, 3]] {
            assert!(refuses(wrong), "{name} {isa} {wrong:?}");
        }
    }
    for (name, isa, run) in runs(&BACKWARD_RUNGS) {
        let refuses = |[x, gamma, rrms, dy, dx, dgamma]: [usize; 6]| {
            refused(&|| {
                let (x, gamma, rrms, dy) = (z(x), z(gamma), z(rrms), z(dy));
                let input = BackwardInput { rows: 2, c: 3, x: &x, gamma: Some(&gamma), rrms: &rrms, dy: &dy };
                run(isa, input, Gradients { dx: &mut z(dx), add: false, dgamma: Some(&mut z(dgamma)) });
            })
        };
        let right = [6, 3, 2, 6, 6, 3];
        assert!(!refuses(right), "{name} {isa}");
        for i in 0..6 {
            for change in [1, usize::MAX] {
                let mut wrong = right;
                wrong[i] = wrong[i].wrapping_add(change);
                assert!(refuses(wrong), "{name} {isa} {wrong:?}");
            }
        }
    }
}
