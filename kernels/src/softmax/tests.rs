use super::*;
use crate::oracle::{check, values, widen};
use crate::trials::{ODD_MATRICES, assert_same_on_any_number_of_threads, runs};

const SHAPES: [(usize, usize); 9] = [(0, 7), (5, 0), (1, 1), (5, 1), (5, 7), (1, 33), (5, 65), (3, 130), (2, 1031)];

fn check_forward(
    rungs: &'static [Rung<Forward>],
    exact: fn(usize, usize, &[f64], &mut [f64]),
    rows: usize,
    c: usize,
    x: &[f32],
) {
    let (mut plain, mut oracle) = (vec![7.0; x.len()], vec![7.0; x.len()]);
    (rungs[0].run)(Isa::Portable, rows, c, x, &mut plain);
    exact(rows, c, &widen(x), &mut oracle);
    for (name, isa, run) in runs(rungs) {
        let mut y = vec![7.0; x.len()];
        run(isa, rows, c, x, &mut y);
        check(&y, &plain, &oracle).unwrap_or_else(|e| panic!("{name} {isa} {rows}×{c}: {e}"));
    }
}

fn check_backward(
    rungs: &'static [Rung<Backward>],
    exact: fn(usize, usize, &[f64], &[f64], &mut [f64]),
    rows: usize,
    c: usize,
    y: &[f32],
    dy: &[f32],
) {
    let (mut plain, mut oracle) = (vec![7.0; y.len()], vec![7.0; y.len()]);
    (rungs[0].run)(Isa::Portable, rows, c, y, dy, &mut plain);
    exact(rows, c, &widen(y), &widen(dy), &mut oracle);
    for (name, isa, run) in runs(rungs) {
        let mut dx = vec![7.0; y.len()];
        run(isa, rows, c, y, dy, &mut dx);
        check(&dx, &plain, &oracle).unwrap_or_else(|e| panic!("{name} {isa} {rows}×{c}: {e}"));
    }
}

fn check_all(rows: usize, c: usize, x: &[f32]) {
    let dy = values(2, x.len());
    let mut y = vec![0.0; x.len()];
    check_forward(&FORWARD_RUNGS, naive::forward, rows, c, x);
    naive::forward(rows, c, x, &mut y);
    check_backward(&BACKWARD_RUNGS, naive::backward, rows, c, &y, &dy);
    check_forward(&LOG_FORWARD_RUNGS, naive::log_forward, rows, c, x);
    naive::log_forward(rows, c, x, &mut y);
    check_backward(&LOG_BACKWARD_RUNGS, naive::log_backward, rows, c, &y, &dy);
}

#[test]
fn every_rung_keeps_to_the_oracle() {
    for (rows, c) in SHAPES {
        // Moderate, large, so small that the exponentials are denormal, and denormal themselves.
        for size in [1.0, 1e4, 90.0, 1e-40] {
            let x: Vec<f32> = values(1, rows * c).iter().map(|x| x * size).collect();
            check_all(rows, c, &x);
        }
    }
}

#[test]
fn masked_elements_rows_and_nan() {
    let (rows, c) = (5, 37);
    let mut x = values(3, rows * c);
    x[..c].fill(f32::NEG_INFINITY);
    x[c..2 * c - 1].fill(f32::NEG_INFINITY); // one left, in the tail
    x[2 * c + 20] = f32::NAN;
    x[3 * c + 1] = f32::NEG_INFINITY;
    x[4 * c..].fill(-3e38);
    check_forward(&FORWARD_RUNGS, naive::forward, rows, c, &x);
    check_forward(&LOG_FORWARD_RUNGS, naive::log_forward, rows, c, &x);
    let mut y = vec![7.0; x.len()];
    forward(rows, c, &x, &mut y);
    assert_eq!(y[..c], vec![0.0; c]);
    assert_eq!(y[2 * c - 1], 1.0);
    assert!(y[2 * c..3 * c].iter().all(|y| y.is_nan()));
    let mut dx = vec![7.0; c];
    backward(1, c, &y[..c], &values(4, c), &mut dx);
    assert_eq!(dx, vec![0.0; c]);
    x[c..2 * c].fill(f32::INFINITY); // no softmax either: NaN, where one of a row is infinite as well
    x[3 * c + 36] = f32::INFINITY;
    check_forward(&FORWARD_RUNGS, naive::forward, rows, c, &x);
    check_forward(&LOG_FORWARD_RUNGS, naive::log_forward, rows, c, &x);
    log_forward(rows, c, &x, &mut y);
    assert_eq!(y[..c], vec![f32::NEG_INFINITY; c]);
    // Every element NaN: a maximum that ignores NaN finds nothing, and the row still has to be NaN.
    for (name, isa, run) in runs(&FORWARD_RUNGS) {
        run(isa, 1, c, &vec![f32::NAN; c], &mut y[..c]);
        assert!(y[..c].iter().all(|y| y.is_nan()), "{name} {isa}");
    }
}

