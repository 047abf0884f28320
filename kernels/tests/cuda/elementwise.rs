//! Functions of one number and of two, selection, copies, and what adds up gradients.

use crate::device::{Device, device};
use gradus_kernels::{
    corners,
    cuda::{Slice, SliceMut},
    elementwise::{Binary, Domain, Saves, Unary, cuda, naive},
    oracle,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Below and above four elements, a warp and a block.
const LENGTHS: [usize; 7] = [0, 1, 4, 7, 33, 257, 1030];

/// Values in the domain of the function, with what training never sees but a user may: large, tiny, zero.
fn inputs(op: Unary, len: usize) -> Vec<f32> {
    let extreme = [0.0, 1e-30, 1e-3, 9.0, 40.0, 85.0];
    let values = oracle::values(1, len).into_iter().enumerate();
    let x = values.map(|(i, x)| if i % 7 == 3 { extreme[i / 7 % 6] * x.signum() } else { 4.0 * x });
    x.map(|x| if op.domain() == Domain::Positive { x.abs() + 1e-3 } else { x }).collect()
}

/// What the derivative is computed from.
fn saved_of(op: Unary, x: &[f32]) -> Vec<f32> {
    match op.saves() {
        Saves::Nothing => vec![],
        Saves::Input => x.to_vec(),
        Saves::Output => x.iter().map(|&x| naive::apply(op, x)).collect(),
    }
}

/// One element at a time, so that a large one does not hide the error of a small one. GELU's left tail is a difference in the
/// specification.
fn check_each(got: &[f32], plain: &[f32], exact: &[f64], what: &str) {
    for i in 0..exact.len() {
        let result = oracle::check(&got[i..=i], &plain[i..=i], &exact[i..=i]);
        let tiny = (f64::from(got[i]) - exact[i]).abs() < 1e-6;
        assert!(result.is_ok() || tiny, "{what}, element {i}: {result:?}");
    }
    oracle::check(got, plain, exact).unwrap_or_else(|error| panic!("{what}: {error}"));
}

impl Device {
    /// `run` on memory for `len` numbers, which begins `offset` elements into a buffer and has to stay as it is around them.
    fn outcome(&self, before: &[f32], offset: usize, run: impl FnOnce(SliceMut<'_, f32>)) -> Vec<f32> {
        let mut padded = vec![5.0; before.len() + offset + 3];
        padded[offset..][..before.len()].copy_from_slice(before);
        let mut buffer = self.upload(&padded);
        run(buffer.slice_mut(offset..offset + before.len()));
        let got = buffer.to_host::<f32>().unwrap();
        let around = |x: &[f32]| x.iter().all(|&x| x == 5.0);
        assert!(around(&got[..offset]) && around(&got[offset + before.len()..]), "elements around the output changed");
        got[offset..][..before.len()].to_vec()
    }
}

/// The names in a table of functions.cuh, in their order.
fn lines(table: &str) -> Vec<&'static str> {
    let text = include_str!("../../src/elementwise/cuda/functions.cuh");
    let start = text.find(&format!("#define {table}(FUNCTION)")).unwrap_or_else(|| panic!("no {table}"));
    let table = text[start..].split("\n\n").next().expect("a first part");
    let name = |line: &'static str| line.trim().strip_prefix("FUNCTION(")?.split(',').next();
    table.lines().filter_map(name).collect()
}

#[test]
fn every_function_has_its_line_in_cuda() {
    assert_eq!(lines("UNARY_FUNCTIONS"), Unary::ALL.map(|op| format!("{op:?}")));
    assert_eq!(lines("BINARY_FUNCTIONS"), Binary::ALL.map(|op| format!("{op:?}")));
    assert!(Unary::ALL.iter().enumerate().all(|(place, &op)| op as usize == place));
    assert!(Binary::ALL.iter().enumerate().all(|(place, &op)| op as usize == place));
}

#[test]
fn every_unary_rung_meets_the_oracle() {
    let Some(device) = device() else { return };
    for (op, len) in Unary::ALL.into_iter().flat_map(|op| LENGTHS.map(|len| (op, len))) {
        let x = inputs(op, len);
        let (mut plain, mut exact) = (vec![0.0; len], vec![0.0; len]);
        naive::unary(op, &x, &mut plain);
        naive::unary(op, &oracle::widen(&x), &mut exact);
        let input = device.upload(&x);
        for (rung, offset) in cuda::UNARY_CUDA_RUNGS.iter().flat_map(|rung| [(rung, 0), (rung, 1)]) {
            let got = device.outcome(&vec![9.0; len], offset, |y| {
                (rung.run)(&device.gpu, op, input.slice(0..len), y).unwrap();
            });
            check_each(&got, &plain, &exact, &format!("{} {op:?}, {len}", rung.name));
        }
    }
}

#[test]
fn every_unary_backward_rung_meets_the_oracle() {
    let Some(device) = device() else { return };
    for (op, len) in Unary::ALL.into_iter().flat_map(|op| LENGTHS.map(|len| (op, len))) {
        let (saved, dy) = (saved_of(op, &inputs(op, len)), oracle::values(4, len));
        let (mut plain, mut exact) = (vec![0.0; len], vec![0.0; len]);
        naive::unary_backward(op, &saved, &dy, &mut plain);
        naive::unary_backward(op, &oracle::widen(&saved), &oracle::widen(&dy), &mut exact);
        // From an odd element of a buffer on, and to its end.
        let (from, gradient) = (device.upload(&[&[5.0], &saved[..]].concat()), device.upload(&dy));
        let from = || from.slice(1..1 + saved.len());
        for (rung, offset) in cuda::UNARY_BACKWARD_CUDA_RUNGS.iter().flat_map(|rung| [(rung, 0), (rung, 1)]) {
            let got = device.outcome(&vec![9.0; len], offset, |dx| {
                (rung.run)(&device.gpu, op, from(), gradient.slice(0..len), dx).unwrap();
            });
            oracle::check(&got, &plain, &exact).unwrap_or_else(|e| panic!("{} {op:?}, {len}: {e}", rung.name));
        }
        for (rung, offset) in cuda::UNARY_IN_PLACE_CUDA_RUNGS.iter().flat_map(|rung| [(rung, 0), (rung, 1)]) {
            let got = device.outcome(&dy, offset, |d| (rung.run)(&device.gpu, op, from(), d).unwrap());
            oracle::check(&got, &plain, &exact).unwrap_or_else(|e| panic!("{} {op:?} in place, {len}: {e}", rung.name));
        }
    }
}

/// The units of rounding that corners may be off by, as on the CPU.
const UNITS: f64 = 20.0;

fn close(got: f32, expected: f64) -> Result<(), String> {
    corners::check(f64::from(got), f64::from(expected as f32), UNITS, f64::from(f32::EPSILON))
}

#[test]
fn every_unary_rung_where_formulas_end() {
    let Some(device) = device() else { return };
    let points = corners::POINTS.map(|x| x as f32);
    let input = device.upload(&points);
    let ones = device.upload(&[1.0_f32; 9]);
    for (op, values, slopes) in corners::UNARY {
        for (forward, backward) in cuda::UNARY_CUDA_RUNGS.iter().zip(&cuda::UNARY_BACKWARD_CUDA_RUNGS) {
            let y = device.outcome(&[9.0; 9], 0, |y| (forward.run)(&device.gpu, op, input.slice(0..9), y).unwrap());
            let kept = device.upload(if op.saves() == Saves::Output { &y } else { &points });
            let kept: Slice<'_, f32> = kept.slice(0..if op.saves() == Saves::Nothing { 0 } else { 9 });
            let dx = device.outcome(&[9.0; 9], 0, |dx| {
                (backward.run)(&device.gpu, op, kept, ones.slice(0..9), dx).unwrap();
            });
            for i in 0..9 {
                let (name, point) = (forward.name, points[i]);
                close(y[i], values[i]).unwrap_or_else(|e| panic!("{name} {op:?}({point:e}): {e}"));
                close(dx[i], slopes[i]).unwrap_or_else(|e| panic!("{name} {op:?}′({point:e}): {e}"));
            }
        }
    }
}

#[test]
fn every_binary_rung_where_formulas_end() {
    let Some(device) = device() else { return };
    for (op, a, b, value, _) in corners::BINARY {
        let (left, right) = (device.upload(&[a as f32; 7]), device.upload(&[b as f32; 7]));
        for (rung, steps) in cuda::BINARY_CUDA_RUNGS.iter().flat_map(|rung| [(1, 1), (0, 1), (1, 0)].map(|s| (rung, s)))
        {
            let y = device.outcome(&[9.0; 7], 0, |y| {
                let (a, b) = (left.slice(0..7), right.slice(0..7));
                (rung.run)(&device.gpu, op, &[7], a, &[steps.0], b, &[steps.1], y).unwrap();
            });
            for y in y {
                close(y, value).unwrap_or_else(|e| panic!("{} {op:?}({a:e}, {b:e}): {e}", rung.name));
            }
        }
    }
}

/// Shapes with the strides of three operands: every pattern of inner strides, mixes in three axes and more, transposes, odd and empty.
fn cases() -> Vec<(Vec<usize>, [Vec<usize>; 3])> {
    let mut cases = vec![
        (vec![], [vec![], vec![], vec![]]),
        (vec![1, 1], [vec![5, 3], vec![0, 0], vec![1, 1]]),
        (vec![3, 0], [vec![1, 1], vec![0, 1], vec![1, 3]]),
        (vec![5, 33], [vec![33, 1], vec![0, 1], vec![1, 0]]),
        (vec![5, 32], [vec![32, 1], vec![0, 1], vec![1, 0]]),
        (vec![5, 33], [vec![1, 5], vec![33, 1], vec![0, 0]]),
        (vec![3, 5, 7], [vec![35, 7, 1], vec![0, 7, 1], vec![5, 1, 0]]),
        (vec![3, 5, 7], [vec![1, 3, 15], vec![35, 0, 1], vec![7, 0, 1]]),
        (vec![3, 5, 8], [vec![0, 1, 0], vec![8, 24, 1], vec![40, 1, 5]]),
        (vec![2, 1, 3, 1, 2, 1, 3, 2], [vec![36, 0, 12, 9, 6, 2, 2, 1], vec![0, 1, 1, 1, 0, 1, 0, 0], vec![1; 8]]),
        (vec![2, 3, 2, 3, 2, 3, 2, 2], [vec![0; 8], vec![1, 2, 4, 8, 16, 32, 64, 128], vec![1, 0, 1, 0, 1, 0, 1, 0]]),
        (vec![2003], [vec![1], vec![0], vec![2]]),
    ];
    for pattern in 0..27 {
        cases.push((vec![9], [pattern % 3, pattern / 3 % 3, pattern / 9].map(|stride| vec![stride])));
    }
    cases
}

fn reach(shape: &[usize], strides: &[usize]) -> usize {
    1 + shape.iter().zip(strides).map(|(n, s)| n.saturating_sub(1) * s).sum::<usize>()
}

#[test]
fn every_binary_rung_meets_the_oracle_however_it_is_broadcast() {
    let Some(device) = device() else { return };
    for (shape, [p, q, _]) in cases() {
        let len = shape.iter().product();
        let rounded = |x: f32| (x * 4.0).round() / 4.0; // so that some are equal
        let a: Vec<f32> = oracle::values(1, reach(&shape, &p)).into_iter().map(rounded).collect();
        let b: Vec<f32> = oracle::values(2, reach(&shape, &q)).into_iter().map(rounded).collect();
        for op in Binary::ALL {
            let a: Vec<f32> = if op == Binary::Pow { a.iter().map(|a| a.abs() + 0.1).collect() } else { a.clone() };
            let (mut plain, mut exact) = (vec![0.0; len], vec![0.0; len]);
            naive::binary(op, &shape, &a, &p, &b, &q, &mut plain);
            naive::binary(op, &shape, &oracle::widen(&a), &p, &oracle::widen(&b), &q, &mut exact);
            let (left, right) = (device.upload(&a), device.upload(&b));
            for rung in &cuda::BINARY_CUDA_RUNGS {
                let y = device.outcome(&vec![9.0; len], len % 2, |y| {
                    let (a, b) = (left.slice(0..a.len()), right.slice(0..b.len()));
                    (rung.run)(&device.gpu, op, &shape, a, &p, b, &q, y).unwrap();
                });
                let result = oracle::check(&y, &plain, &exact);
                result.unwrap_or_else(|e| panic!("{} {op:?} {shape:?} {p:?} {q:?}: {e}", rung.name));
            }
        }
    }
}

/// Denormal operands, denormal results, or both: none is taken for zero.
#[test]
fn every_binary_rung_keeps_denormal_numbers() {
    let Some(device) = device() else { return };
    for (of_a, of_b) in [(1e-40, 1e-40), (1e-40, 1e20), (1e-20, 1e-20), (1e-20, 1e20)] {
        let times = |factor: f32, seed| oracle::values(seed, 33).into_iter().map(|x| factor * x).collect::<Vec<_>>();
        let (a, b) = (times(of_a, 1), times(of_b, 2));
        for op in Binary::ALL.into_iter().filter(|&op| op != Binary::Pow) {
            let (mut plain, mut exact) = (vec![0.0; 33], vec![0.0; 33]);
            naive::binary(op, &[33], &a, &[1], &b, &[1], &mut plain);
            naive::binary(op, &[33], &oracle::widen(&a), &[1], &oracle::widen(&b), &[1], &mut exact);
            let (left, right) = (device.upload(&a), device.upload(&b));
            for rung in &cuda::BINARY_CUDA_RUNGS {
                let y = device.outcome(&[9.0; 33], 0, |y| {
                    (rung.run)(&device.gpu, op, &[33], left.slice(0..33), &[1], right.slice(0..33), &[1], y).unwrap();
                });
                for i in 0..33 {
                    let result = oracle::check(&y[i..=i], &plain[i..=i], &exact[i..=i]);
                    result.unwrap_or_else(|e| panic!("{} {op:?} of {of_a:e} and {of_b:e}: {e}", rung.name));
                }
            }
        }
    }
}

#[test]
fn select_takes_where_the_condition_is_not_zero() {
    let Some(device) = device() else { return };
    for (shape, [p, q, r]) in cases() {
        let len = shape.iter().product();
        let mut cond: Vec<f32> = oracle::values(1, reach(&shape, &p)).into_iter().map(f32::round).collect();
        cond[0] = f32::NAN;
        let (a, b) = (oracle::values(2, reach(&shape, &q)), oracle::values(3, reach(&shape, &r)));
        let mut expected = vec![0.0; len];
        naive::select(&shape, &cond, &p, &a, &q, &b, &r, &mut expected);
        let (which, left, right) = (device.upload(&cond), device.upload(&a), device.upload(&b));
        for rung in &cuda::SELECT_CUDA_RUNGS {
            let y = device.outcome(&vec![9.0; len], len % 2, |y| {
                let (c, a, b) = (which.slice(0..cond.len()), left.slice(0..a.len()), right.slice(0..b.len()));
                (rung.run)(&device.gpu, &shape, c, &p, a, &q, b, &r, y).unwrap();
            });
            assert_eq!(y, expected, "{} {shape:?} {p:?} {q:?} {r:?}", rung.name);
        }
    }
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
        (vec![3, 24], [vec![32, 1], vec![24, 1]]), // rows of whole 16 bytes
        (vec![3, 5, 9], [vec![64, 9, 1], vec![45, 9, 1]]),
        (vec![5, 7], [vec![1, 5], vec![7, 1]]),
        (vec![7, 5], [vec![5, 1], vec![1, 7]]),
        (vec![32, 64], [vec![1, 32], vec![64, 1]]),
        (vec![33, 65], [vec![1, 33], vec![65, 1]]),
        (vec![33, 65], [vec![0, 1], vec![65, 1]]),
        (vec![33, 65], [vec![1, 0], vec![65, 1]]),
        (vec![33, 65], [vec![3, 100], vec![131, 2]]),
        (vec![3, 17, 39], [vec![663, 1, 17], vec![663, 39, 1]]),
        (vec![3, 17, 39], [vec![1, 3, 51], vec![663, 39, 1]]),
        (vec![2, 5, 3, 8], [vec![120, 8, 40, 1], vec![120, 24, 8, 1]]), // heads back between positions and features
        (vec![2, 5, 3, 8], [vec![1, 2, 10, 30], vec![120, 1, 5, 15]]),
        (vec![2, 3, 2, 3, 2, 3, 2, 2], [vec![1, 2, 6, 12, 36, 72, 216, 432], vec![432, 144, 72, 24, 12, 4, 2, 1]]),
        (vec![4, 31, 17], [vec![527, 1, 31], vec![600, 17, 1]]),
        (vec![2003], [vec![1], vec![2]]),
    ]
}

