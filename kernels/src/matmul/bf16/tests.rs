use super::{RUNGS, naive::rounded, naive_stored, stored};
use crate::matmul::{
    Operand, Shape, Strides,
    block::Block,
    naive,
    operands::{Source, View},
    packed_kernel::{
        micro_tiles,
        pack_tiles::{self, Rows},
    },
    tests::{
        Layout::{self, *},
        lay_out, run_on,
    },
};
use crate::simd::bf16::round;
use crate::simd::tiles::Emulated;
use crate::trials::{assert_same_on_any_number_of_threads, bf16_runs};
use crate::{Bf16Isa, oracle};
use half::bf16;

/// A product to check: with `exact` operands (eighths, so that every order of summation gives the same bits) or any.
#[derive(Clone, Copy, Debug)]
struct Case {
    shape: Shape,
    layouts: (Layout, Layout),
    accumulate: bool,
    exact: bool,
}

impl Case {
    fn values(&self, seed: u64, len: usize) -> Vec<f32> {
        let mut values = oracle::values(seed, len);
        if self.exact {
            values.iter_mut().for_each(|x| *x = (*x * 8.0).round() / 8.0);
        }
        values
    }

    /// A, B and C before, with their strides.
    fn data(&self) -> ([Vec<f32>; 3], [Strides; 2]) {
        let Shape { batch, m, n, k } = self.shape;
        let (a_strides, a_len) = lay_out(self.layouts.0, batch, m, k);
        let (b_strides, b_len) = lay_out(self.layouts.1, batch, k, n);
        let c = if self.accumulate { self.values(3, batch * m * n) } else { vec![f32::NAN; batch * m * n] };
        ([self.values(1, a_len), self.values(2, b_len), c], [a_strides, b_strides])
    }

    fn compare(&self, name: &str, isa: Bf16Isa, got: &[f32], plain: &[f32], exact: &[f64]) {
        let case = || format!("{name} at {isa}, {self:?}");
        if self.exact {
            let equal = oracle::widen(got) == exact;
            assert!(equal, "{}", case());
        } else {
            oracle::check(got, plain, exact).unwrap_or_else(|error| panic!("{}: {error}", case()));
        }
    }

    /// Every rung at every level, and the product with B stored in bf16, against the oracle.
    fn check(&self) {
        let shape = self.shape;
        let ([a, b, c], [sa, sb]) = self.data();
        let (a_rounded, b_rounded) = (rounded(&a), rounded(&b));
        let (mut plain, mut exact) = (c.clone(), oracle::widen(&c));
        naive::forward(shape, &a_rounded, sa, &b_rounded, sb, &mut plain, self.accumulate);
        let (wide_a, wide_b) = (oracle::widen(&a_rounded), oracle::widen(&b_rounded));
        naive::forward(shape, &wide_a, sa, &wide_b, sb, &mut exact, self.accumulate);
        let halves: Vec<bf16> = b.iter().map(|&x| round(x)).collect();
        for isa in Bf16Isa::available() {
            for rung in RUNGS.iter().filter(|rung| rung.simd || isa == Bf16Isa::Portable) {
                let mut got = c.clone();
                run_on((isa, rung.run), shape, (&a, sa), (&b, sb), &mut got, self.accumulate);
                self.compare(rung.name, isa, &got, &plain, &exact);
            }
            for rung in stored::RUNGS.iter().filter(|rung| rung.simd || isa == Bf16Isa::Portable) {
                let mut got = c.clone();
                run_on((isa, rung.run), shape, (&a, sa), (&halves, sb), &mut got, self.accumulate);
                self.compare(&format!("stored, {}", rung.name), isa, &got, &plain, &exact);
            }
        }
        if shape.batch == 1 && (1..100_000).contains(&(shape.m * shape.n * shape.k)) {
            let of_a = Operand::new(&a, sa).matrix(0);
            for isa in Bf16Isa::available() {
                let mut got = c.clone();
                emulated(isa, shape, of_a, Source::F32(Operand::new(&b, sb).matrix(0)), &mut got, self.accumulate);
                self.compare("emulated tiles", isa, &got, &plain, &exact);
                let stored = Source::Bf16(Operand::new(&halves, sb).matrix(0));
                let mut got = c.clone();
                emulated(isa, shape, of_a, stored, &mut got, self.accumulate);
                self.compare("emulated tiles, stored", isa, &got, &plain, &exact);
            }
        }
        let mut got = oracle::widen(&c);
        naive_stored(shape, &a, sa, &halves, sb, &mut got, self.accumulate);
        assert!(got == exact, "naive, stored, {self:?}");
    }
}