#[test]
fn gradients_agree_with_central_differences() {
    let (rows, c, h) = (3, 7, 1e-5);
    let (x, dy) = (widen(&values(5, rows * c)), widen(&values(6, rows * c)));
    type Op = (fn(usize, usize, &[f64], &mut [f64]), fn(usize, usize, &[f64], &[f64], &mut [f64]));
    let ops: [Op; 2] = [(naive::forward, naive::backward), (naive::log_forward, naive::log_backward)];
    for (forward, backward) in ops {
        let loss = |x: &[f64]| -> f64 {
            let mut y = vec![0.0; x.len()];
            forward(rows, c, x, &mut y);
            y.iter().zip(&dy).map(|(y, dy)| y * dy).sum()
        };
        let (mut y, mut dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        forward(rows, c, &x, &mut y);
        backward(rows, c, &y, &dy, &mut dx);
        for i in 0..x.len() {
            let (mut up, mut down) = (x.clone(), x.clone());
            up[i] += h;
            down[i] -= h;
            let difference = (loss(&up) - loss(&down)) / (2.0 * h);
            approx::assert_abs_diff_eq!(dx[i], difference, epsilon = 1e-9);
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
    let (x, dy) = (values(7, rows * c), values(8, rows * c));
    for (name, isa, run) in runs(&FORWARD_RUNGS).chain(runs(&LOG_FORWARD_RUNGS)) {
        assert_same_on_any_number_of_threads(&format!("{name} {isa} {rows}×{c}"), || {
            let mut y = vec![7.0; x.len()];
            run(isa, rows, c, &x, &mut y);
            [y]
        });
    }
    for (name, isa, run) in runs(&BACKWARD_RUNGS).chain(runs(&LOG_BACKWARD_RUNGS)) {
        assert_same_on_any_number_of_threads(&format!("{name} {isa} {rows}×{c}, backward"), || {
            let mut dx = vec![7.0; x.len()];
            run(isa, rows, c, &x, &dy, &mut dx);
            [dx]
        });
    }
    check_all(rows, c, &x);
}

#[test]
fn results_past_the_caches_are_the_same_bits() {
    let (rows, c) = (9, 500_007); // more than 16 MiB, with rows on and off a vector's boundary
    let (x, dy) = (values(7, rows * c), values(8, rows * c));
    let (mut near, mut far) = (vec![7.0; x.len()], vec![8.0; x.len()]);
    let ladders: [&[Rung<Forward>]; 2] = [&FORWARD_RUNGS, &LOG_FORWARD_RUNGS];
    for isa in Isa::available() {
        for rungs in ladders {
            (rungs[3].run)(isa, rows, c, &x, &mut near);
            (rungs[4].run)(isa, rows, c, &x, &mut far);
            assert!(near == far, "{isa}");
        }
        for rungs in [&BACKWARD_RUNGS, &LOG_BACKWARD_RUNGS] {
            (rungs[2].run)(isa, rows, c, &x, &dy, &mut near);
            (rungs[3].run)(isa, rows, c, &x, &dy, &mut far);
            assert!(near == far, "{isa}");
        }
    }
}

#[test]
fn wrong_lengths_are_refused() {
    let refused = |f: &dyn Fn()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).is_err();
    for (name, isa, run) in runs(&FORWARD_RUNGS).chain(runs(&LOG_FORWARD_RUNGS)) {
        assert!(refused(&|| run(isa, 2, 3, &[0.0; 6], &mut [0.0; 5])), "{name} {isa}");
        assert!(refused(&|| run(isa, 2, 3, &[0.0; 7], &mut [0.0; 6])), "{name} {isa}");
        assert!(refused(&|| run(isa, usize::MAX, 2, &[0.0; 6], &mut [0.0; 6])), "{name} {isa}");
    }
    for (name, isa, run) in runs(&BACKWARD_RUNGS).chain(runs(&LOG_BACKWARD_RUNGS)) {
        assert!(refused(&|| run(isa, 2, 3, &[0.0; 6], &[0.0; 6], &mut [0.0; 5])), "{name} {isa}");
        assert!(refused(&|| run(isa, 2, 3, &[0.0; 6], &[0.0; 7], &mut [0.0; 6])), "{name} {isa}");
        assert!(refused(&|| run(isa, 2, 3, &[0.0; 5], &[0.0; 6], &mut [0.0; 6])), "{name} {isa}");
    }
}