fn copies_of<E: bytemuck::Pod + PartialEq>(device: &Device, of: impl Fn(usize) -> E) {
    for (shape, [p, q]) in copies() {
        let x: Vec<E> = (0..reach(&shape, &p)).map(&of).collect();
        let before = vec![of(77); reach(&shape, &q) + 3];
        let mut expected = before.clone();
        naive::copy(&shape, &x, &p, &mut expected, &q);
        let input = device.upload(&x);
        device.in_every_schedule(|schedule| {
            let mut y = device.upload(&before);
            let target = y.slice_mut::<E>(0..before.len());
            cuda::copy(&device.gpu, &shape, input.slice(0..x.len()), &p, target, &q).unwrap();
            let bytes = size_of::<E>();
            assert!(y.to_host::<E>().unwrap() == expected, "{bytes} bytes {shape:?} {p:?} {q:?}, {schedule}");
        });
    }
}

#[test]
fn copies_move_every_element_and_no_other() {
    let Some(device) = device() else { return };
    copies_of(&device, |i| i as u16);
    copies_of(&device, |i| i as u32);
    copies_of(&device, |i| i as u64);
    for (shape, [p, q]) in copies() {
        let x = oracle::values(1, reach(&shape, &p));
        let mut expected = vec![5.0; reach(&shape, &q)];
        naive::copy(&shape, &x, &p, &mut expected, &q);
        let input = device.upload(&x);
        for rung in &cuda::COPY_CUDA_RUNGS {
            let y = device.outcome(&vec![5.0; expected.len()], 1, |y| {
                (rung.run)(&device.gpu, &shape, input.slice(0..x.len()), &p, y, &q).unwrap();
            });
            assert_eq!(y, expected, "{} {shape:?} {p:?} {q:?}", rung.name);
        }
    }
}

