use super::*;
use crate::oracle::{check, values, widen};
use crate::trials::{ODD_MATRICES, assert_same_on_any_number_of_threads, runs};

const SHAPES: [(usize, usize); 11] =
    [(0, 7), (1, 1), (5, 1), (5, 7), (1, 33), (70, 16), (67, 23), (5, 65), (3, 130), (2, 1031), (2, 6151)];
const PLAIN: Options = Options { ignore_index: None, label_smoothing: 0.0 };
const BOTH: Options = Options { ignore_index: Some(0), label_smoothing: 0.1 };

fn targets(rows: usize, v: usize) -> Vec<u32> {
    (0..rows).map(|r| ((r * 7 + v - 1) % v) as u32).collect()
}

fn check_all(rows: usize, v: usize, options: Options, x: &[f32], targets: &[u32]) {
    let wide = widen(x);
    let (mut plain, mut exact) = ([vec![7.0; rows], vec![7.0; rows]], [vec![7.0; rows], vec![7.0; rows]]);
    let [losses, lse] = &mut plain;
    let input = Input { rows, v, options, logits: x, targets };
    let mean = naive::forward(input, Output { losses, lse });
    let [exact_losses, exact_lse] = &mut exact;
    let wide_input = Input { rows, v, options, logits: &wide, targets };
    let exact_mean = naive::forward(wide_input, Output { losses: exact_losses, lse: exact_lse });
    for (name, isa, run) in runs(&FORWARD_RUNGS) {
        let (mut got_losses, mut got_lse) = (vec![7.0; rows], vec![7.0; rows]);
        let got = run(isa, input, Output { losses: &mut got_losses, lse: &mut got_lse });
        for (got, plain, exact) in [
            (&[got][..], &[mean][..], &[exact_mean][..]),
            (&got_losses, losses, exact_losses),
            (&got_lse, lse, exact_lse),
        ] {
            check(got, plain, exact).unwrap_or_else(|e| panic!("{name} {isa} {rows}×{v} {options:?}: {e}"));
        }
    }
    let lse = &plain[1];
    let (mut plain, mut exact) = (vec![7.0; x.len()], vec![7.0; x.len()]);
    let input = BackwardInput { rows, v, options, logits: x, targets, lse, d_loss: &[0.7] };
    naive::backward(input, &mut plain);
    let (wide_lse, d_loss) = (widen(lse), [f64::from(0.7_f32)]);
    let wide_input = BackwardInput { rows, v, options, logits: &wide, targets, lse: &wide_lse, d_loss: &d_loss };
    naive::backward(wide_input, &mut exact);
    for (name, isa, run) in runs(&BACKWARD_RUNGS) {
        let mut dx = vec![7.0; x.len()];
        run(isa, input, &mut dx);
        check(&dx, &plain, &exact).unwrap_or_else(|e| panic!("{name} {isa} {rows}×{v} {options:?}: {e}"));
    }
}

#[test]
fn every_rung_keeps_to_the_oracle() {
    for (rows, v) in SHAPES {
        for size in [1.0, 1e4, 90.0, 1e-40] {
            let x: Vec<f32> = values(1, rows * v).iter().map(|x| x * size).collect();
            for options in [PLAIN, BOTH] {
                check_all(rows, v, options, &x, &targets(rows, v));
            }
        }
    }
}

#[test]
fn masked_logits_and_nan() {
    let (rows, v) = (5, 37);
    let mut x = values(3, rows * v);
    x[..v].fill(f32::NEG_INFINITY); // no distribution at all: the loss is NaN
    x[v] = f32::NEG_INFINITY;
    x[2 * v + 36] = f32::NAN;
    x[3 * v + 3] = f32::NEG_INFINITY; // its target: an infinite loss
    for options in [PLAIN, BOTH] {
        for last in 1..=3 {
            check_all(1, v, options, &x[last * v..][..v], &[3]);
        }
        check_all(rows, v, options, &x, &[3; 5]);
    }
}

/// A row that does not count has no loss and no gradient whatever stands in it, and leaves its neighbours alone.
#[test]
fn infinite_logits_and_what_is_ignored() {
    for (rows, v) in [(6, 5), (6, 37), (6, 64), (6, 6151)] {
        let mut x = values(3, rows * v);
        x[v + 1] = f32::INFINITY;
        x[2 * v..3 * v].fill(f32::INFINITY);
        x[3 * v..4 * v].fill(f32::NEG_INFINITY);
        x[4 * v + 2] = f32::NAN;
        let options = Options { ignore_index: Some(9999), ..PLAIN };
        for options in [options, Options { label_smoothing: 0.1, ..options }] {
            check_all(rows, v, options, &x, &[1; 6]);
            check_all(rows, v, options, &x, &[1, 9999, 9999, 9999, 9999, 2]);
            check_all(rows, v, options, &x, &[9999, 2, 1, 0, 9999, 9999]);
        }
    }
}

