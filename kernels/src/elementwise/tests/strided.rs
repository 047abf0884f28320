use super::super::*;
use crate::oracle;
use crate::trials::runs;

/// Shapes with the strides of three operands: every pattern of inner strides, mixes in 3-D, transposes, odd and empty.
fn cases() -> Vec<(Vec<usize>, [Vec<usize>; 3])> {
    let mut cases = vec![
        (vec![], [vec![], vec![], vec![]]),
        (vec![1, 1], [vec![5, 3], vec![0, 0], vec![1, 1]]),
        (vec![3, 0], [vec![1, 1], vec![0, 1], vec![1, 3]]),
        (vec![5, 33], [vec![33, 1], vec![0, 1], vec![1, 0]]),
        (vec![5, 33], [vec![1, 5], vec![33, 1], vec![0, 0]]),
        (vec![3, 5, 7], [vec![35, 7, 1], vec![0, 7, 1], vec![5, 1, 0]]),
        (vec![3, 5, 7], [vec![1, 3, 15], vec![35, 0, 1], vec![7, 0, 1]]),
        (vec![3, 5, 7], [vec![0, 1, 0], vec![7, 21, 1], vec![35, 1, 5]]),
        (vec![2, 1, 3, 1, 2, 1, 3, 2], [vec![36, 0, 12, 9, 6, 2, 2, 1], vec![0, 1, 1, 1, 0, 1, 0, 0], vec![1; 8]]),
        (vec![40, 50, 61], [vec![3050, 61, 1], vec![61, 0, 1], vec![1, 40, 2000]]),
        (vec![200_003], [vec![1], vec![0], vec![2]]),
    ];
    for len in [1, 7, 8, 16, 33] {
        for pattern in 0..27 {
            let strides = [pattern % 3, pattern / 3 % 3, pattern / 9].map(|stride| vec![stride]);
            cases.push((vec![len], strides));
        }
    }
    cases
}

fn reach(shape: &[usize], strides: &[usize]) -> usize {
    1 + shape.iter().zip(strides).map(|(n, s)| n.saturating_sub(1) * s).sum::<usize>()
}

#[test]
fn every_binary_rung_meets_the_oracle_however_it_is_broadcast() {
    for (shape, [p, q, _]) in cases() {
        let len = shape.iter().product();
        let rounded = |x: f32| (x * 4.0).round() / 4.0; // so that some are equal
        let a: Vec<f32> = oracle::values(1, reach(&shape, &p)).into_iter().map(rounded).collect();
        let b: Vec<f32> = oracle::values(2, reach(&shape, &q)).into_iter().map(rounded).collect();
        for op in Binary::ALL {
            let a: Vec<f32> = if op == Binary::Pow { a.iter().map(|a| a.abs() + 0.1).collect() } else { a.clone() };
            let (mut plain, mut exact, mut y) = (vec![0.0; len], vec![0.0; len], vec![9.0; len]);
            naive::binary(op, &shape, &a, &p, &b, &q, &mut plain);
            naive::binary(op, &shape, &oracle::widen(&a), &p, &oracle::widen(&b), &q, &mut exact);
            for rung in &BINARY_RUNGS {
                for isa in Isa::available() {
                    (rung.run)(isa, op, &shape, &a, &p, &b, &q, &mut y);
                    let result = oracle::check(&y, &plain, &exact);
                    result.unwrap_or_else(|e| panic!("{} {isa} {op:?} {shape:?} {p:?} {q:?}: {e}", rung.name));
                }
            }
        }
    }
}