/// What a machine with tiles does, on any: one block, packed at this level.
fn emulated(isa: Bf16Isa, Shape { m, n, k, .. }: Shape, a: View<'_>, b: Source<'_>, c: &mut [f32], accumulate: bool) {
    let words = pack_tiles::words(k);
    let [mut x, mut y] = [m, n].map(|count| vec![0; count.next_multiple_of(16) * words]);
    pack_tiles::pack(isa, Source::F32(a), m, k, Rows::Neighbours, &mut x);
    pack_tiles::pack(isa, b.transposed(), n, k, Rows::Steps, &mut y);
    let mut registers = Emulated::configured().expect("memory");
    micro_tiles::multiply(&mut registers, words, &x, &y, Block::whole(c, n), accumulate);
}

fn one(m: usize, n: usize, k: usize) -> Shape {
    Shape { batch: 1, m, n, k }
}

#[test]
fn every_rung_agrees_with_the_oracle_on_odd_sizes() {
    let sizes = [1, 2, 7, 33, 65];
    for m in sizes {
        for n in sizes {
            for k in sizes {
                for layouts in [(Plain, Plain), (Plain, Transposed), (Transposed, Plain), (Transposed, Transposed)] {
                    Case { shape: one(m, n, k), layouts, accumulate: (m + n + k) % 2 == 0, exact: true }.check();
                }
            }
        }
    }
}

#[test]
fn every_number_of_rows_columns_and_steps_at_the_edge() {
    for edge in 1..=49 {
        let (plain, transposed) = ((Plain, Plain), (Transposed, Transposed));
        Case { shape: one(edge, 49 - edge / 2, 5), layouts: plain, accumulate: false, exact: true }.check();
        Case { shape: one(9, 40 + edge, 10), layouts: transposed, accumulate: true, exact: true }.check();
        Case { shape: one(9, 17, edge), layouts: (Plain, Transposed), accumulate: true, exact: true }.check();
    }
}

#[test]
fn batches_strides_and_broadcasts() {
    for batch in [0, 1, 3, 70] {
        for layout in [Plain, Transposed, Gaps, Broadcast] {
            for other in [Plain, Transposed, Gaps, Broadcast] {
                for (m, n, k) in [(1, 9, 40), (1, 9, 41), (5, 1, 19), (9, 17, 8), (10, 50, 3)] {
                    let shape = Shape { batch, m, n, k };
                    Case { shape, layouts: (layout, other), accumulate: batch == 3, exact: true }.check();
                }
            }
        }
    }
}

#[test]
fn sizes_that_are_cut_into_blocks() {
    let blocks_of_k_m_and_n = [(300, 100, 1701), (5, 4200, 70), (40, 300, 1025)];
    let long_sum = [(65, 50, 4501)];
    let vectors = [(1, 700, 1000), (1, 3001, 130), (700, 1, 1001)];
    for (m, n, k) in blocks_of_k_m_and_n.into_iter().chain(long_sum).chain(vectors) {
        for layouts in [(Plain, Plain), (Plain, Transposed), (Transposed, Plain), (Gaps, Gaps)] {
            Case { shape: one(m, n, k), layouts, accumulate: k % 2 == 0, exact: true }.check();
            Case { shape: one(m, n, k), layouts, accumulate: k % 2 == 1, exact: false }.check();
        }
    }
    Case { shape: one(1, 300, 131), layouts: (Gaps, Transposed), accumulate: false, exact: false }.check();
    // C is too large to cut the sum: several blocks of k, and where A lies in columns several chunks of them.
    for layouts in [(Plain, Transposed), (Transposed, Plain)] {
        Case { shape: one(270, 260, 1603), layouts, accumulate: false, exact: true }.check();
    }
    let several_in_a_task = Shape { batch: 33, m: 40, n: 50, k: 121 };
    Case { shape: several_in_a_task, layouts: (Plain, Transposed), accumulate: true, exact: true }.check();
    let shape = Shape { batch: 3, m: 90, n: 250, k: 801 };
    Case { shape, layouts: (Plain, Transposed), accumulate: false, exact: false }.check();
    Case { shape, layouts: (Plain, Broadcast), accumulate: true, exact: false }.check();
}

