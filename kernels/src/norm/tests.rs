use super::*;
use crate::Float;
use crate::oracle::{check, values, widen};
use crate::trials::{ODD_MATRICES, assert_same_on_any_number_of_threads, runs};

const SHAPES: [(usize, usize); 9] = [(0, 7), (5, 0), (1, 1), (5, 1), (5, 7), (1, 33), (5, 65), (3, 130), (2, 1031)];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Norm {
    Layer,
    Rms,
}
use Norm::{Layer, Rms};

impl Norm {
    /// `x` for layer norm, nothing for RMS norm.
    fn if_layer<T>(self, x: T) -> Option<T> {
        (self == Layer).then_some(x)
    }

    /// y, rstd and, of layer norm, the means.
    fn forward<E: Float>(self, input: Input<'_, E>, run: impl FnOnce(Input<'_, E>, Output<'_, E>)) -> Vec<Vec<E>> {
        let seven = E::of(7.0);
        let [mut y, mut rstd, mut mean] = [input.x.len(), input.rows, input.rows].map(|len| vec![seven; len]);
        run(input, Output { y: &mut y, mean: self.if_layer(&mut mean[..]), rstd: &mut rstd });
        [y, rstd].into_iter().chain(self.if_layer(mean)).collect()
    }

    /// dx, dγ and, of layer norm, dβ.
    fn backward<E: Float>(
        self,
        input: BackwardInput<'_, E>,
        run: impl FnOnce(BackwardInput<'_, E>, Gradients<'_, E>),
    ) -> Vec<Vec<E>> {
        let seven = E::of(7.0);
        let [mut dx, mut dgamma, mut dbeta] = [input.x.len(), input.c, input.c].map(|len| vec![seven; len]);
        let dbeta_of = self.if_layer(&mut dbeta[..]);
        run(input, Gradients { dx: &mut dx, add: false, dgamma: Some(&mut dgamma), dbeta: dbeta_of });
        [dx, dgamma].into_iter().chain(self.if_layer(dbeta)).collect()
    }
}

fn check_each(what: &str, got: &[Vec<f32>], plain: &[Vec<f32>], exact: &[Vec<f64>]) {
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
fn check_all(norm: Norm, rows: usize, c: usize, eps: f32, x: &[f32]) {
    let (gamma, beta, dy) = (values(2, c), values(3, c), values(4, rows * c));
    let [wide_x, wide_gamma, wide_beta, wide_dy] = [x, &gamma, &beta, &dy].map(widen);
    for on in [false, true] {
        let beta_on = on && norm == Layer;
        let (gamma, beta) = (on.then_some(&gamma[..]), beta_on.then_some(&beta[..]));
        let (wide_gamma, wide_beta) = (on.then_some(&wide_gamma[..]), beta_on.then_some(&wide_beta[..]));
        let input = Input { rows, c, eps, x, gamma, beta };
        let plain = norm.forward(input, naive::forward);
        let wide_input = Input { rows, c, eps, x: &wide_x, gamma: wide_gamma, beta: wide_beta };
        let exact = norm.forward(wide_input, naive::forward);
        for (name, isa, run) in runs(&FORWARD_RUNGS) {
            let got = norm.forward(input, |input, output| run(isa, input, output));
            check_each(&format!("{norm:?} {name} {isa} {rows}×{c}"), &got, &plain, &exact);
        }
        let (rstd, mean) = (&plain[1], plain.get(2));
        let (wide_rstd, wide_mean) = (widen(rstd), mean.map(|mean| widen(mean)));
        let input = BackwardInput { rows, c, x, gamma, mean: mean.map(|m| &m[..]), rstd, dy: &dy };
        let (x, mean) = (&wide_x, wide_mean.as_deref());
        let wide_input = BackwardInput { rows, c, x, gamma: wide_gamma, mean, rstd: &wide_rstd, dy: &wide_dy };
        check_backward(norm, input, wide_input);
    }
}

fn check_backward(norm: Norm, input: BackwardInput<'_>, wide: BackwardInput<'_, f64>) {
    let (mut plain, mut exact) = (norm.backward(input, naive::backward), norm.backward(wide, naive::backward));
    // In short rows the two terms of dx nearly cancel in RMS norm: what may be wrong is a rounding of the terms, not of the rest.
    let largest_rstd = input.rstd.iter().copied().filter(|r| r.is_finite()).fold(0.0, f32::max);
    let term = (norm == Rms).then(|| largest_rstd * input.dy.iter().fold(0.0, |m: f32, d| m.max(d.abs())));
    plain[0].extend(term);
    exact[0].extend(term.map(f64::from));
    for (name, isa, run) in runs(&BACKWARD_RUNGS) {
        let what = format!("{norm:?} {name} {isa} {}×{}", input.rows, input.c);
        let mut got = norm.backward(input, |input, gradients| run(isa, input, gradients));
        let backward = |add, wants_gamma: bool, wants_beta: bool| {
            let [mut dx, mut dgamma, mut dbeta] = [input.x.len(), input.c, input.c].map(|len| vec![7.0; len]);
            let (dgamma_of, dbeta_of) = (wants_gamma.then_some(&mut dgamma[..]), wants_beta.then_some(&mut dbeta[..]));
            run(isa, input, Gradients { dx: &mut dx, add, dgamma: dgamma_of, dbeta: dbeta_of });
            [dx, dgamma, dbeta]
        };
        let same = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits());
        for (wants_gamma, wants_beta) in [(true, false), (false, norm == Layer), (false, false)] {
            let [dx, dgamma, dbeta] = backward(false, wants_gamma, wants_beta);
            assert!(same(&dx, &got[0]), "{what}: which gradients are wanted changes dx");
            assert!(!wants_gamma || same(&dgamma, &got[1]), "{what}: which gradients are wanted changes dγ");
            assert!(!wants_beta || same(&dbeta, &got[2]), "{what}: which gradients are wanted changes dβ");
        }
        assert_added(&backward(true, false, false)[0], 7.0, &got[0], &what);
        got[0].extend(term);
        check_each(&what, &got, &plain, &exact);
    }
}

