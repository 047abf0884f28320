use super::*;
use crate::oracle::{check, values, widen};
use std::fmt::Debug;

const SHAPES: [(usize, usize); 9] = [(0, 7), (5, 0), (1, 1), (5, 1), (5, 7), (1, 33), (5, 65), (3, 130), (2, 1031)];

fn runs<F: Copy + Debug>(rungs: &'static [Rung<F>]) -> impl Iterator<Item = (&'static str, Isa, F)> {
    rungs
        .iter()
        .flat_map(|r| Isa::available().filter(|&isa| r.simd || isa == Isa::Portable).map(|isa| (r.name, isa, r.run)))
}

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
        naive::forward(rows, c, eps, x, gamma, &mut y, &mut rrms);
        let (mut ey, mut er) = (vec![7.0; x.len()], vec![7.0; rows]);
        naive::forward(rows, c, eps, &wide_x, wide_gamma, &mut ey, &mut er);
        for (name, isa, run) in runs(&FORWARD_RUNGS) {
            let (mut gy, mut gr) = (vec![7.0; x.len()], vec![7.0; rows]);
            run(isa, rows, c, eps, x, gamma, &mut gy, &mut gr);
            check_each(&format!("{name} {isa} {rows}×{c}"), &[&gy, &gr], &[&y, &rrms], &[&ey, &er]);
        }
        let (mut dx, mut dg) = (vec![7.0; x.len()], vec![7.0; c]);
        naive::backward(rows, c, x, gamma, &rrms, &dy, &mut dx, false, Some(&mut dg));
        let (mut ex, mut eg) = (vec![7.0; x.len()], vec![7.0; c]);
        naive::backward(rows, c, &wide_x, wide_gamma, &widen(&rrms), &wide_dy, &mut ex, false, Some(&mut eg));
        // In short rows the two terms of dx nearly cancel: what may be wrong is a rounding of the terms, not of the rest.
        let largest_rrms = rrms.iter().copied().filter(|r| r.is_finite()).fold(0.0, f32::max);
        let term = largest_rrms * dy.iter().fold(0.0, |m: f32, d| m.max(d.abs()));
        dx.push(term);
        ex.push(f64::from(term));
        for (name, isa, run) in runs(&BACKWARD_RUNGS) {
            let (mut gx, mut gg) = (vec![7.0; x.len()], vec![7.0; c]);
            run(isa, rows, c, x, gamma, &rrms, &dy, &mut gx, false, Some(&mut gg));
            let mut alone = vec![7.0; x.len()];
            run(isa, rows, c, x, gamma, &rrms, &dy, &mut alone, false, None);
            assert!(alone.iter().zip(&gx).all(|(a, b)| a.to_bits() == b.to_bits()), "{name} {isa} {rows}×{c}");
            let mut sum = vec![7.0; x.len()];
            run(isa, rows, c, x, gamma, &rrms, &dy, &mut sum, true, None);
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
        for size in [1.0, 1e4, 1e-3, 1e-40] {
            let x: Vec<f32> = values(1, rows * c).iter().map(|x| x * size).collect();
            check_all(rows, c, 1e-5, &x);
        }
    }
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
        naive::forward(rows, c, 1e-5, x, Some(gamma), &mut y, &mut rrms);
        (y.iter().zip(&dy).map(|(y, dy)| y * dy).sum::<f64>(), rrms)
    };
    let mut d = [vec![7.0; rows * c], vec![7.0; c]];
    let [dx, dgamma] = &mut d;
    naive::backward(rows, c, &inputs[0], Some(&inputs[1]), &run(&inputs).1, &dy, dx, false, Some(dgamma));
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
    let (rows, c) = (3001, 67);
    let (x, gamma, dy) = (values(7, rows * c), values(8, c), values(9, rows * c));
    let all = |threads: usize| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let (mut y, mut rrms) = (vec![0.0; x.len()], vec![0.0; rows]);
            forward(rows, c, 1e-5, &x, Some(&gamma), &mut y, &mut rrms);
            let (mut dx, mut dg) = (vec![0.0; x.len()], vec![0.0; c]);
            backward(rows, c, &x, Some(&gamma), &rrms, &dy, &mut dx, false, Some(&mut dg));
            [y, rrms, dx, dg].concat().into_iter().map(f32::to_bits).collect::<Vec<_>>()
        })
    };
    let one = all(1);
    assert!(one == all(2) && one == all(4));
    check_all(rows, c, 1e-5, &x);
}

#[test]
fn results_past_the_caches_are_the_same_bits() {
    let (rows, c) = (70_001, 67); // more than 16 MiB, with rows on and off a vector's boundary
    let (x, gamma, dy) = (values(7, rows * c), values(8, c), values(9, rows * c));
    for isa in Isa::available() {
        let all = |forward: Forward, backward: Backward| {
            let (mut y, mut rrms) = (vec![0.0; x.len()], vec![0.0; rows]);
            forward(isa, rows, c, 1e-5, &x, Some(&gamma), &mut y, &mut rrms);
            let (mut dx, mut dg) = (vec![0.0; x.len()], vec![0.0; c]);
            backward(isa, rows, c, &x, Some(&gamma), &rrms, &dy, &mut dx, false, Some(&mut dg));
            [y, rrms, dx, dg]
        };
        assert!(all(threads::forward, threads::backward) == all(stream::forward, stream::backward), "{isa}");
    }
}

#[test]
fn wrong_lengths_are_refused() {
    let refused = |f: &dyn Fn()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).is_err();
    let z = |len: usize| vec![0.0; len];
    for (name, isa, run) in runs(&FORWARD_RUNGS) {
        let refuses = |[x, gamma, y, rrms]: [usize; 4]| {
            refused(&|| run(isa, 2, 3, 0.1, &z(x), Some(&z(gamma)), &mut z(y), &mut z(rrms)))
        };
        assert!(!refuses([6, 3, 6, 2]), "{name} {isa}");
        for wrong in [[5, 3, 6, 2], [6, 2, 6, 2], [6, 4, 6, 2], [6, 3, 7, 2], [6, 3, 6, 1], [6, 3, 6, 3]] {
            assert!(refuses(wrong), "{name} {isa} {wrong:?}");
        }
    }
    for (name, isa, run) in runs(&BACKWARD_RUNGS) {
        let refuses = |[x, gamma, rrms, dy, dx, dgamma]: [usize; 6]| {
            refused(&|| {
                let mut dgamma = z(dgamma);
                run(isa, 2, 3, &z(x), Some(&z(gamma)), &z(rrms), &z(dy), &mut z(dx), false, Some(&mut dgamma));
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
