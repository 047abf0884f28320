use super::*;
use crate::oracle::{check, values, widen};
use crate::trials::{assert_same_on_any_number_of_threads, runs};

/// (B, T, H, heads that turn, D, pairs): sizes below, at and above those of vectors, and sizes of zero.
const SHAPES: [[usize; 6]; 12] = [
    [1, 1, 1, 1, 2, 1],
    [2, 3, 2, 2, 8, 4],
    [1, 5, 3, 2, 10, 5],
    [2, 2, 3, 1, 33, 16],
    [1, 3, 2, 2, 64, 32],
    [1, 2, 1, 1, 70, 33], // a tail of both kinds
    [2, 3, 2, 2, 20, 3],  // most channels stay
    [1, 4, 3, 0, 6, 3],
    [1, 4, 2, 2, 5, 0],
    [0, 4, 2, 2, 4, 2],
    [2, 0, 2, 2, 4, 2],
    [2, 3, 0, 0, 4, 2],
];
const PAIRINGS: [Pairing; 2] = [Pairing::Interleaved, Pairing::HalfSplit];

fn shape_of([b, t, h, rotated, d, pairs]: [usize; 6]) -> Shape {
    Shape { b, t, h, rotated, d, pairs }
}

fn len(shape: Shape) -> usize {
    shape.b * shape.t * shape.h * shape.d
}

/// cos and sin of t·10000^(−i/pairs), from position `first` on.
fn tables(shape: Shape, first: usize) -> [Vec<f32>; 2] {
    let angle = |n: usize| {
        let (t, i) = (first + n / shape.pairs, n % shape.pairs);
        t as f64 * 10_000_f64.powf(-(i as f64) / shape.pairs as f64)
    };
    [f64::cos, f64::sin].map(|f| (0..shape.t * shape.pairs).map(|n| f(angle(n)) as f32).collect())
}

#[test]
fn every_rung_keeps_to_the_oracle() {
    for shape in SHAPES.map(shape_of) {
        let (mut x, [cos, sin]) = (values(1, len(shape)), tables(shape, 7));
        if x.len() > 64 {
            (x[3], x[40]) = (1e30, 1e-40);
        }
        for (pairing, inverse) in PAIRINGS.into_iter().flat_map(|p| [(p, false), (p, true)]) {
            let input = Input { shape, pairing, inverse, x: &x, cos: &cos, sin: &sin };
            let (mut plain, mut exact) = (vec![7.0; x.len()], vec![7.0; x.len()]);
            naive::rotate(input, &mut plain);
            let (x, cos, sin) = (widen(&x), widen(&cos), widen(&sin));
            naive::rotate(Input { shape, pairing, inverse, x: &x, cos: &cos, sin: &sin }, &mut exact);
            for (name, isa, run) in runs(&RUNGS) {
                let mut y = vec![7.0; x.len()];
                run(isa, input, &mut y);
                check(&y, &plain, &exact).unwrap_or_else(|e| panic!("{name} {isa} {shape:?} {pairing:?}: {e}"));
            }
        }
    }
}

/// Written with complex numbers: (x_a + i·x_b)·e^(i·angle).
#[test]
fn the_specification_is_a_product_of_complex_numbers() {
    let shape = shape_of([2, 3, 4, 3, 7, 3]);
    let (x, [cos, sin]) = (widen(&values(1, len(shape))), tables(shape, 0).map(|t| widen(&t)));
    for pairing in PAIRINGS {
        let mut y = vec![7.0; x.len()];
        naive::rotate(Input { shape, pairing, inverse: false, x: &x, cos: &cos, sin: &sin }, &mut y);
        for (row, (x, y)) in x.chunks(7).zip(y.chunks(7)).enumerate() {
            let (t, head) = (row / 4 % 3, row % 4);
            let mut expected = x.to_vec();
            for i in 0..3 {
                let (a, b) = if pairing == Pairing::Interleaved { (2 * i, 2 * i + 1) } else { (i, i + 3) };
                let (re, im) = (cos[t * 3 + i], sin[t * 3 + i]);
                if head < 3 {
                    (expected[a], expected[b]) = (x[a] * re - x[b] * im, x[a] * im + x[b] * re);
                }
            }
            assert_eq!(y, expected, "{pairing:?}, row {row}");
        }
    }
}