#[test]
fn long_rows_whose_maximum_comes_late() {
    let (rows, v) = (5, 6151);
    let mut x: Vec<f32> = (0..rows * v).map(|i| (i % v) as f32 * 0.003).collect(); // each piece has a larger one
    x[v..v + 5000].fill(f32::NEG_INFINITY); // pieces without a distribution come first
    x[2 * v..3 * v].fill(f32::NEG_INFINITY); // no distribution at all: the loss is NaN
    x[3 * v + 10] = f32::NAN; // and stays NaN where larger ones follow
    x[4 * v + 10] = 200.0; // the last pieces vanish beside it
    for options in [PLAIN, BOTH] {
        for last in [0, 1, 3, 4] {
            check_all(1, v, options, &x[last * v..][..v], &[6000]);
        }
        check_all(rows, v, options, &x, &[6000; 5]);
    }
}

#[test]
fn figures_of_pytorch() {
    // torch.nn.functional.cross_entropy(tensor([[1., 2, 3], [1, 1, 1], [0, 5, 0]]), tensor([2, 0, 1]), …)
    let x = [1.0, 2.0, 3.0, 1.0, 1.0, 1.0, 0.0, 5.0, 0.0];
    let (mut losses, mut lse) = ([0.0; 3], [0.0; 3]);
    let mut mean = |options| {
        let input = Input { rows: 3, v: 3, options, logits: &x, targets: &[2, 0, 1] };
        forward(input, Output { losses: &mut losses, lse: &mut lse })
    };
    let (a, b, c) = (3_f32.ln(), (1.0 + (-1_f32).exp() + (-2_f32).exp()).ln(), (1.0 + 2.0 * (-5_f32).exp()).ln());
    approx::assert_relative_eq!(mean(PLAIN), (a + b + c) / 3.0, max_relative = 1e-6);
    let ignored = Options { ignore_index: Some(0), ..PLAIN };
    approx::assert_relative_eq!(mean(ignored), (b + c) / 2.0, max_relative = 1e-6);
    // Smoothing 0.3 adds 0.1 · Σ (x_t − xⱼ) to each loss: 0.1 · (2 + 1), 0, 0.1 · (5 + 5).
    let smooth = Options { label_smoothing: 0.3, ..PLAIN };
    approx::assert_relative_eq!(mean(smooth), (a + b + c + 1.3) / 3.0, max_relative = 1e-6);
}

#[test]
fn where_nothing_counts_the_mean_is_nan_and_the_gradient_zero() {
    let options = Options { ignore_index: Some(9), ..PLAIN };
    for (name, isa, run) in runs(&FORWARD_RUNGS) {
        let (mut losses, mut lse) = ([7.0; 2], [7.0; 2]);
        let input = Input { rows: 2, v: 3, options, logits: &[0.0; 6], targets: &[9, 9] };
        assert!(run(isa, input, Output { losses: &mut losses, lse: &mut lse }).is_nan(), "{name} {isa}");
        assert_eq!(losses, [0.0; 2], "{name} {isa}");
    }
    for (name, isa, run) in runs(&BACKWARD_RUNGS) {
        let mut dx = [7.0; 6];
        let (logits, targets, lse) = (&[0.0; 6], &[9, 9], &[0.0; 2]);
        run(isa, BackwardInput { rows: 2, v: 3, options, logits, targets, lse, d_loss: &[1.0] }, &mut dx);
        assert_eq!(dx, [0.0; 6], "{name} {isa}");
    }
}

