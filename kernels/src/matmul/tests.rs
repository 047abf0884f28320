use super::{Operand, Products, RUNGS, Run, Shape, Strides, naive, operands::span};
use crate::trials::{assert_same_on_any_number_of_threads, runs};
use crate::{Isa, oracle};

/// How an operand lies in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Layout {
    /// Rows one after the other.
    Plain,
    /// Columns one after the other.
    Transposed,
    /// Plain, with gaps between elements and between rows.
    Gaps,
    /// Plain, the same matrix for the whole batch.
    Broadcast,
    /// Plain, every row the same.
    OneRow,
}
use Layout::*;

/// Strides of a batch of rows×columns matrices, and how many elements they need.
pub(super) fn lay_out(layout: Layout, batch: usize, rows: usize, columns: usize) -> (Strides, usize) {
    let strides = match layout {
        Plain => Strides { batch: rows * columns, row: columns, col: 1 },
        Transposed => Strides { batch: rows * columns, row: 1, col: rows },
        Gaps => Strides { batch: rows * (2 * columns + 3), row: 2 * columns + 3, col: 2 },
        Broadcast => Strides { batch: 0, row: columns, col: 1 },
        OneRow => Strides { batch: columns, row: 0, col: 1 },
    };
    (strides, span([batch, rows, columns], strides).unwrap())
}

/// What the operands hold.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Values {
    /// Eighths between −1 and 1: all sums are exact in `f32`, so that every order of summation gives the same bits.
    Eighths,
    /// Any `f32` between −1 and 1.
    Any,
    /// The same times a factor for each of A, B and C.
    Times([f32; 3]),
}
use Values::*;

/// Those of A, B and C have the seeds 1, 2 and 3.
fn values(kind: Values, seed: u64, len: usize) -> Vec<f32> {
    let mut values = oracle::values(seed, len);
    match kind {
        Eighths => values.iter_mut().for_each(|x| *x = (*x * 8.0).round() / 8.0),
        Any => (),
        Times(factors) => values.iter_mut().for_each(|x| *x *= factors[seed as usize - 1]),
    }
    values
}

/// Runs a rung on operands with these strides.
pub(super) fn run_on<I, B>(
    (isa, run): (I, Run<I, B>),
    shape: Shape,
    a: (&[f32], Strides),
    b: (&[B], Strides),
    c: &mut [f32],
    add: bool,
) {
    run(isa, Products { shape, a: Operand::new(a.0, a.1), b: Operand::new(b.0, b.1), c, add });
}

fn product(
    (isa, run): (Isa, Run),
    kind: Values,
    shape: Shape,
    layouts: (Layout, Layout),
    accumulate: bool,
) -> Vec<f32> {
    let Shape { batch, m, n, k } = shape;
    let (a_strides, a_len) = lay_out(layouts.0, batch, m, k);
    let (b_strides, b_len) = lay_out(layouts.1, batch, k, n);
    let (a, b) = (values(kind, 1, a_len), values(kind, 2, b_len));
    let mut c = if accumulate { values(kind, 3, batch * m * n) } else { vec![f32::NAN; batch * m * n] };
    run_on((isa, run), shape, (&a, a_strides), (&b, b_strides), &mut c, accumulate);
    c
}

fn exact_product(kind: Values, shape: Shape, layouts: (Layout, Layout), accumulate: bool) -> Vec<f64> {
    let Shape { batch, m, n, k } = shape;
    let (a_strides, a_len) = lay_out(layouts.0, batch, m, k);
    let (b_strides, b_len) = lay_out(layouts.1, batch, k, n);
    let [a, b] = [(1, a_len), (2, b_len)].map(|(seed, len)| oracle::widen(&values(kind, seed, len)));
    let mut c = oracle::widen(&values(kind, 3, batch * m * n));
    naive::forward(shape, &a, a_strides, &b, b_strides, &mut c, accumulate);
    c
}

/// Every rung at every instruction set against the oracle: equal for [`Eighths`], by the oracle's rule for the others.
fn check_all(kind: Values, shape: Shape, layouts: (Layout, Layout), accumulate: bool) {
    let exact = exact_product(kind, shape, layouts, accumulate);
    let plain = product((Isa::Portable, naive::run), kind, shape, layouts, accumulate);
    for (name, isa, run) in runs(RUNGS) {
        let got = product((isa, run), kind, shape, layouts, accumulate);
        let case = || format!("{name} at {isa}, {shape:?}, {layouts:?}, accumulate {accumulate}");
        match kind {
            Eighths => assert!(oracle::widen(&got) == exact, "{}", case()),
            Any | Times(_) => oracle::check(&got, &plain, &exact).unwrap_or_else(|error| panic!("{}: {error}", case())),
        }
    }
}

