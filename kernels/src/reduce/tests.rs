use super::*;
use crate::oracle;
use crate::trials::{ODD_LENGTHS, ODD_MATRICES, assert_same_on_any_number_of_threads, runs};

const OPS: [Reduce; 6] = [
    Reduce::Sum,
    Reduce::Mean,
    Reduce::Max,
    Reduce::Min,
    Reduce::Variance { correction: 0 },
    Reduce::Variance { correction: 1 },
];

/// A reduction of a contiguous tensor: its shape, and for each dimension whether it is reduced.
fn split(shape: &[usize], is_reduced: &[bool]) -> [Vec<usize>; 4] {
    let strides: Vec<usize> = (0..shape.len()).map(|i| shape[i + 1..].iter().product()).collect();
    let pick = |from: &[usize], which: bool| {
        from.iter().zip(is_reduced).filter(|(_, r)| **r == which).map(|(&v, _)| v).collect::<Vec<_>>()
    };
    [pick(shape, false), pick(&strides, false), pick(shape, true), pick(&strides, true)]
}

/// Whether sums are off by half a rounding of the sum of the magnitudes: where large terms cancel and the naive sum
/// happens to be exact, twice its error is nothing.
fn within_rounding(op: Reduce, [n, p, m, q]: &[Vec<usize>; 4], x: &[f32], y: &[f32], exact: &[f64]) -> bool {
    let magnitudes: Vec<f64> = x.iter().map(|x| f64::from(x.abs())).collect();
    let mut scale = vec![0.0; y.len()];
    naive::reduce(op, n, p, m, q, &magnitudes, &mut scale);
    let close = |((&y, &e), s): ((&f32, &f64), &f64)| (f64::from(y) - e).abs() <= 0.5 * f64::from(f32::EPSILON) * s;
    matches!(op, Reduce::Sum | Reduce::Mean) && y.iter().zip(exact).zip(&scale).all(close)
}

fn check_all(shape: &[usize], is_reduced: &[bool], x: &[f32]) {
    let [n, p, m, q] = split(shape, is_reduced);
    let len = n.iter().product();
    for op in OPS {
        let (mut plain, mut exact) = (vec![0.0; len], vec![0.0; len]);
        naive::reduce(op, &n, &p, &m, &q, x, &mut plain);
        naive::reduce(op, &n, &p, &m, &q, &oracle::widen(x), &mut exact);
        for rung in &RUNGS {
            for isa in Isa::available() {
                let mut y = vec![9.0; len];
                (rung.run)(isa, op, &n, &p, &m, &q, x, &mut y);
                let result = oracle::check(&y, &plain, &exact);
                let result = result.or_else(|e| {
                    if within_rounding(op, &split(shape, is_reduced), x, &y, &exact) { Ok(()) } else { Err(e) }
                });
                result.unwrap_or_else(|e| panic!("{} {isa} {op:?} {shape:?} {is_reduced:?}: {e}", rung.name));
            }
        }
    }
    if m.iter().product::<usize>() > 0 {
        let (mut y, mut expected) = (vec![9; len], vec![8; len]);
        naive::argmax(&n, &p, &m, &q, x, &mut expected);
        argmax(&n, &p, &m, &q, x, &mut y);
        assert_eq!(y, expected, "argmax {shape:?} {is_reduced:?}");
    }
}

/// All ways to reduce some of the dimensions.
fn check_every_choice(shape: &[usize], x: &[f32]) {
    for bits in 0..1 << shape.len() {
        let is_reduced: Vec<bool> = (0..shape.len()).map(|i| bits >> i & 1 == 1).collect();
        check_all(shape, &is_reduced, x);
    }
}

/// Every task of columns takes the means of its own columns.
#[test]
fn few_long_rows_are_reduced_in_tasks_of_columns() {
    let (rows, columns) = (3, 20_011);
    let noise = oracle::values(3, rows * columns);
    let x: Vec<f32> = noise.iter().enumerate().map(|(i, noise)| (i % columns) as f32 + noise).collect();
    check_all(&[rows, columns], &[true, false], &x);
}

#[test]
fn every_rung_meets_the_oracle_for_every_choice_of_dimensions() {
    let shapes: [&[usize]; 9] =
        [&[], &[1], &[7], &[33, 65], &[5, 1, 130], &[3, 7, 33], &[2, 3, 4, 5], &[1, 129, 1], &[70, 2, 9]];
    for shape in shapes {
        let x = oracle::values(3, shape.iter().product());
        check_every_choice(shape, &x);
        check_every_choice(shape, &x.iter().map(|x| 1e4 + x).collect::<Vec<_>>());
        // Denormal numbers, and such whose variance is one.
        for size in [1e-40, 1e-20] {
            check_every_choice(shape, &x.iter().map(|x| size * x).collect::<Vec<_>>());
        }
    }
}

#[test]
fn empty_dimensions_give_the_neutral_element() {
    for shape in [&[0][..], &[3, 0], &[0, 3], &[2, 0, 3]] {
        check_every_choice(shape, &[]);
    }
    let empty = |op| {
        let mut y = [7.0];
        reduce(op, &[], &[], &[0], &[1], &[], &mut y);
        y[0]
    };
    assert_eq!(empty(Reduce::Sum), 0.0);
    assert!(empty(Reduce::Mean).is_nan() && empty(Reduce::Variance { correction: 0 }).is_nan());
    assert_eq!((empty(Reduce::Max), empty(Reduce::Min)), (f32::NEG_INFINITY, f32::INFINITY));
}