#[test]
fn a_long_sum_one_of_whose_operands_is_the_larger() {
    for (m, n) in [(170, 391), (391, 170)] {
        for accumulate in [false, true] {
            let case = Case { shape: one(m, n, 1570), layouts: (Transposed, Plain), accumulate, exact: true };
            case.check();
            Case { exact: false, ..case }.check();
        }
    }
}

#[test]
fn no_steps_give_zeros_and_no_outputs_do_nothing() {
    let strides = Strides { batch: 5, row: 5, col: 1 };
    for rung in RUNGS {
        let mut c = [3.0, 4.0];
        run_on((Bf16Isa::Portable, rung.run), one(1, 2, 0), (&[], strides), (&[], strides), &mut c, true);
        assert_eq!(c, [3.0, 4.0], "{}", rung.name);
        run_on((Bf16Isa::Portable, rung.run), one(1, 2, 0), (&[], strides), (&[], strides), &mut c, false);
        assert_eq!(c, [0.0, 0.0], "{}", rung.name);
        run_on((Bf16Isa::Portable, rung.run), one(0, usize::MAX, 0), (&[], strides), (&[], strides), &mut [], false);
    }
}

#[test]
fn special_values_are_not_lost() {
    let shape = one(9, 50, 3);
    let [mut a, b] = [vec![0.0; 27], vec![1.0; 150]];
    (a[0], a[4], a[8], a[9]) = (f32::NAN, f32::INFINITY, f32::MAX, 1e-40);
    (a[12], a[13]) = (f32::INFINITY, f32::NEG_INFINITY);
    let (sa, sb) = (lay_out(Plain, 1, 9, 3).0, lay_out(Plain, 1, 3, 50).0);
    for rung in RUNGS {
        for isa in Bf16Isa::available() {
            let mut c = vec![0.0; 450];
            run_on((isa, rung.run), shape, (&a, sa), (&b, sb), &mut c, false);
            let row = |i: usize| &c[50 * i..50 * (i + 1)];
            assert!(row(0).iter().all(|x| x.is_nan()), "{} at {isa}", rung.name);
            assert!(row(1).iter().all(|&x| x == f32::INFINITY), "{} at {isa}", rung.name);
            assert!(row(2).iter().all(|&x| x == f32::INFINITY), "{} at {isa}: rounded up to infinity", rung.name);
            assert!(row(3).iter().all(|&x| x == 0.0), "{} at {isa}: denormal operands are zero", rung.name);
            assert!(row(4).iter().all(|x| x.is_nan()), "{} at {isa}: ∞ − ∞", rung.name);
            assert!(c[250..].iter().all(|&x| x == 0.0), "{} at {isa}", rung.name);
        }
    }
}