/// Denormal operands, denormal results, or both.
#[test]
fn every_binary_rung_keeps_denormal_numbers() {
    let factors = [(1e-40, 1e-40), (1e-40, 1e20), (1e-20, 1e-20), (1e-40, 1e-20), (1e-20, 1e20)];
    let times = |factor: f32, seed, len| oracle::values(seed, len).into_iter().map(|x| factor * x).collect::<Vec<_>>();
    for ((of_a, of_b), len) in factors.into_iter().flat_map(|factors| [1, 7, 33, 130].map(|len| (factors, len))) {
        let (a, b) = (times(of_a, 1, len), times(of_b, 2, len));
        for (op, stride) in Binary::ALL.into_iter().flat_map(|op| [0, 1].map(|stride| (op, stride))) {
            let (n, p, q) = ([len], [1], [stride]);
            let (a, b) = match op {
                Binary::Pow => {
                    (a.iter().map(|a| a.abs()).collect(), b.iter().map(|b| (2.0 * b / of_b).abs()).collect())
                }
                _ => (a.clone(), b.clone()),
            };
            let (mut plain, mut exact, mut y) = (vec![0.0; len], vec![0.0; len], vec![9.0; len]);
            naive::binary(op, &n, &a, &p, &b, &q, &mut plain);
            naive::binary(op, &n, &oracle::widen(&a), &p, &oracle::widen(&b), &q, &mut exact);
            for (name, isa, run) in runs(&BINARY_RUNGS) {
                run(isa, op, &n, &a, &p, &b, &q, &mut y);
                // One at a time, so that a large element does not hide the error of a small one.
                for i in 0..len {
                    let result = oracle::check(&y[i..=i], &plain[i..=i], &exact[i..=i]);
                    result
                        .unwrap_or_else(|e| panic!("{name} {isa} {op:?} of {of_a:e} and {of_b:e}, {i} of {len}: {e}"));
                }
            }
        }
    }
}

#[test]
fn select_takes_where_the_condition_is_not_zero() {
    for (shape, [p, q, r]) in cases() {
        let len = shape.iter().product();
        let mut cond: Vec<f32> = oracle::values(1, reach(&shape, &p)).into_iter().map(f32::round).collect();
        cond[0] = f32::NAN;
        let (a, b) = (oracle::values(2, reach(&shape, &q)), oracle::values(3, reach(&shape, &r)));
        let (mut expected, mut y) = (vec![0.0; len], vec![9.0; len]);
        naive::select(&shape, &cond, &p, &a, &q, &b, &r, &mut expected);
        for (rung, isa) in SELECT_RUNGS.iter().flat_map(|rung| Isa::available().map(move |isa| (rung, isa))) {
            y.fill(9.0);
            (rung.run)(isa, &shape, &cond, &p, &a, &q, &b, &r, &mut y);
            assert_eq!(y, expected, "{} {isa} {shape:?} {p:?} {q:?} {r:?}", rung.name);
        }
    }
}

/// An independent walk: offsets from the row-major index by division.
#[test]
fn binary_reads_what_the_strides_say() {
    let (shape, p, q) = ([3, 5, 7], [1, 3, 15], [7, 0, 1]);
    let (a, b): (Vec<f32>, Vec<f32>) =
        ((0..105).map(|i| i as f32).collect(), (0..21).map(|i| 1000.0 * i as f32).collect());
    let mut y = [0.0; 105];
    binary(Binary::Add, &shape, &a, &p, &b, &q, &mut y);
    for (i, &y) in y.iter().enumerate() {
        let index = [i / 35, i / 7 % 5, i % 7];
        let at = |strides: [usize; 3]| (0..3).map(|d| index[d] * strides[d]).sum::<usize>();
        assert_eq!(y, a[at(p)] + b[at(q)]);
    }
}

#[test]
fn comparisons_and_extremes_of_nan_and_infinity() {
    let (n, i) = (f32::NAN, f32::INFINITY);
    let (a, b) = ([n, 1.0, i, -i, n, i, 0.0, -0.0, 2.0], [1.0, n, -i, i, n, i, -0.0, 0.0, 1.0]);
    for op in Binary::ALL {
        let mut exact = [0.0; 9];
        naive::binary(op, &[9], &oracle::widen(&a), &[1], &oracle::widen(&b), &[1], &mut exact);
        for isa in Isa::available() {
            let mut y = [9.0; 9];
            binary::simd(isa, op, &[9], &a, &[1], &b, &[1], &mut y);
            for k in 0..9 {
                let same = f64::from(y[k]) == exact[k] || (y[k].is_nan() && exact[k].is_nan());
                assert!(same, "{isa} {op:?}({}, {}): {} instead of {}", a[k], b[k], y[k], exact[k]);
            }
        }
    }
    let mut y = [9.0; 2];
    binary(Binary::Max, &[2], &[n, 1.0], &[1], &[1.0, n], &[1], &mut y);
    assert!(y[0].is_nan() && y[1].is_nan());
    binary(Binary::Ge, &[2], &[n, 1.0], &[1], &[1.0, 1.0], &[1], &mut y);
    assert_eq!(y, [0.0, 1.0]);
}

