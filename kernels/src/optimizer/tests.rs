use super::*;
use crate::oracle::{check, values, widen};
use crate::trials::{ODD_LENGTHS, assert_same_on_any_number_of_threads, on_threads, runs};

const LENGTHS: [usize; 7] = [0, 1, 7, 33, 130, 4133, 200_003];
const ADAMW: AdamW =
    AdamW { lr: 1e-2, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1, step: 1, grad_scale: 0.7 };
const SGD: Sgd = Sgd { lr: 1e-2, momentum: 0.9, weight_decay: 0.1, nesterov: false, grad_scale: 0.7 };

#[test]
fn adamw_keeps_to_the_oracle_over_several_steps() {
    for len in LENGTHS {
        let start = values(1, len);
        let (mut plain, mut exact) = ([start.clone(), vec![0.0; len], vec![0.0; len]], [(); 3].map(|_| vec![0.0; len]));
        exact[0] = widen(&start);
        let mut all: Vec<_> =
            runs(&ADAMW_RUNGS).map(|run| (run, [start.clone(), vec![0.0; len], vec![0.0; len]])).collect();
        for step in 1..=4 {
            let mut g = values(step + 1, len);
            g.iter_mut().step_by(5).for_each(|g| *g *= 1e-30); // squares of these are zero or denormal
            let options = AdamW { step, ..ADAMW };
            let [p, m, v] = &mut plain;
            naive::adamw(options, p, &g, m, v);
            let [p, m, v] = &mut exact;
            naive::adamw(options, p, &widen(&g), m, v);
            for ((name, isa, run), [p, m, v]) in &mut all {
                run(*isa, options, p, &g, m, v);
                for (i, got) in [&*p, &*m, &*v].into_iter().enumerate() {
                    check(got, &plain[i], &exact[i]).unwrap_or_else(|e| panic!("{name} {isa} {len} step {step}: {e}"));
                }
            }
        }
    }
}

#[test]
fn the_first_steps_of_adamw_by_hand() {
    // With a constant gradient the corrected mean is g and the corrected mean square g²: each step is lr, after decay.
    for (name, isa, run) in runs(&ADAMW_RUNGS) {
        let (mut p, mut m, mut v) = ([2.0_f32], [0.0], [0.0]);
        run(isa, AdamW { weight_decay: 0.5, ..ADAMW }, &mut p, &[3.0], &mut m, &mut v);
        approx::assert_relative_eq!(p[0], 2.0 * (1.0 - 1e-2 * 0.5) - 1e-2, max_relative = 1e-6);
        approx::assert_relative_eq!(m[0], 0.1 * 2.1, max_relative = 1e-5);
        approx::assert_relative_eq!(v[0], 0.01 * 2.1 * 2.1, max_relative = 1e-5);
        run(isa, AdamW { weight_decay: 0.0, step: 2, ..ADAMW }, &mut p, &[3.0], &mut m, &mut v);
        approx::assert_relative_eq!(p[0], 1.98 - 1e-2, max_relative = 1e-6);
        assert!(p[0] < 2.0, "{name} {isa}");
    }
}

#[test]
fn sgd_keeps_to_the_oracle_over_several_steps() {
    let sizes = [(1.0, false), (1.0, true), (1e-40, false), (1e-40, true)]; // of the numbers, and Nesterov's rule or not
    for (len, (size, nesterov)) in LENGTHS.into_iter().flat_map(|len| sizes.map(|size| (len, size))) {
        let options = Sgd { nesterov, ..SGD };
        let times = |x: Vec<f32>| x.into_iter().map(|x| size * x).collect::<Vec<_>>();
        let start = times(values(1, len));
        let (mut plain, mut exact) = ([start.clone(), vec![0.0; len]], [widen(&start), vec![0.0; len]]);
        let mut all: Vec<_> = runs(&SGD_RUNGS).map(|run| (run, [start.clone(), vec![0.0; len]])).collect();
        for step in 1..=4 {
            let g = times(values(step + 1, len));
            let [p, u] = &mut plain;
            naive::sgd(options, p, &g, u);
            let [p, u] = &mut exact;
            naive::sgd(options, p, &widen(&g), u);
            for ((name, isa, run), [p, u]) in &mut all {
                run(*isa, options, p, &g, u);
                check(p, &plain[0], &exact[0]).unwrap_or_else(|e| panic!("{name} {isa} {len} step {step}: {e}"));
                check(u, &plain[1], &exact[1]).unwrap_or_else(|e| panic!("{name} {isa} {len} step {step}: {e}"));
            }
        }
    }
}