#[test]
fn the_inverse_is_the_derivative_and_undoes_the_rotation() {
    let (shape, h) = (shape_of([1, 3, 3, 2, 7, 3]), 1e-5);
    let (x, dy) = (widen(&values(1, len(shape))), widen(&values(2, len(shape))));
    let [cos, sin] = tables(shape, 5).map(|t| widen(&t));
    for pairing in PAIRINGS {
        let run = |inverse: bool, x: &[f64]| {
            let mut y = vec![7.0; x.len()];
            naive::rotate(Input { shape, pairing, inverse, x, cos: &cos, sin: &sin }, &mut y);
            y
        };
        let loss = |x: &[f64]| run(false, x).iter().zip(&dy).map(|(y, dy)| y * dy).sum::<f64>();
        let (dx, back) = (run(true, &dy), run(true, &run(false, &x)));
        for i in 0..x.len() {
            let (mut up, mut down) = (x.clone(), x.clone());
            up[i] += h;
            down[i] -= h;
            approx::assert_abs_diff_eq!(dx[i], (loss(&up) - loss(&down)) / (2.0 * h), epsilon = 1e-8);
            approx::assert_abs_diff_eq!(back[i], x[i], epsilon = 1e-6); // the tables are rounded to f32
        }
    }
}

#[test]
fn a_score_depends_on_the_distance_of_its_positions_alone() {
    let shape = shape_of([1, 1, 1, 1, 16, 8]);
    let (q, k) = (widen(&values(1, 16)), widen(&values(2, 16)));
    for pairing in PAIRINGS {
        let at = |x: &[f64], position: usize| {
            let angle = |i: usize| position as f64 * 10_000_f64.powf(-(i as f64) / 8.0);
            let [cos, sin] = [f64::cos, f64::sin].map(|f| (0..8).map(|i| f(angle(i))).collect::<Vec<f64>>());
            let mut y = vec![7.0; 16];
            naive::rotate(Input { shape, pairing, inverse: false, x, cos: &cos, sin: &sin }, &mut y);
            y
        };
        let score = |t, s| at(&q, t).iter().zip(at(&k, s)).map(|(q, k)| q * k).sum::<f64>();
        approx::assert_abs_diff_eq!(score(9, 4), score(105, 100), epsilon = 1e-12);
        assert!((score(9, 4) - score(9, 5)).abs() > 1e-3);
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for shape in [[3, 251, 3, 2, 67, 33], [1, 1009, 2, 2, 64, 32], [1, 31, 9, 5, 1031, 515]].map(shape_of) {
        let (x, [cos, sin]) = (values(1, len(shape)), tables(shape, 0));
        for (name, isa, run) in runs(&RUNGS) {
            for pairing in PAIRINGS {
                let what = format!("{name} {isa} {shape:?} {pairing:?}");
                assert_same_on_any_number_of_threads(&what, || {
                    let mut y = vec![7.0; x.len()];
                    run(isa, Input { shape, pairing, inverse: false, x: &x, cos: &cos, sin: &sin }, &mut y);
                    [y]
                });
            }
        }
    }
}

#[test]
fn wrong_lengths_are_refused() {
    let refused = |f: &dyn Fn()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).is_err();
    for ((name, isa, run), pairing) in runs(&RUNGS).flat_map(|run| PAIRINGS.map(|pairing| (run, pairing))) {
        let refuses = |shape: [usize; 6], [x, y, cos, sin]: [usize; 4]| {
            let (shape, [x, cos, sin]) = (shape_of(shape), [x, cos, sin].map(|len| vec![0.0; len]));
            let input = Input { shape, pairing, inverse: false, x: &x, cos: &cos, sin: &sin };
            refused(&|| run(isa, input, &mut vec![0.0; y]))
        };
        let (shape, right) = ([2, 3, 4, 2, 6, 3], [144, 144, 9, 9]);
        assert!(!refuses(shape, right), "{name} {isa}");
        for i in 0..4 {
            for wrong in [right[i] - 1, right[i] + 1] {
                let mut lengths = right;
                lengths[i] = wrong;
                assert!(refuses(shape, lengths), "{name} {isa} {lengths:?}");
            }
        }
        assert!(refuses([2, 3, 4, 5, 6, 3], right), "{name} {isa}: more heads turn than there are");
        assert!(refuses([2, 3, 4, 2, 6, 4], [144, 144, 12, 12]), "{name} {isa}: more pairs than channels");
        assert!(refuses([usize::MAX, 3, 4, 2, 6, 3], right), "{name} {isa}: a size that overflows");
    }
}