#[test]
fn gradients_agree_with_central_differences() {
    let (rows, v, h) = (5, 7, 1e-5);
    let (x, targets) = (widen(&values(5, rows * v)), [3, 0, 6, 2, 0]);
    for options in [PLAIN, BOTH, Options { label_smoothing: 1.0, ..PLAIN }] {
        let run = |x: &[f64]| {
            let (mut losses, mut lse) = ([0.0; 5], [0.0; 5]);
            let input = Input { rows, v, options, logits: x, targets: &targets };
            (naive::forward(input, Output { losses: &mut losses, lse: &mut lse }), lse)
        };
        let mut dx = vec![0.0; x.len()];
        let (_, lse) = run(&x);
        let input = BackwardInput { rows, v, options, logits: &x, targets: &targets, lse: &lse, d_loss: &[1.7] };
        naive::backward(input, &mut dx);
        for i in 0..x.len() {
            let (mut up, mut down) = (x.clone(), x.clone());
            up[i] += h;
            down[i] -= h;
            let difference = 1.7 * (run(&up).0 - run(&down).0) / (2.0 * h);
            approx::assert_abs_diff_eq!(dx[i], difference, epsilon = 1e-9);
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for (rows, v) in ODD_MATRICES {
        same_on_any_number_of_threads(rows, v);
    }
}

fn same_on_any_number_of_threads(rows: usize, v: usize) {
    let (x, targets) = (values(7, rows * v), targets(rows, v));
    let (logits, options, lse) = (&x[..], BOTH, values(8, rows));
    for (name, isa, run) in runs(&FORWARD_RUNGS) {
        assert_same_on_any_number_of_threads(&format!("{name} {isa} {rows}×{v}"), || {
            let (mut losses, mut lse) = (vec![7.0; rows], vec![7.0; rows]);
            let input = Input { rows, v, options, logits, targets: &targets };
            let mean = run(isa, input, Output { losses: &mut losses, lse: &mut lse });
            [vec![mean], losses, lse]
        });
    }
    for (name, isa, run) in runs(&BACKWARD_RUNGS) {
        assert_same_on_any_number_of_threads(&format!("{name} {isa} {rows}×{v}, backward"), || {
            let mut dx = vec![7.0; rows * v];
            run(isa, BackwardInput { rows, v, options, logits, targets: &targets, lse: &lse, d_loss: &[1.0] }, &mut dx);
            [dx]
        });
    }
    check_all(rows, v, BOTH, &x, &targets);
}

#[test]
fn gradients_past_the_caches_are_the_same_bits() {
    let (rows, v) = (4081, 1031); // more than 16 MiB, every row begins elsewhere in its cache line
    let (x, targets) = (values(7, rows * v), targets(rows, v));
    let lse = vec![7.0; rows];
    let (mut near, mut far) = (vec![7.0; x.len()], vec![8.0; x.len()]);
    for isa in Isa::available() {
        let (logits, targets, lse) = (&x, &targets, &lse);
        let input = BackwardInput { rows, v, options: BOTH, logits, targets, lse, d_loss: &[1.0] };
        simd::backward(isa, input, &mut near);
        threads::backward(isa, input, &mut far);
        assert!(near == far, "{isa}");
    }
}

#[test]
fn wrong_lengths_and_targets_are_refused() {
    let refused = |f: &dyn Fn()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).is_err();
    let sure = Options { label_smoothing: 1.5, ..PLAIN };
    for (name, isa, run) in runs(&FORWARD_RUNGS) {
        let refuses = |options, x: usize, targets: &[u32], losses: usize, lse: usize| {
            refused(&|| {
                let input = Input { rows: 2, v: 3, options, logits: &vec![0.0; x], targets };
                run(isa, input, Output { losses: &mut vec![0.0; losses], lse: &mut vec![0.0; lse] });
            })
        };
        assert!(!refuses(PLAIN, 6, &[0, 2], 2, 2), "{name} {isa}");
        assert!(!refuses(BOTH, 6, &[0, 2], 2, 2), "{name} {isa}");
        assert!(refuses(PLAIN, 7, &[0, 2], 2, 2), "{name} {isa}");
        assert!(refuses(PLAIN, 6, &[0], 2, 2), "{name} {isa}");
        assert!(refuses(PLAIN, 6, &[0, 2], 1, 2), "{name} {isa}");
        assert!(refuses(PLAIN, 6, &[0, 2], 2, 3), "{name} {isa}");
        assert!(refuses(PLAIN, 6, &[0, 3], 2, 2), "{name} {isa}");
        assert!(refuses(sure, 6, &[0, 2], 2, 2), "{name} {isa}");
    }
    for (name, isa, run) in runs(&BACKWARD_RUNGS) {
        let refuses = |x: usize, targets: &[u32], lse: usize, dx: usize| {
            refused(&|| {
                let (logits, lse) = (&vec![0.0; x], &vec![0.0; lse]);
                let input = BackwardInput { rows: 2, v: 3, options: PLAIN, logits, targets, lse, d_loss: &[1.0] };
                run(isa, input, &mut vec![0.0; dx]);
            })
        };
        assert!(!refuses(6, &[0, 2], 2, 6), "{name} {isa}");
        assert!(refuses(5, &[0, 2], 2, 6), "{name} {isa}");
        assert!(refuses(6, &[0, 2, 1], 2, 6), "{name} {isa}");
        assert!(refuses(6, &[0, 2], 1, 6), "{name} {isa}");
        assert!(refuses(6, &[0, 2], 2, 7), "{name} {isa}");
        assert!(refuses(6, &[3, 2], 2, 6), "{name} {isa}");
    }
}