#[test]
fn nan_and_infinity_come_through() {
    for (shape, at) in [([5, 70], 37), ([5, 70], 349), ([70, 5], 0), ([70, 5], 333)] {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = oracle::values(5, 350);
            x[at] = value;
            check_every_choice(&shape, &x);
        }
    }
}

#[test]
fn ties_go_to_the_first_and_nan_is_the_largest() {
    let mut y = [9; 4];
    let x = [1.0, 2.0, 2.0, 0.0, f32::NAN, f32::NAN, -1.0, -1.0, -1.0, f32::NEG_INFINITY, f32::NEG_INFINITY, f32::NAN];
    argmax(&[4], &[3], &[3], &[1], &x, &mut y);
    assert_eq!(y, [1, 1, 0, 2]);
    argmax(&[1], &[1], &[2], &[1], &[f32::NEG_INFINITY; 2], &mut y[..1]);
    assert_eq!(y[0], 0);
}

#[test]
fn broadcast_and_overlapping_strides_are_read_as_they_stand() {
    let x = oracle::values(6, 40);
    let cases: [[&[usize]; 4]; 4] = [
        [&[3], &[0], &[5], &[1]],
        [&[33], &[1], &[4], &[0]],
        [&[4, 3], &[1, 2], &[3, 5], &[3, 1]], // sliding windows
        [&[4], &[7], &[3], &[5]],
    ];
    for [n, p, m, q] in cases {
        let len = n.iter().product();
        for op in OPS {
            let (mut plain, mut exact, mut y) = (vec![0.0; len], vec![0.0; len], vec![0.0; len]);
            naive::reduce(op, n, p, m, q, &x, &mut plain);
            naive::reduce(op, n, p, m, q, &oracle::widen(&x), &mut exact);
            reduce(op, n, p, m, q, &x, &mut y);
            oracle::check(&y, &plain, &exact).unwrap();
        }
    }
}

#[test]
fn long_sums_do_not_drift() {
    // One after the other, as many are off by 2 percent; 64 roundings in a row are allowed 2e-6 of the sum.
    let x = vec![0.1; 1 << 22];
    let mut y = [0.0];
    reduce(Reduce::Sum, &[], &[], &[1 << 22], &[1], &x, &mut y);
    assert!((f64::from(y[0]) - f64::from(0.1_f32) * f64::from(1 << 22)).abs() < 0.8, "{y:?}");
    let mut y = [0.0; 4];
    reduce(Reduce::Sum, &[4], &[1], &[1 << 20], &[4], &x, &mut y);
    assert!(y.iter().all(|y| (f64::from(*y) - f64::from(0.1_f32) * f64::from(1 << 20)).abs() < 0.8), "{y:?}");
}

#[test]
fn results_are_bitwise_the_same_on_any_number_of_threads() {
    let x = oracle::values(7, 1 << 20);
    // One long sum, rows of all lengths and columns of all heights, at sizes that no task and no vector divides.
    let one = ODD_LENGTHS.into_iter().chain([1 << 20]).map(|len| ([len, 1], [true, false]));
    let matrices = ODD_MATRICES.into_iter().chain([(3, 262_153), (1021, 1021)]);
    let both = matrices.flat_map(|(rows, c)| [([rows, c], [true, false]), ([rows, c], [false, true])]);
    for (shape, is_reduced) in one.chain(both) {
        let x = &x[..shape[0] * shape[1]];
        let [n, p, m, q] = split(&shape, &is_reduced);
        for (op, (name, isa, run)) in OPS.into_iter().flat_map(|op| runs(&RUNGS).map(move |run| (op, run))) {
            assert_same_on_any_number_of_threads(&format!("{name} {isa} {op:?} {shape:?}"), || {
                let mut y = vec![7.0; n.iter().product()];
                run(isa, op, &n, &p, &m, &q, x, &mut y);
                [y]
            });
        }
    }
}

#[test]
#[should_panic(expected = "too few")]
fn strides_past_the_end_are_refused() {
    reduce(Reduce::Sum, &[2], &[3], &[3], &[1], &[0.0; 5], &mut [0.0; 2]);
}

#[test]
#[should_panic(expected = "too few")]
fn overflowing_strides_are_refused() {
    reduce(Reduce::Sum, &[2], &[usize::MAX / 2 + 2], &[3], &[usize::MAX / 2 + 1], &[0.0; 5], &mut [0.0; 2]);
}

#[test]
#[should_panic(expected = "length of y")]
fn another_length_of_y_is_refused() {
    reduce(Reduce::Sum, &[2], &[3], &[3], &[1], &[0.0; 6], &mut [0.0; 3]);
}

#[test]
#[should_panic(expected = "argmax of no elements")]
fn argmax_of_nothing_is_refused() {
    argmax(&[2], &[0], &[0], &[1], &[], &mut [0; 2]);
}