#[test]
fn every_rung_keeps_to_the_oracle() {
    for (norm, (rows, c)) in [Layer, Rms].into_iter().flat_map(|norm| SHAPES.map(|shape| (norm, shape))) {
        let of_size = |size: f32| values(1, rows * c).iter().map(|x| x * size).collect::<Vec<_>>();
        for size in [1.0, 1e4, 1e-3, 1e-40, 1e-30, 1e19, 1e30, 1e37] {
            check_all(norm, rows, c, 1e-5, &of_size(size));
        }
        for size in [1e-30, 1e-19, 1e19, 1e37] {
            check_all(norm, rows, c, 0.0, &of_size(size));
        }
        // A mean far from zero: a variance as mean(x²) − μ² would have no right digit.
        let x: Vec<f32> = values(1, rows * c).iter().map(|x| 1000.0 + x).collect();
        check_all(norm, rows, c, 1e-5, &x);
    }
}

/// Rows of every size side by side, as the fast rungs take several at a time: each is as it is alone.
#[test]
fn a_row_of_another_size_changes_no_other() {
    for (norm, c) in [Layer, Rms].into_iter().flat_map(|norm| [7, 67, 300].map(|c| (norm, c))) {
        let sizes = [1.0, 1e25, 1.0, f32::INFINITY, 1e-25, 1.0, 1e37, f32::NAN, 1.0];
        let all: Vec<f32> = values(5, sizes.len() * c).iter().enumerate().map(|(i, x)| x * sizes[i / c]).collect();
        for (name, isa, run) in runs(&FORWARD_RUNGS) {
            let forward_of = |x: &[f32]| {
                let input = Input { rows: x.len() / c, c, eps: 1e-5, x, gamma: None, beta: None };
                norm.forward(input, |input, output| run(isa, input, output))
            };
            let outputs = forward_of(&all);
            for (r, &size) in sizes.iter().enumerate() {
                let (what, got) = (format!("{norm:?} {name} {isa} {c}: row {r} of {size}"), &outputs[0][r * c..][..c]);
                if !size.is_finite() {
                    assert!(got.iter().all(|y| y.is_nan()), "{what}");
                    continue;
                }
                let alone = forward_of(&all[r * c..][..c]);
                let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 2e-6;
                assert!(got.iter().zip(&alone[0]).all(close), "{what}");
                assert!((outputs[1][r] / alone[1][0] - 1.0).abs() <= 1e-6, "{what}");
                let mean_square = got.iter().map(|y| y * y).sum::<f32>() / c as f32;
                let expected = if size < 1.0 { 0.0 } else { 1.0 }; // eps is more than a small row varies by
                assert!((mean_square - expected).abs() < 1e-3, "{what}: {mean_square}");
            }
        }
    }
}