#[test]
fn two_steps_of_sgd_by_hand() {
    let options = Sgd { lr: 0.5, momentum: 0.5, weight_decay: 0.25, nesterov: false, grad_scale: 2.0 };
    for (name, isa, run) in runs(&SGD_RUNGS) {
        let (mut p, mut u) = ([4.0], [0.0]);
        run(isa, options, &mut p, &[1.0], &mut u); // g = 2 + 1
        assert_eq!((p, u), ([2.5], [3.0]), "{name} {isa}");
        run(isa, options, &mut p, &[1.0], &mut u); // g = 2 + 0.625
        assert_eq!((p, u), ([2.5 - 0.5 * 4.125], [4.125]), "{name} {isa}");
        let (mut p, mut u) = ([4.0], [0.0]);
        run(isa, Sgd { nesterov: true, ..options }, &mut p, &[1.0], &mut u);
        assert_eq!((p, u), ([4.0 - 0.5 * 4.5], [3.0]), "{name} {isa}");
    }
}

#[test]
fn the_sum_of_squares_is_right_to_single_precision() {
    for len in LENGTHS {
        let g = values(1, len);
        let exact = naive::sum_of_squares(&widen(&g));
        for (name, isa, run) in runs(&NORM_RUNGS) {
            let got = run(isa, &g);
            assert!((got - exact).abs() <= 1e-6 * exact, "{name} {isa} {len}: {got} for {exact}");
        }
    }
    for (name, isa, run) in runs(&NORM_RUNGS) {
        assert!(run(isa, &[1.0, f32::NAN]).is_nan(), "{name} {isa}");
        assert_eq!(run(isa, &[f32::INFINITY; 40]), f64::INFINITY, "{name} {isa}");
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for len in ODD_LENGTHS.into_iter().chain([500_009]) {
        same_on_any_number_of_threads(len);
    }
}

fn same_on_any_number_of_threads(len: usize) {
    let (start, g) = (values(1, len), values(2, len));
    for (name, isa, run) in runs(&ADAMW_RUNGS) {
        assert_same_on_any_number_of_threads(&format!("AdamW, {name} {isa}, {len}"), || {
            let (mut p, mut m, mut v) = (start.clone(), vec![0.0; len], vec![0.0; len]);
            run(isa, ADAMW, &mut p, &g, &mut m, &mut v);
            [p, m, v]
        });
    }
    for (name, isa, run) in runs(&SGD_RUNGS) {
        assert_same_on_any_number_of_threads(&format!("SGD, {name} {isa}, {len}"), || {
            let (mut p, mut u) = (start.clone(), vec![0.0; len]);
            run(isa, SGD, &mut p, &g, &mut u);
            [p, u]
        });
    }
    for (name, isa, run) in runs(&NORM_RUNGS) {
        let [one, others @ ..] = on_threads(|| run(isa, &g).to_bits());
        assert_eq!(others, [one; 3], "the sum of squares, {name} {isa}, {len}");
    }
}

#[test]
fn wrong_lengths_and_settings_are_refused() {
    let refused = |f: &dyn Fn()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).is_err();
    let z = |len: usize| vec![0.0; len];
    for (name, isa, run) in runs(&ADAMW_RUNGS) {
        let refuses =
            |options, [p, g, m, v]: [usize; 4]| refused(&|| run(isa, options, &mut z(p), &z(g), &mut z(m), &mut z(v)));
        assert!(!refuses(ADAMW, [40; 4]), "{name} {isa}");
        for wrong in [[41, 40, 40, 40], [40, 41, 40, 40], [40, 40, 39, 40], [40, 40, 40, 39]] {
            assert!(refuses(ADAMW, wrong), "{name} {isa} {wrong:?}");
        }
        for wrong in [AdamW { step: 0, ..ADAMW }, AdamW { beta1: 1.0, ..ADAMW }, AdamW { beta2: f32::NAN, ..ADAMW }] {
            assert!(refuses(wrong, [40; 4]), "{name} {isa} {wrong:?}");
        }
    }
    for (name, isa, run) in runs(&SGD_RUNGS) {
        let refuses = |[p, g, u]: [usize; 3]| refused(&|| run(isa, SGD, &mut z(p), &z(g), &mut z(u)));
        assert!(!refuses([40; 3]), "{name} {isa}");
        for wrong in [[41, 40, 40], [40, 41, 40], [40, 40, 39]] {
            assert!(refuses(wrong), "{name} {isa} {wrong:?}");
        }
    }
}