/// Shapes with the strides of x and of y; what y does not reach must stay.
fn copies() -> Vec<(Vec<usize>, [Vec<usize>; 2])> {
    vec![
        (vec![], [vec![], vec![]]),
        (vec![0, 3], [vec![3, 1], vec![3, 1]]),
        (vec![1, 1], [vec![7, 9], vec![0, 0]]),
        (vec![5, 7], [vec![7, 1], vec![7, 1]]),
        (vec![5, 7], [vec![7, 1], vec![20, 1]]), // into a wider matrix, as concat does
        (vec![5, 7], [vec![20, 1], vec![7, 1]]), // out of one, as split does
        (vec![5, 7], [vec![1, 5], vec![7, 1]]),
        (vec![7, 5], [vec![5, 1], vec![1, 7]]),
        (vec![33, 65], [vec![1, 33], vec![65, 1]]),
        (vec![33, 65], [vec![0, 1], vec![65, 1]]),
        (vec![33, 65], [vec![1, 0], vec![65, 1]]),
        (vec![33, 65], [vec![3, 100], vec![131, 2]]),
        (vec![3, 17, 19], [vec![323, 1, 17], vec![323, 19, 1]]),
        (vec![3, 17, 19], [vec![1, 3, 51], vec![323, 19, 1]]),
        (vec![2, 5, 3, 8], [vec![120, 8, 40, 1], vec![120, 24, 8, 1]]), // heads back between positions and features
        (vec![2, 5, 3, 8], [vec![1, 2, 10, 30], vec![120, 1, 5, 15]]),
        (vec![301, 997], [vec![1, 301], vec![997, 1]]),
        (vec![4, 301, 97], [vec![29197, 1, 301], vec![30000, 97, 1]]),
        (vec![200_003], [vec![1], vec![1]]),
        (vec![200_003], [vec![1], vec![2]]),
    ]
}

#[test]
fn every_copy_rung_moves_every_element_and_no_other() {
    for (shape, [p, q]) in copies() {
        let x = oracle::values(1, reach(&shape, &p));
        let (mut expected, mut y) = (vec![5.0; reach(&shape, &q) + 3], vec![]);
        naive::copy(&shape, &x, &p, &mut expected, &q);
        for rung in &COPY_RUNGS {
            y.clear();
            y.resize(expected.len(), 5.0);
            (rung.run)(Isa::active(), &shape, &x, &p, &mut y, &q);
            assert!(y == expected, "{} {shape:?} {p:?} {q:?}", rung.name);
        }
        let ids: Vec<u64> = (0..x.len() as u64).collect();
        let (mut expected, mut y) = (vec![5; expected.len()], vec![5; expected.len()]);
        naive::copy(&shape, &ids, &p, &mut expected, &q);
        copy(&shape, &ids, &p, &mut y, &q);
        assert!(y == expected, "u64 {shape:?} {p:?} {q:?}");
    }
}

#[test]
#[should_panic(expected = "the output overlaps itself")]
fn copy_refuses_a_broadcast_output() {
    copy(&[2, 3], &[1; 6], &[3, 1], &mut [0; 6], &[0, 1]);
}

#[test]
#[should_panic(expected = "the output overlaps itself")]
fn copy_refuses_an_output_in_sliding_windows() {
    copy(&[2, 3], &[1; 6], &[3, 1], &mut [0; 6], &[2, 1]);
}

