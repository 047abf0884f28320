use super::*;
use crate::oracle::{check, values, widen};
use crate::trials::{ODD_MATRICES, assert_same_on_any_number_of_threads, runs};

const SHAPES: [(usize, usize); 9] = [(0, 7), (5, 0), (1, 1), (5, 1), (5, 7), (1, 33), (5, 65), (3, 130), (2, 1031)];

fn check_each(what: &str, got: &[&[f32]], plain: &[&[f32]], exact: &[&[f64]]) {
    for (i, ((got, plain), exact)) in got.iter().zip(plain).zip(exact).enumerate() {
        check(got, plain, exact).unwrap_or_else(|e| panic!("{what}, output {i}: {e}"));
    }
}

#[track_caller]
fn assert_added(sum: &[f32], before: f32, dx: &[f32], what: &str) {
    let is_added = |(&sum, &dx): (&f32, &f32)| sum == before + dx || (sum.is_nan() && dx.is_nan());
    assert!(sum.len() == dx.len() && sum.iter().zip(dx).all(is_added), "{what}: dx is added to what was there");
}

/// Both directions, with and without the parameters.
fn check_all(rows: usize, c: usize, eps: f32, x: &[f32]) {
    let (gamma, beta, dy) = (values(2, c), values(3, c), values(4, rows * c));
    let (wide_x, wide_gamma, wide_beta) = (widen(x), widen(&gamma), widen(&beta));
    for on in [false, true] {
        let (gamma, beta) = (on.then_some(&gamma[..]), on.then_some(&beta[..]));
        let (wide_gamma, wide_beta) = (on.then_some(&wide_gamma[..]), on.then_some(&wide_beta[..]));
        let (mut y, mut mean, mut rstd) = (vec![7.0; x.len()], vec![7.0; rows], vec![7.0; rows]);
        let input = Input { rows, c, eps, x, gamma, beta };
        naive::forward(input, Output { y: &mut y, mean: &mut mean, rstd: &mut rstd });
        let (mut ey, mut em, mut er) = (vec![7.0; x.len()], vec![7.0; rows], vec![7.0; rows]);
        let wide_input = Input { rows, c, eps, x: &wide_x, gamma: wide_gamma, beta: wide_beta };
        naive::forward(wide_input, Output { y: &mut ey, mean: &mut em, rstd: &mut er });
        for (name, isa, run) in runs(&FORWARD_RUNGS) {
            let (mut gy, mut gm, mut gr) = (vec![7.0; x.len()], vec![7.0; rows], vec![7.0; rows]);
            run(isa, input, Output { y: &mut gy, mean: &mut gm, rstd: &mut gr });
            check_each(&format!("{name} {isa} {rows}×{c}"), &[&gy, &gm, &gr], &[&y, &mean, &rstd], &[&ey, &em, &er]);
        }
        let (wide_mean, wide_rstd) = (widen(&mean), widen(&rstd));
        let (mut dx, mut dg, mut db) = (vec![7.0; x.len()], vec![7.0; c], vec![7.0; c]);
        let input = BackwardInput { rows, c, x, gamma, mean: &mean, rstd: &rstd, dy: &dy };
        naive::backward(input, Gradients { dx: &mut dx, add: false, dgamma: Some(&mut dg), dbeta: Some(&mut db) });
        let (mut ex, mut eg, mut eb) = (vec![7.0; x.len()], vec![7.0; c], vec![7.0; c]);
        let (x, gamma, wide_dy) = (&wide_x, wide_gamma, widen(&dy));
        let wide_input = BackwardInput { rows, c, x, gamma, mean: &wide_mean, rstd: &wide_rstd, dy: &wide_dy };
        let wide = Gradients { dx: &mut ex, add: false, dgamma: Some(&mut eg), dbeta: Some(&mut eb) };
        naive::backward(wide_input, wide);
        for (name, isa, run) in runs(&BACKWARD_RUNGS) {
            let backward = |dx: &mut [f32], add, dgamma: Option<&mut Vec<f32>>, dbeta: Option<&mut Vec<f32>>| {
                let (dgamma, dbeta) = (dgamma.map(|d| &mut d[..]), dbeta.map(|d| &mut d[..]));
                run(isa, input, Gradients { dx, add, dgamma, dbeta });
            };
            let (mut gx, mut gg, mut gb) = (vec![7.0; x.len()], vec![7.0; c], vec![7.0; c]);
            backward(&mut gx, false, Some(&mut gg), Some(&mut gb));
            check_each(&format!("{name} {isa} {rows}×{c}"), &[&gx, &gg, &gb], &[&dx, &dg, &db], &[&ex, &eg, &eb]);
            let (mut hx, mut hg, mut hb) = (vec![7.0; x.len()], vec![7.0; c], vec![7.0; c]);
            backward(&mut hx, false, Some(&mut hg), None);
            backward(&mut hx, false, None, Some(&mut hb));
            backward(&mut hx, false, None, None);
            let same = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(
                same(&hx, &gx) && same(&hg, &gg) && same(&hb, &gb),
                "{name} {isa} {rows}×{c}: what is asked for changes the rest"
            );
            let mut sum = vec![7.0; x.len()];
            backward(&mut sum, true, None, None);
            assert_added(&sum, 7.0, &gx, &format!("{name} {isa} {rows}×{c}"));
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
        // A mean far from zero: a variance as mean(x²) − μ² would have no right digit.
        let x: Vec<f32> = values(1, rows * c).iter().map(|x| 1000.0 + x).collect();
        check_all(rows, c, 1e-5, &x);
    }
}

/// Rows of every size side by side, as the fast rungs take several at a time: each is as it is alone.
#[test]
fn a_row_of_another_size_changes_no_other() {
    for c in [7, 67, 300] {
        let sizes = [1.0, 1e25, 1.0, f32::INFINITY, 1e-25, 1.0, 1e37, f32::NAN, 1.0];
        let all: Vec<f32> = values(5, sizes.len() * c).iter().enumerate().map(|(i, x)| x * sizes[i / c]).collect();
        let forward_of = |run: Forward, isa, x: &[f32]| {
            let rows = x.len() / c;
            let (mut y, mut mean, mut rstd) = (vec![7.0; x.len()], vec![7.0; rows], vec![7.0; rows]);
            let input = Input { rows, c, eps: 1e-5, x, gamma: None, beta: None };
            run(isa, input, Output { y: &mut y, mean: &mut mean, rstd: &mut rstd });
            (y, rstd)
        };
        for (name, isa, run) in runs(&FORWARD_RUNGS) {
            let (y, rstd) = forward_of(run, isa, &all);
            for (r, &size) in sizes.iter().enumerate() {
                let got = &y[r * c..][..c];
                if !size.is_finite() {
                    assert!(got.iter().all(|y| y.is_nan()), "{name} {isa} {c}: row {r} of {size}");
                    continue;
                }
                let (alone, rstd_alone) = forward_of(run, isa, &all[r * c..][..c]);
                let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 2e-6;
                assert!(got.iter().zip(&alone).all(close), "{name} {isa} {c}: row {r} of {size}");
                assert!((rstd[r] / rstd_alone[0] - 1.0).abs() <= 1e-6, "{name} {isa} {c}: row {r} of {size}");
                let mean_square = got.iter().map(|y| y * y).sum::<f32>() / c as f32;
                let expected = if size < 1.0 { 0.0 } else { 1.0 }; // eps is more than a small row varies by
                assert!((mean_square - expected).abs() < 1e-3, "{name} {isa} {c}: row {r} of {size}: {mean_square}");
            }
        }
    }
}

#[test]
fn constant_rows_and_nan() {
    let (rows, c) = (3, 37);
    let mut x = vec![2.0; rows * c];
    x[c + 36] = f32::NAN;
    check_all(rows, c, 1e-5, &x);
    let (mut y, mut mean, mut rstd) = (vec![7.0; x.len()], [0.0; 3], [0.0; 3]);
    let input = Input { rows, c, eps: 1e-5, x: &x, gamma: None, beta: Some(&vec![0.5; c]) };
    forward(input, Output { y: &mut y, mean: &mut mean, rstd: &mut rstd });
    assert_eq!((&y[..c], mean[0]), (&vec![0.5; c][..], 2.0));
    assert!(y[c..2 * c].iter().all(|y| y.is_nan()));
}

#[test]
fn gradients_agree_with_central_differences() {
    let (rows, c, h) = (3, 7, 1e-5);
    let inputs = [widen(&values(5, rows * c)), widen(&values(6, c)), widen(&values(7, c))];
    let dy = widen(&values(8, rows * c));
    let run = |[x, gamma, beta]: &[Vec<f64>; 3]| {
        let (mut y, mut mean, mut rstd) = (vec![0.0; rows * c], vec![0.0; rows], vec![0.0; rows]);
        let input = Input { rows, c, eps: 1e-5, x, gamma: Some(gamma), beta: Some(beta) };
        naive::forward(input, Output { y: &mut y, mean: &mut mean, rstd: &mut rstd });
        (y.iter().zip(&dy).map(|(y, dy)| y * dy).sum::<f64>(), mean, rstd)
    };
    let (_, mean, rstd) = run(&inputs);
    let mut d = [vec![7.0; rows * c], vec![7.0; c], vec![7.0; c]];
    let [dx, dgamma, dbeta] = &mut d;
    let (x, gamma) = (&inputs[0], Some(&inputs[1][..]));
    let input = BackwardInput { rows, c, x, gamma, mean: &mean, rstd: &rstd, dy: &dy };
    naive::backward(input, Gradients { dx, add: false, dgamma: Some(dgamma), dbeta: Some(dbeta) });
    for which in 0..3 {
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
    let (mean, rstd) = (values(10, rows), values(11, rows));
    let gamma_of = Some(&gamma[..]);
    let input = Input { rows, c, eps: 1e-5, x: &x, gamma: gamma_of, beta: None };
    for (name, isa, run) in runs(&FORWARD_RUNGS) {
        assert_same_on_any_number_of_threads(&format!("{name} {isa} {rows}×{c}"), || {
            let [mut y, mut mean, mut rstd] = [x.len(), rows, rows].map(|n| vec![7.0; n]);
            run(isa, input, Output { y: &mut y, mean: &mut mean, rstd: &mut rstd });
            [y, mean, rstd]
        });
    }
    for (name, isa, run) in runs(&ADD_FORWARD_RUNGS) {
        assert_same_on_any_number_of_threads(&format!("{name} {isa} {rows}×{c}, of a sum"), || {
            let [mut h, mut y, mut mean, mut rstd] = [x.len(), x.len(), rows, rows].map(|n| vec![7.0; n]);
            run(isa, input, &dy, &mut h, Output { y: &mut y, mean: &mut mean, rstd: &mut rstd });
            [h, y, mean, rstd]
        });
    }
    let input = BackwardInput { rows, c, x: &x, gamma: gamma_of, mean: &mean, rstd: &rstd, dy: &dy };
    for (name, isa, run) in runs(&BACKWARD_RUNGS) {
        assert_same_on_any_number_of_threads(&format!("{name} {isa} {rows}×{c}, backward"), || {
            let [mut dx, mut dg, mut db] = [x.len(), c, c].map(|n| vec![7.0; n]);
            run(isa, input, Gradients { dx: &mut dx, add: false, dgamma: Some(&mut dg), dbeta: Some(&mut db) });
            [dx, dg, db]
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
            let (mut y, mut mean, mut rstd) = (vec![0.0; x.len()], vec![0.0; rows], vec![0.0; rows]);
            let (x, gamma) = (&x, Some(&gamma[..]));
            let input = Input { rows, c, eps: 1e-5, x, gamma, beta: None };
            forward(isa, input, Output { y: &mut y, mean: &mut mean, rstd: &mut rstd });
            let (mut dx, mut dg, mut db) = (vec![0.0; x.len()], vec![0.0; c], vec![0.0; c]);
            let input = BackwardInput { rows, c, x, gamma, mean: &mean, rstd: &rstd, dy: &dy };
            backward(isa, input, Gradients { dx: &mut dx, add: false, dgamma: Some(&mut dg), dbeta: Some(&mut db) });
            [y, mean, rstd, dx, dg, db]
        };
        assert!(all(threads::forward, threads::backward) == all(streamed::forward, streamed::backward), "{isa}");
    }
}

#[test]
fn the_norm_of_a_sum_keeps_to_the_oracle() {
    let sizes = |shape| [1.0, 1e-30, 1e19, 1e30].map(|size| (shape, size));
    for ((rows, c), size) in SHAPES.into_iter().flat_map(sizes).chain([((3001, 67), 1.0), ((70_001, 67), 1.0)]) {
        let times = |x: Vec<f32>| x.into_iter().map(|x| x * size).collect::<Vec<_>>();
        let [x, added] = [1, 2].map(|seed| times(values(seed, rows * c)));
        let (gamma, beta) = (values(3, c), values(4, c));
        let (wide_x, wide_added, wide_gamma, wide_beta) = (widen(&x), widen(&added), widen(&gamma), widen(&beta));
        for on in [false, true] {
            let (gamma, beta) = (on.then_some(&gamma[..]), on.then_some(&beta[..]));
            let (wide_gamma, wide_beta) = (on.then_some(&wide_gamma[..]), on.then_some(&wide_beta[..]));
            let [mut eh, mut ey, mut em, mut er] = [rows * c, rows * c, rows, rows].map(|n| vec![7.0; n]);
            let wide_input = Input { rows, c, eps: 1e-5, x: &wide_x, gamma: wide_gamma, beta: wide_beta };
            let output = Output { y: &mut ey, mean: &mut em, rstd: &mut er };
            residual::naive(wide_input, &wide_added, &mut eh, output);
            let run = |run: AddForward, isa| {
                let [mut h, mut y, mut m, mut r] = [rows * c, rows * c, rows, rows].map(|n| vec![7.0; n]);
                let input = Input { rows, c, eps: 1e-5, x: &x, gamma, beta };
                run(isa, input, &added, &mut h, Output { y: &mut y, mean: &mut m, rstd: &mut r });
                [h, y, m, r]
            };
            let plain = run(ADD_FORWARD_RUNGS[0].run, Isa::Portable);
            for (name, isa, rung) in runs(&ADD_FORWARD_RUNGS) {
                let [h, y, m, r] = run(rung, isa);
                assert!(h == plain[0], "{name} {isa} {rows}×{c}: h is the sum");
                let plain = [&plain[1][..], &plain[2], &plain[3]];
                check_each(&format!("{name} {isa} {rows}×{c}"), &[&y, &m, &r], &plain, &[&ey, &em, &er]);
            }
        }
    }
}

#[test]
fn the_norm_of_a_sum_refuses_wrong_lengths() {
    for (name, isa, run) in runs(&ADD_FORWARD_RUNGS) {
        let right = [6_usize, 6, 6, 6, 2, 2];
        for (i, change) in (0..6).flat_map(|i| [(i, 0), (i, 1), (i, usize::MAX)]) {
            let mut lens = right;
            lens[i] = lens[i].wrapping_add(change);
            let [x, added, mut h, mut y, mut m, mut r] = lens.map(|n| vec![0.0; n]);
            let input = Input { rows: 2, c: 3, eps: 0.1, x: &x, gamma: None, beta: None };
            let call = || run(isa, input, &added, &mut h, Output { y: &mut y, mean: &mut m, rstd: &mut r });
            let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).is_err();
            assert_eq!(refused, change != 0, "{name} {isa} {lens:?}");
        }
    }
}

#[test]
fn wrong_lengths_are_refused() {
    let refused = |f: &dyn Fn()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).is_err();
    let z = |len: usize| vec![0.0; len];
    for (name, isa, run) in runs(&FORWARD_RUNGS) {
        let refuses = |[x, gamma, beta, y, mean, rstd]: [usize; 6]| {
            refused(&|| {
                let (x, gamma, beta) = (z(x), z(gamma), z(beta));
                let input = Input { rows: 2, c: 3, eps: 0.1, x: &x, gamma: Some(&gamma), beta: Some(&beta) };
                run(isa, input, Output { y: &mut z(y), mean: &mut z(mean), rstd: &mut z(rstd) });
            })
        };
        let right = [6, 3, 3, 6, 2, 2];
        assert!(!refuses(right), "{name} {isa}");
        for i in 0..6 {
            for change in [1, usize::MAX] {
                let mut wrong = right;
                wrong[i] = wrong[i].wrapping_add(change);
                assert!(refuses(wrong), "{name} {isa} {wrong:?}");
            }
        }
    }
    for (name, isa, run) in runs(&BACKWARD_RUNGS) {
        let refuses = |[x, gamma, mean, rstd, dy, dx, dgamma, dbeta]: [usize; 8]| {
            refused(&|| {
                let (x, gamma, mean, rstd, dy) = (z(x), z(gamma), z(mean), z(rstd), z(dy));
                let (x, gamma, mean, rstd, dy) = (&x[..], Some(&gamma[..]), &mean[..], &rstd[..], &dy[..]);
                let (mut dx, mut dg, mut db) = (z(dx), z(dgamma), z(dbeta));
                let gradients = Gradients { dx: &mut dx, add: false, dgamma: Some(&mut dg), dbeta: Some(&mut db) };
                run(isa, BackwardInput { rows: 2, c: 3, x, gamma, mean, rstd, dy }, gradients);
            })
        };
        let right = [6, 3, 2, 2, 6, 6, 3, 3];
        assert!(!refuses(right), "{name} {isa}");
        for i in 0..8 {
            for change in [1, usize::MAX] {
                let mut wrong = right;
                wrong[i] = wrong[i].wrapping_add(change);
                assert!(refuses(wrong), "{name} {isa} {wrong:?}");
            }
        }
    }
}
