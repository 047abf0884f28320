use super::*;
use crate::oracle::values;
use crate::trials::{ODD_LENGTHS, assert_same_on_any_number_of_threads, runs};

#[test]
fn every_rung_gives_the_bits_of_the_specification() {
    // One multiplication an element: there is nothing to round differently.
    for len in [0, 1, 7, 15, 16, 17, 33, 63, 64, 65, 130, 1031, 300_007, (1 << 22) + 77] {
        let mut x = values(1, len);
        if len > 20 {
            x[..4].copy_from_slice(&[f32::NAN, f32::INFINITY, -0.0, 1e-42]);
        }
        let shares = if len > 1 << 22 { &[0.2][..] } else { &[0.0, 0.2, 0.5, 0.999] };
        for &p in shares {
            let dropout = Dropout { p, seed: 0x1234_5678_9abc, stream: 3 << 32 | 5 };
            let mut expected = vec![7.0; len];
            naive::apply(dropout, &x, &mut expected);
            for (name, isa, run) in runs(&RUNGS) {
                let mut y = vec![7.0; len];
                run(isa, dropout, &x, &mut y);
                let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
                assert!(y.iter().zip(&expected).all(same), "{name} {isa}, {len} elements, p = {p}");
            }
        }
    }
}

#[test]
fn the_expectation_stays_and_streams_differ() {
    let (x, mut y, mut other) = (vec![1.0; 100_000], vec![0.0; 100_000], vec![0.0; 100_000]);
    apply(Dropout { p: 0.2, seed: 1, stream: 0 }, &x, &mut y);
    let mean = y.iter().map(|&y| f64::from(y)).sum::<f64>() / 1e5;
    assert!((mean - 1.0).abs() < 4.0 * 0.5 / 100_000_f64.sqrt(), "{mean}"); // 4 standard deviations
    apply(Dropout { p: 0.2, seed: 1, stream: 1 }, &x, &mut other);
    let changed = y.iter().zip(&other).filter(|(a, b)| a != b).count();
    assert!((31_000..33_000).contains(&changed), "{changed}"); // 2·0.2·0.8 of them
}

#[test]
fn gradients_agree_with_central_differences() {
    let (dropout, h) = (Dropout { p: 0.3, seed: 9, stream: 4 }, 1e-5);
    let (x, dy): (Vec<f64>, Vec<f64>) = (0..99).map(|i| (f64::from(i) / 7.0, 1.0 - f64::from(i) / 40.0)).unzip();
    let loss = |x: &[f64]| -> f64 {
        let mut y = vec![0.0; x.len()];
        naive::apply(dropout, x, &mut y);
        y.iter().zip(&dy).map(|(y, dy)| y * dy).sum()
    };
    let mut dx = vec![7.0; x.len()];
    naive::apply(dropout, &dy, &mut dx);
    for i in 0..x.len() {
        let (mut up, mut down) = (x.clone(), x.clone());
        up[i] += h;
        down[i] -= h;
        approx::assert_abs_diff_eq!(dx[i], (loss(&up) - loss(&down)) / (2.0 * h), epsilon = 1e-8);
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for len in ODD_LENGTHS {
        let x = values(7, len);
        for (name, isa, run) in runs(&RUNGS) {
            assert_same_on_any_number_of_threads(&format!("{name} {isa}, {len}"), || {
                let mut y = vec![7.0; x.len()];
                run(isa, Dropout { p: 0.2, seed: 1, stream: 2 }, &x, &mut y);
                [y]
            });
        }
    }
}

#[test]
fn wrong_lengths_and_probabilities_are_refused() {
    let refused = |f: &dyn Fn()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).is_err();
    for (name, isa, run) in runs(&RUNGS) {
        let refuses = |p: f32, x: usize, y: usize| {
            refused(&|| run(isa, Dropout { p, seed: 1, stream: 1 }, &vec![0.0; x], &mut vec![0.0; y]))
        };
        assert!(!refuses(0.5, 70, 70), "{name} {isa}");
        for (p, x, y) in [(0.5, 70, 69), (0.5, 69, 70), (1.0, 70, 70), (-0.1, 70, 70), (f32::NAN, 70, 70)] {
            assert!(refuses(p, x, y), "{name} {isa}: {p}, {x}, {y}");
        }
    }
}