#[test]
#[should_panic(expected = "too few for the shape")]
fn copy_refuses_a_short_output() {
    copy(&[2, 3], &[1; 6], &[3, 1], &mut [0; 5], &[3, 1]);
}

#[test]
#[should_panic(expected = "too few for the shape")]
fn binary_refuses_a_short_operand() {
    binary(Binary::Add, &[2, 3], &[0.0; 5], &[3, 1], &[0.0], &[0, 0], &mut [0.0; 6]);
}

#[test]
#[should_panic(expected = "too few for the shape")]
fn binary_refuses_strides_that_overflow() {
    binary(Binary::Add, &[3, 3], &[0.0; 5], &[usize::MAX / 2 + 1, 1], &[0.0], &[0, 0], &mut [0.0; 9]);
}

#[test]
#[should_panic(expected = "has no size")]
fn a_shape_that_overflows_is_refused() {
    binary(Binary::Add, &[usize::MAX, 3], &[0.0], &[0, 0], &[0.0], &[0, 0], &mut []);
}

#[test]
#[should_panic(expected = "has strides")]
fn binary_refuses_missing_strides() {
    binary(Binary::Add, &[2, 3], &[0.0; 6], &[1], &[0.0], &[0, 0], &mut [0.0; 6]);
}

#[test]
#[should_panic(expected = "length of y")]
fn binary_refuses_another_size_of_y() {
    binary(Binary::Add, &[2, 3], &[0.0; 6], &[3, 1], &[0.0], &[0, 0], &mut [0.0; 7]);
}

#[test]
#[should_panic(expected = "at most 8 dimensions")]
fn nine_dimensions_are_refused() {
    binary(Binary::Add, &[1; 9], &[0.0], &[1; 9], &[0.0], &[1; 9], &mut [0.0]);
}

#[test]
fn copies_past_the_caches_are_the_same() {
    // More than 16 MiB; rows that begin and end within cache lines, and rows of bytes.
    let (b, t, h, d) = (3, 4099, 5, 73);
    let (shape, p, q) = ([b, h, t, d], [t * h * d, d, h * d, 1], [t * h * d, t * d, d, 1]);
    let x = oracle::values(1, b * t * h * d);
    let (mut expected, mut y) = (vec![5.0; x.len() + 3], vec![5.0; x.len() + 3]);
    naive::copy(&shape, &x, &p, &mut expected[1..], &q);
    copy(&shape, &x, &p, &mut y[1..], &q);
    assert!(y == expected);
    let bytes: &[u8] = bytemuck::cast_slice(&x);
    let (rows, n) = (bytes.len() / 4099, 1999); // out of a wider matrix
    let mut narrow = vec![5_u8; rows * n + 3];
    copy(&[rows, n], bytes, &[4099, 1], &mut narrow[1..], &[n, 1]);
    assert!(narrow[1..].chunks_exact(n).zip(bytes.chunks_exact(4099)).all(|(y, x)| *y == x[..n]));
    assert_eq!((narrow[0], &narrow[1 + rows * n..]), (5, &[5, 5][..]));
}

#[test]
fn whole_lines_past_the_caches_are_the_same() {
    // As tensors have them: rows of whole cache lines from the start of one on.
    #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
    #[repr(C, align(64))]
    struct Line([f32; 16]);
    let (b, t, h, d) = (11, 256, 24, 64);
    let (shape, p, q) = ([b, h, t, d], [t * h * d, d, h * d, 1], [t * h * d, t * d, d, 1]);
    let x = oracle::values(1, b * t * h * d);
    let (mut expected, mut lines) = (vec![5.0; x.len()], vec![Line([5.0; 16]); x.len() / 16 + 1]);
    naive::copy(&shape, &x, &p, &mut expected, &q);
    let (y, after) = bytemuck::cast_slice_mut::<Line, f32>(&mut lines).split_at_mut(x.len());
    copy(&shape, &x, &p, y, &q);
    assert!(*y == expected && after == [5.0; 16]);
}