#[test]
fn every_rung_agrees_with_the_oracle_on_odd_sizes() {
    let sizes = [1, 2, 7, 33, 65];
    for m in sizes {
        for n in sizes {
            for k in sizes {
                for layouts in [(Plain, Plain), (Plain, Transposed), (Transposed, Plain), (Transposed, Transposed)] {
                    check_all(Eighths, Shape { batch: 1, m, n, k }, layouts, (m + n + k) % 2 == 0);
                }
            }
        }
    }
}

#[test]
fn every_number_of_rows_and_columns_at_the_edge_of_a_tile() {
    for edge in 1..=49 {
        check_all(Eighths, Shape { batch: 1, m: edge, n: 49 - edge / 2, k: 5 }, (Plain, Plain), false);
        check_all(Eighths, Shape { batch: 1, m: 9, n: 40 + edge, k: 10 }, (Transposed, Transposed), true);
    }
}

#[test]
fn batches_strides_and_broadcasts() {
    for batch in [0, 1, 3, 70] {
        for layout in [Plain, Transposed, Gaps, Broadcast, OneRow] {
            for other in [Plain, Transposed, Gaps, Broadcast, OneRow] {
                for (m, n, k) in [(1, 9, 40), (5, 1, 19), (9, 17, 8), (10, 50, 3)] {
                    for accumulate in [false, true] {
                        check_all(Eighths, Shape { batch, m, n, k }, (layout, other), accumulate);
                    }
                }
            }
        }
    }
}

#[test]
fn sizes_that_are_cut_into_blocks() {
    let blocks_of_k_m_and_n = [(300, 100, 1100), (5, 4200, 70), (40, 300, 513)];
    let read_in_place = [(100, 96, 600), (203, 65, 130), (770, 144, 96), (130, 259, 700)];
    let few_rows = [(2, 300, 130), (13, 700, 401), (24, 55, 1000)];
    let long_sum = [(65, 50, 4500), (33, 64, 20_000)];
    let vectors = [(1, 700, 1000), (1, 3000, 130), (700, 1, 1001)];
    for (m, n, k) in blocks_of_k_m_and_n.into_iter().chain(read_in_place).chain(few_rows).chain(long_sum).chain(vectors)
    {
        for layouts in [(Plain, Plain), (Plain, Transposed), (Transposed, Plain), (Gaps, Gaps)] {
            check_all(Eighths, Shape { batch: 1, m, n, k }, layouts, k % 2 == 0);
            check_all(Any, Shape { batch: 1, m, n, k }, layouts, k % 2 == 1);
        }
    }
    // C is too large to cut the sum, and A lies in columns: several chunks of blocks of k.
    check_all(Eighths, Shape { batch: 1, m: 270, n: 260, k: 1603 }, (Transposed, Plain), false);
    // Several matrices in a task.
    check_all(Eighths, Shape { batch: 33, m: 40, n: 50, k: 121 }, (Plain, Transposed), true);
    check_all(Any, Shape { batch: 3, m: 90, n: 250, k: 400 }, (Plain, Transposed), false);
    check_all(Any, Shape { batch: 3, m: 30, n: 250, k: 400 }, (Plain, Broadcast), true);
}

#[test]
fn denormal_operands_and_results() {
    let operands = [Times([1e-40, 1e20, 1e-20]), Times([1e20, 1e-40, 1e-20])];
    let results = [Times([1e-20, 1e-20, 1e-40]), Times([1e-40, 1.0, 1e-40])];
    for kind in operands.into_iter().chain(results) {
        for (m, n, k) in [(1, 65, 130), (65, 1, 130), (7, 65, 33), (13, 300, 401), (100, 96, 300), (65, 50, 1500)] {
            for layouts in [(Plain, Plain), (Plain, Transposed), (Transposed, Plain), (Gaps, Gaps)] {
                check_all(kind, Shape { batch: 1, m, n, k }, layouts, m % 2 == 1);
            }
        }
    }
}