#[test]
fn axpy_scale_and_accumulate_do_what_they_say() {
    let Some(device) = device() else { return };
    for (len, offset) in LENGTHS.into_iter().flat_map(|len| [(len, 0), (len, 3)]) {
        let (x, y) = (oracle::values(1, len), oracle::values(2, len));
        let addend = device.upload(&x);
        let (mut plain, mut exact) = (y.clone(), oracle::widen(&y));
        naive::axpy(0.3, &x, &mut plain);
        naive::axpy(f64::from(0.3_f32), &oracle::widen(&x), &mut exact);
        for rung in &cuda::AXPY_CUDA_RUNGS {
            let got = device.outcome(&y, offset, |y| (rung.run)(&device.gpu, 0.3, addend.slice(0..len), y).unwrap());
            oracle::check(&got, &plain, &exact).unwrap_or_else(|e| panic!("{} {len}: {e}", rung.name));
        }
        let sum: Vec<f32> = x.iter().zip(&y).map(|(x, y)| x + y).collect();
        let got = device.outcome(&y, offset, |y| cuda::accumulate(&device.gpu, y, addend.slice(0..len)).unwrap());
        assert_eq!(got, sum);
        let scaled: Vec<f32> = y.iter().map(|y| -3.0 * y).collect();
        for rung in &cuda::SCALE_CUDA_RUNGS {
            let got = device.outcome(&y, offset, |y| (rung.run)(&device.gpu, -3.0, y).unwrap());
            assert_eq!(got, scaled, "{} {len}", rung.name);
        }
    }
}