#[test]
fn constant_rows_infinity_and_nan() {
    let (rows, c) = (3, 37);
    for norm in [Layer, Rms] {
        for value in [2.0, 0.0] {
            let mut x = vec![value; rows * c];
            x[c + 36] = f32::NAN; // in a tail
            check_all(norm, rows, c, 1e-5, &x);
        }
        let mut x = values(6, rows * c); // in RMS norm ∞ leaves its row with zeros beside one NaN
        x[40] = f32::INFINITY;
        check_all(norm, rows, c, 1e-5, &x);
    }
    let mut x = vec![2.0; rows * c];
    x[c + 36] = f32::NAN;
    let input = Input { rows, c, eps: 1e-5, x: &x, gamma: None, beta: Some(&vec![0.5; c]) };
    let outputs = Layer.forward(input, forward);
    let [y, _, mean] = &outputs[..] else { panic!("three outputs") };
    assert_eq!((&y[..c], mean[0]), (&vec![0.5; c][..], 2.0));
    assert!(y[c..2 * c].iter().all(|y| y.is_nan()));
}

#[test]
fn gradients_agree_with_central_differences() {
    let (rows, c, h) = (3, 7, 1e-5);
    for norm in [Layer, Rms] {
        let inputs = [widen(&values(5, rows * c)), widen(&values(6, c)), widen(&values(7, c))];
        let dy = widen(&values(8, rows * c));
        let run = |[x, gamma, beta]: &[Vec<f64>; 3]| {
            let input = Input { rows, c, eps: 1e-5, x, gamma: Some(gamma), beta: norm.if_layer(&beta[..]) };
            let outputs = norm.forward(input, naive::forward);
            (outputs[0].iter().zip(&dy).map(|(y, dy)| y * dy).sum::<f64>(), outputs)
        };
        let (_, outputs) = run(&inputs);
        let (x, gamma, mean) = (&inputs[0], Some(&inputs[1][..]), outputs.get(2).map(|mean| &mean[..]));
        let input = BackwardInput { rows, c, x, gamma, mean, rstd: &outputs[1], dy: &dy };
        let gradients = norm.backward(input, naive::backward);
        assert_eq!(gradients.len(), if norm == Layer { 3 } else { 2 });
        for (which, gradient) in gradients.iter().enumerate() {
            for i in 0..inputs[which].len() {
                let (mut up, mut down) = (inputs.clone(), inputs.clone());
                up[which][i] += h;
                down[which][i] -= h;
                let difference = (run(&up).0 - run(&down).0) / (2.0 * h);
                approx::assert_abs_diff_eq!(gradient[i], difference, epsilon = 1e-8);
            }
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for (rows, c) in ODD_MATRICES {
        same_on_any_number_of_threads(Layer, rows, c);
        same_on_any_number_of_threads(Rms, rows, c);
    }
}

fn same_on_any_number_of_threads(norm: Norm, rows: usize, c: usize) {
    let (x, gamma, dy) = (values(7, rows * c), values(8, c), values(9, rows * c));
    let (mean, rstd, gamma) = (values(10, rows), values(11, rows), Some(&gamma[..]));
    let three = |mut outputs: Vec<Vec<f32>>| -> [Vec<f32>; 3] {
        outputs.resize(3, Vec::new());
        outputs.try_into().expect("two or three")
    };
    let input = Input { rows, c, eps: 1e-5, x: &x, gamma, beta: None };
    for (name, isa, run) in runs(&FORWARD_RUNGS) {
        assert_same_on_any_number_of_threads(&format!("{norm:?} {name} {isa} {rows}×{c}"), || {
            three(norm.forward(input, |input, output| run(isa, input, output)))
        });
    }
    let input = BackwardInput { rows, c, x: &x, gamma, mean: norm.if_layer(&mean[..]), rstd: &rstd, dy: &dy };
    for (name, isa, run) in runs(&BACKWARD_RUNGS) {
        assert_same_on_any_number_of_threads(&format!("{norm:?} {name} {isa} {rows}×{c}, backward"), || {
            three(norm.backward(input, |input, gradients| run(isa, input, gradients)))
        });
    }
    check_all(norm, rows, c, 1e-5, &x);
}

#[test]
fn results_past_the_caches_are_the_same_bits() {
    let (rows, c) = (70_001, 67); // more than 16 MiB, with rows on and off a vector's boundary
    let (x, gamma, dy) = (values(7, rows * c), values(8, c), values(9, rows * c));
    for (norm, isa) in [Layer, Rms].into_iter().flat_map(|norm| Isa::available().map(move |isa| (norm, isa))) {
        let all = |forward: Forward, backward: Backward| {
            let gamma = Some(&gamma[..]);
            let input = Input { rows, c, eps: 1e-5, x: &x, gamma, beta: None };
            let mut outputs = norm.forward(input, |input, output| forward(isa, input, output));
            let (rstd, mean) = (&outputs[1], outputs.get(2).map(|mean| &mean[..]));
            let input = BackwardInput { rows, c, x: &x, gamma, mean, rstd, dy: &dy };
            let gradients = norm.backward(input, |input, gradients| backward(isa, input, gradients));
            outputs.extend(gradients);
            outputs
        };
        assert!(
            all(threads::forward, threads::backward) == all(streamed::forward, streamed::backward),
            "{norm:?} {isa}"
        );
    }
}

#[test]
fn wrong_lengths_are_refused() {
    for (norm, (name, isa, run)) in
        [Layer, Rms].into_iter().flat_map(|norm| runs(&FORWARD_RUNGS).map(move |r| (norm, r)))
    {
        assert_only_these_lengths(
            [6, 6, 2, 3, 3, 2],
            norm,
            &format!("{name} {isa}"),
            |[x, mut y, mut rstd, gamma, beta, mut mean]| {
                let (gamma, beta) = (Some(&gamma[..]), norm.if_layer(&beta[..]));
                let input = Input { rows: 2, c: 3, eps: 0.1, x: &x, gamma, beta };
                run(isa, input, Output { y: &mut y, mean: norm.if_layer(&mut mean[..]), rstd: &mut rstd });
            },
        );
    }
    for (norm, (name, isa, run)) in
        [Layer, Rms].into_iter().flat_map(|norm| runs(&BACKWARD_RUNGS).map(move |r| (norm, r)))
    {
        let right = [6, 6, 6, 2, 3, 3, 3, 2];
        assert_only_these_lengths(
            right,
            norm,
            &format!("{name} {isa}"),
            |[x, dy, mut dx, rstd, gamma, mut dg, mut db, mean]| {
                let (gamma, mean) = (Some(&gamma[..]), norm.if_layer(&mean[..]));
                let input = BackwardInput { rows: 2, c: 3, x: &x, gamma, mean, rstd: &rstd, dy: &dy };
                let dbeta = norm.if_layer(&mut db[..]);
                run(isa, input, Gradients { dx: &mut dx, add: false, dgamma: Some(&mut dg), dbeta });
            },
        );
    }
}

/// Panics unless `call` takes arrays of the lengths `right`, and refuses one more or one less of each. RMS norm has not the
/// last two.
fn assert_only_these_lengths<const N: usize>(right: [usize; N], norm: Norm, what: &str, call: impl Fn([Vec<f32>; N])) {
    let refuses = |lens: [usize; N]| {
        let arrays = lens.map(|len| vec![0.0; len]);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| call(arrays))).is_err()
    };
    assert!(!refuses(right), "{norm:?} {what}");
    for (i, change) in (0..if norm == Layer { N } else { N - 2 }).flat_map(|i| [(i, 1), (i, usize::MAX)]) {
        let mut wrong = right;
        wrong[i] = wrong[i].wrapping_add(change);
        assert!(refuses(wrong), "{norm:?} {what} {wrong:?}");
    }
}

#[test]
#[should_panic(expected = "RMS norm has no beta")]
fn rms_norm_refuses_a_bias() {
    let input = Input { rows: 1, c: 1, eps: 0.1, x: &[1.0], gamma: None, beta: Some(&[1.0]) };
    Rms.forward(input, forward);
}

#[test]
#[should_panic(expected = "RMS norm has no beta")]
fn rms_norm_refuses_the_gradient_of_a_bias() {
    let input = BackwardInput { rows: 1, c: 1, x: &[1.0], gamma: None, mean: None, rstd: &[1.0], dy: &[1.0] };
    backward(input, Gradients { dx: &mut [0.0], add: false, dgamma: None, dbeta: Some(&mut [0.0]) });
}