#[test]
fn no_steps_give_zeros_and_no_outputs_do_nothing() {
    for rung in RUNGS {
        let strides = Strides { batch: 5, row: 5, col: 1 };
        let run = |m, n, k, c: &mut [f32], accumulate| {
            let shape = Shape { batch: 1, m, n, k };
            run_on((Isa::Portable, rung.run), shape, (&[], strides), (&[], strides), c, accumulate);
        };
        let mut c = [3.0, 4.0];
        run(1, 2, 0, &mut c, true);
        assert_eq!(c, [3.0, 4.0], "{}", rung.name);
        run(1, 2, 0, &mut c, false);
        assert_eq!(c, [0.0, 0.0], "{}", rung.name);
        run(0, usize::MAX, 0, &mut [], false);
        let shape = Shape { batch: 7, m: 0, n: 1, k: 1 };
        run_on((Isa::Portable, rung.run), shape, (&[], strides), (&[1.0; 31], strides), &mut [], false);
    }
}

#[test]
fn not_a_number_and_infinity_are_not_lost() {
    let shape = Shape { batch: 1, m: 9, n: 50, k: 3 };
    let [mut a, b] = [vec![0.0; 27], vec![1.0; 150]];
    (a[0], a[4]) = (f32::NAN, f32::INFINITY);
    let (sa, sb) = (lay_out(Plain, 1, 9, 3).0, lay_out(Plain, 1, 3, 50).0);
    for rung in RUNGS {
        for isa in Isa::available() {
            let mut c = vec![0.0; 450];
            run_on((isa, rung.run), shape, (&a, sa), (&b, sb), &mut c, false);
            assert!(c[..50].iter().all(|x| x.is_nan()) && c[50..100].iter().all(|&x| x == f32::INFINITY));
            assert!(c[100..].iter().all(|&x| x == 0.0), "{} at {isa}", rung.name);
        }
    }
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    let one = |m, n, k| Shape { batch: 1, m, n, k };
    // Each in a way of its own of the last rung, `direct`, and of the one before, `threads`.
    let shapes = [
        one(768, 96, 128),
        one(130, 65, 600),
        one(130, 260, 700),
        one(7, 600, 500),
        one(500, 200, 700),
        one(61, 127, 4999),
        one(1, 2000, 500),
        one(1, 4099, 307),
        one(2000, 1, 500),
        one(17, 3001, 307),
        one(257, 131, 263),
    ];
    let batches = [Shape { batch: 33, m: 40, n: 50, k: 60 }, Shape { batch: 2, m: 300, n: 200, k: 200 }];
    for shape in shapes.into_iter().chain(batches) {
        for layouts in [(Plain, Plain), (Plain, Transposed), (Transposed, Plain)] {
            // All but the definition, which takes long at these sizes.
            for (name, isa, run) in runs(&RUNGS[1..]) {
                let case = format!("{name} at {isa}, {shape:?}, {layouts:?}");
                assert_same_on_any_number_of_threads(&case, || [product((isa, run), Any, shape, layouts, true)]);
            }
        }
    }
}

/// Whether every rung refuses the call with its own words, before it does anything.
fn refused(shape: Shape, a: (usize, Strides), b: (usize, Strides), c: usize) -> bool {
    RUNGS.iter().all(|rung| {
        let (x, y, mut z) = (vec![1.0; a.0], vec![1.0; b.0], vec![0.0; c]);
        let run = || run_on((Isa::best(), rung.run), shape, (&x, a.1), (&y, b.1), &mut z, false);
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).err();
        let message = panic.and_then(|panic| panic.downcast::<String>().ok());
        z.iter().all(|&z| z == 0.0) && message.is_some_and(|message| message.contains("matmul: "))
    })
}

#[test]
fn slices_that_are_too_short_are_refused() {
    let shape = Shape { batch: 2, m: 3, n: 4, k: 5 };
    let (a, b) = (lay_out(Plain, 2, 3, 5), lay_out(Transposed, 2, 5, 4));
    assert!(!refused(shape, (a.1, a.0), (b.1, b.0), 24));
    assert!(refused(shape, (a.1 - 1, a.0), (b.1, b.0), 24), "A too short");
    assert!(refused(shape, (a.1, a.0), (b.1 - 1, b.0), 24), "B too short");
    assert!(refused(shape, (a.1, a.0), (b.1, b.0), 23), "C too short");
    assert!(refused(shape, (a.1, a.0), (b.1, b.0), 25), "C too long");
    let far = Strides { batch: usize::MAX / 2, row: usize::MAX / 2, col: usize::MAX / 2 };
    assert!(refused(shape, (100, far), (b.1, b.0), 24), "the index of the last element of A overflows");
    assert!(refused(shape, (a.1, a.0), (100, far), 24), "the index of the last element of B overflows");
    let vast = Shape { batch: 1, m: 1 << 33, n: 1 << 33, k: 1 };
    let same = Strides { batch: 0, row: 0, col: 0 };
    assert!(refused(vast, (1, same), (1, same), 4), "the number of elements of C overflows");
}