#[test]
fn the_best_functions_are_the_top_rungs_and_refuse_what_does_not_fit() {
    let Some(device) = device() else { return };
    let gpu = &device.gpu;
    let (x, mut y) = (device.upload(&[1.0_f32, -4.0, 9.0]), device.output::<f32>(3));
    cuda::unary(gpu, Unary::Abs, x.slice(0..3), y.slice_mut(0..3)).unwrap();
    assert_eq!(y.to_host::<f32>().unwrap(), [1.0, 4.0, 9.0]);
    cuda::unary_backward(gpu, Unary::Sqrt, x.slice(0..1), x.slice(1..2), y.slice_mut(0..1)).unwrap();
    cuda::unary_backward_in_place(gpu, Unary::Neg, x.slice(0..0), y.slice_mut(1..2)).unwrap();
    cuda::scale_in_place(gpu, 2.0, y.slice_mut(2..3)).unwrap();
    assert_eq!(y.to_host::<f32>().unwrap(), [-2.0, -4.0, 18.0]);
    cuda::binary(gpu, Binary::Sub, &[3], x.slice(0..3), &[1], x.slice(0..1), &[0], y.slice_mut(0..3)).unwrap();
    assert_eq!(y.to_host::<f32>().unwrap(), [0.0, -5.0, 8.0]);
    let x = || x.slice(0..3);
    cuda::select(gpu, &[3], x(), &[1], x(), &[1], x(), &[0], y.slice_mut(0..3)).unwrap();
    assert_eq!(y.to_host::<f32>().unwrap(), [1.0, -4.0, 9.0]);

    let mut refused = |what: &str, run: &mut dyn FnMut(&mut gradus_kernels::cuda::Buffer)| {
        assert!(catch_unwind(AssertUnwindSafe(|| run(&mut y))).is_err(), "{what}");
    };
    refused("lengths", &mut |y| cuda::unary(gpu, Unary::Exp, x(), y.slice_mut(0..2)).unwrap());
    let nothing = || x().range(0..0);
    refused("saved", &mut |y| {
        cuda::unary_backward(gpu, Unary::Exp, nothing(), x(), y.slice_mut(0..3)).unwrap();
    });
    refused("saved in place", &mut |y| {
        cuda::unary_backward_in_place(gpu, Unary::Exp, nothing(), y.slice_mut(0..3)).unwrap();
    });
    refused("axpy", &mut |y| cuda::axpy(gpu, 1.0, x(), y.slice_mut(0..2)).unwrap());
    refused("y", &mut |y| {
        cuda::binary(gpu, Binary::Add, &[3], x(), &[1], x(), &[1], y.slice_mut(0..2)).unwrap();
    });
    refused("a short operand", &mut |y| {
        cuda::binary(gpu, Binary::Add, &[3], x(), &[2], x(), &[1], y.slice_mut(0..3)).unwrap();
    });
    refused("a short condition", &mut |y| {
        cuda::select(gpu, &[3], x(), &[2], x(), &[1], x(), &[1], y.slice_mut(0..3)).unwrap();
    });
    refused("an output that overlaps itself", &mut |y| {
        cuda::copy(gpu, &[3], x(), &[1], y.slice_mut(0..3), &[0]).unwrap();
    });
    let bytes = device.upload(&[1_u8; 3]);
    refused("elements of a byte", &mut |y| {
        cuda::copy::<u8>(gpu, &[3], bytes.slice(0..3), &[1], y.slice_mut(0..3), &[1]).unwrap();
    });
}