/// Rounding an operand makes a denormal number zero, at every level: the instruction would take it for zero anyway.
#[test]
fn denormal_operands_are_zero() {
    for shape in [one(1, 65, 130), one(7, 65, 33), one(65, 50, 1500)] {
        for (layouts, [of_a, of_b]) in [((Plain, Plain), [1e-40, 1e20]), ((Transposed, Transposed), [1e20, 1e-40])] {
            let ([mut a, mut b, c], [sa, sb]) = Case { shape, layouts, accumulate: false, exact: false }.data();
            a.iter_mut().for_each(|x| *x *= of_a);
            b.iter_mut().for_each(|x| *x *= of_b);
            let halves: Vec<bf16> = b.iter().map(|&x| round(x)).collect();
            for (name, isa, run) in bf16_runs(RUNGS) {
                let mut got = c.clone();
                run_on((isa, run), shape, (&a, sa), (&b, sb), &mut got, false);
                assert!(got.iter().all(|&x| x == 0.0), "{name} at {isa}, {shape:?}, {layouts:?}");
            }
            for (name, isa, run) in bf16_runs(stored::RUNGS) {
                let mut got = c.clone();
                run_on((isa, run), shape, (&a, sa), (&halves, sb), &mut got, false);
                assert!(got.iter().all(|&x| x == 0.0), "stored, {name} at {isa}, {shape:?}, {layouts:?}");
            }
        }
    }
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    let shapes = [one(500, 200, 1700), one(1, 3000, 500), one(17, 3000, 300), one(170, 391, 1570), one(61, 127, 4999)];
    let batches = [Shape { batch: 33, m: 40, n: 50, k: 120 }, Shape { batch: 2, m: 300, n: 200, k: 400 }];
    for shape in shapes.into_iter().chain(batches) {
        for layouts in [(Plain, Plain), (Plain, Transposed), (Transposed, Plain)] {
            let ([a, b, c], [sa, sb]) = Case { shape, layouts, accumulate: true, exact: false }.data();
            let halves: Vec<bf16> = b.iter().map(|&x| round(x)).collect();
            let case = |name, isa| format!("{name} at {isa}, {shape:?}, {layouts:?}");
            // All but the definitions, which take long at these sizes.
            for (name, isa, run) in bf16_runs(&RUNGS[1..]) {
                assert_same_on_any_number_of_threads(&case(name, isa), || {
                    let mut c = c.clone();
                    run_on((isa, run), shape, (&a, sa), (&b, sb), &mut c, true);
                    [c]
                });
            }
            for (name, isa, run) in bf16_runs(&stored::RUNGS[1..]) {
                assert_same_on_any_number_of_threads(&case(name, isa), || {
                    let mut c = c.clone();
                    run_on((isa, run), shape, (&a, sa), (&halves, sb), &mut c, true);
                    [c]
                });
            }
        }
    }
}

/// Whether every rung refuses the call with its own words, before it does anything.
fn refused(shape: Shape, a: (usize, Strides), b: (usize, Strides), c: usize) -> bool {
    let told = |run: &dyn Fn(&mut [f32])| {
        let mut z = vec![0.0; c];
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&mut z))).err();
        let message = panic.and_then(|panic| panic.downcast::<String>().ok());
        z.iter().all(|&z| z == 0.0) && message.is_some_and(|message| message.contains("matmul: "))
    };
    let (x, y) = (vec![1.0; a.0], vec![1.0; b.0]);
    let halves = vec![bf16::ONE; b.0];
    RUNGS.iter().all(|rung| told(&|z| run_on((Bf16Isa::best(), rung.run), shape, (&x, a.1), (&y, b.1), z, false)))
        && told(&|z| stored::forward(shape, &x, a.1, &halves, b.1, z, false))
}

#[test]
fn slices_that_are_too_short_are_refused() {
    let shape = Shape { batch: 2, m: 3, n: 4, k: 5 };
    let (a, b) = (lay_out(Plain, 2, 3, 5), lay_out(Transposed, 2, 5, 4));
    assert!(!refused(shape, (a.1, a.0), (b.1, b.0), 24));
    assert!(refused(shape, (a.1 - 1, a.0), (b.1, b.0), 24), "A too short");
    assert!(refused(shape, (a.1, a.0), (b.1 - 1, b.0), 24), "B too short");
    assert!(refused(shape, (a.1, a.0), (b.1, b.0), 23), "C too short");
    let far = Strides { batch: usize::MAX / 2, row: usize::MAX / 2, col: usize::MAX / 2 };
    assert!(refused(shape, (100, far), (b.1, b.0), 24), "the index of the last element of A overflows");
    assert!(refused(shape, (a.1, a.0), (100, far), 24), "the index of the last element of B overflows");
}
