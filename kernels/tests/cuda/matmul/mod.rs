//! The matrix product.

mod bf16;

use crate::device::{Device, device, sizes};
use gradus_kernels::{
    cuda::{Gpu, Result},
    matmul::{
        Shape, Strides,
        cuda::{self, CUDA_RUNGS, Products},
        naive,
    },
    oracle,
};

/// How an operand lies in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Layout {
    /// Rows one after the other.
    Plain,
    /// Columns one after the other.
    Transposed,
    /// Plain, with gaps between elements and between rows.
    Gaps,
    /// Plain, as a part of a wider matrix: with vectors that are aligned, and other elements behind a row's last.
    Wide,
    /// The same by columns.
    WideTransposed,
    /// Plain, the same matrix for the whole batch.
    Broadcast,
    /// Plain, every row the same.
    OneRow,
}
use Layout::*;

const LAYOUTS: [(Layout, Layout); 4] =
    [(Plain, Plain), (Plain, Transposed), (Transposed, Plain), (Transposed, Transposed)];

/// A product to check, with eighths between −1 and 1: all sums are exact in `f32`, so that every order of summation gives the same
/// bits; or with any values.
#[derive(Clone, Copy, Debug)]
struct Case {
    shape: Shape,
    layouts: (Layout, Layout),
    add: bool,
    eighths: bool,
    /// How many elements of memory precede those of each operand, which decides whether they are aligned.
    offset: usize,
}

/// What is in memory before the elements of an operand. It is not to be read.
const AROUND: f32 = f32::NAN;

impl Case {
    fn new(batch: usize, [m, n, k]: [usize; 3], layouts: (Layout, Layout)) -> Case {
        Case { shape: Shape { batch, m, n, k }, layouts, add: (m + n + k) % 2 == 1, eighths: true, offset: 4 }
    }

    fn values(&self, seed: u64, len: usize) -> Vec<f32> {
        let mut values = oracle::values(seed, len);
        if self.eighths {
            values.iter_mut().for_each(|x| *x = (*x * 8.0).round() / 8.0);
        }
        values
    }

    fn strides(layout: Layout, batch: usize, rows: usize, columns: usize) -> (Strides, usize) {
        let strides = match layout {
            Plain => Strides { batch: rows * columns, row: columns, col: 1 },
            Transposed => Strides { batch: rows * columns, row: 1, col: rows },
            Gaps => Strides { batch: rows * (2 * columns + 3), row: 2 * columns + 3, col: 2 },
            Wide => {
                let row = columns.next_multiple_of(8) + 8;
                Strides { batch: rows * row, row, col: 1 }
            }
            WideTransposed => {
                let col = rows.next_multiple_of(8) + 8;
                Strides { batch: columns * col, row: 1, col }
            }
            Broadcast => Strides { batch: 0, row: columns, col: 1 },
            OneRow => Strides { batch: columns, row: 0, col: 1 },
        };
        let last = |count: usize, step| count.saturating_sub(1) * step;
        let none = [batch, rows, columns].contains(&0);
        let len = last(batch, strides.batch) + last(rows, strides.row) + last(columns, strides.col) + 1;
        (strides, if none { 0 } else { len })
    }

    /// A, B and C before, with the strides of A and B.
    fn data(&self) -> ([Vec<f32>; 3], [Strides; 2]) {
        let Shape { batch, m, n, k } = self.shape;
        let (a_strides, a_len) = Case::strides(self.layouts.0, batch, m, k);
        let (b_strides, b_len) = Case::strides(self.layouts.1, batch, k, n);
        let c = if self.add { self.values(3, batch * m * n) } else { vec![f32::NAN; batch * m * n] };
        ([self.values(1, a_len), self.values(2, b_len), c], [a_strides, b_strides])
    }

    /// The product by the definition in `f32` and in `f64`, of operands that are rounded as they are to be multiplied.
    fn expected(&self, a: &[f32], b: &[f32], c: &[f32], [sa, sb]: [Strides; 2]) -> (Vec<f32>, Vec<f64>) {
        let (mut plain, mut exact) = (c.to_vec(), oracle::widen(c));
        naive::forward(self.shape, a, sa, b, sb, &mut plain, self.add);
        naive::forward(self.shape, &oracle::widen(a), sa, &oracle::widen(b), sb, &mut exact, self.add);
        (plain, exact)
    }

    fn compare(&self, name: &str, got: &[f32], (plain, exact): &(Vec<f32>, Vec<f64>)) {
        if self.eighths {
            let wrong = got.iter().zip(exact).position(|(&g, &e)| f64::from(g) != e);
            assert!(wrong.is_none(), "{name}, {self:?}: element {wrong:?} is {:?}", wrong.map(|i| (got[i], exact[i])));
        } else {
            oracle::check(got, plain, exact).unwrap_or_else(|error| panic!("{name}, {self:?}: {error}"));
        }
    }

    /// Every rung against the oracle.
    fn check(&self, device: &Device, schedule: &str) {
        self.check_from(0, device, schedule);
    }

    /// The rungs from this one on.
    fn check_from(&self, first: usize, device: &Device, schedule: &str) {
        let ([a, b, c], strides) = self.data();
        let expected = self.expected(&a, &b, &c, strides);
        for rung in &CUDA_RUNGS[first..] {
            let got = self.run(device, rung.run, &a, &b, &c, strides, AROUND);
            self.compare(&format!("{}, {schedule}", rung.name), &got, &expected);
        }
    }

    /// Runs a rung on operands with something else around them, and checks that nothing is written around C.
    fn run<B: bytemuck::Pod>(
        &self,
        device: &Device,
        run: cuda::Run<B>,
        a: &[f32],
        b: &[B],
        c: &[f32],
        [a_strides, b_strides]: [Strides; 2],
        around_b: B,
    ) -> Vec<f32> {
        // The emulator lets nothing be read behind the end of a buffer.
        let of_a = device.upload(&surrounded(a, self.offset, 0, AROUND));
        let of_b = device.upload(&surrounded(b, self.offset, 0, around_b));
        let mut of_c = device.upload(&surrounded(c, self.offset, 5, 12345.0));
        let range = |len| self.offset..self.offset + len;
        let products = Products {
            shape: self.shape,
            a: of_a.slice(range(a.len())),
            a_strides,
            b: of_b.slice(range(b.len())),
            b_strides,
            c: of_c.slice_mut(range(c.len())),
            add: self.add,
        };
        run(&device.gpu, products).unwrap_or_else(|error| panic!("{self:?}: {error}"));
        let mut got = of_c.to_host::<f32>().unwrap_or_else(|error| panic!("{self:?}: {error}"));
        got.drain(..self.offset).for_each(|x| assert_eq!(x, 12345.0, "before C, {self:?}"));
        got.drain(c.len()..).for_each(|x| assert_eq!(x, 12345.0, "after C, {self:?}"));
        got
    }
}

/// Where in the ladder the rung of this name stands.
fn rung_named(name: &str) -> usize {
    CUDA_RUNGS.iter().position(|rung| rung.name == name).expect("a rung")
}

fn surrounded<E: Copy>(elements: &[E], before: usize, after: usize, around: E) -> Vec<E> {
    let mut all = vec![around; before];
    all.extend_from_slice(elements);
    all.extend(vec![around; after]);
    all
}

#[test]
fn every_rung_in_every_schedule() {
    let Some(device) = device() else { return };
    device.in_every_schedule(|schedule| {
        for sizes in [[1, 1, 1], [2, 7, 5], [9, 33, 17], [33, 65, 8]] {
            for layouts in LAYOUTS {
                Case::new(1, sizes, layouts).check(&device, schedule);
            }
        }
        Case::new(2, [9, 12, 12], (Plain, Plain)).check(&device, schedule);
        Case::new(1, [5, 7, 70], (Plain, Plain)).check(&device, schedule); // several tiles of the longest along k
    });
}

#[test]
fn sizes_around_the_tiles() {
    let Some(device) = device() else { return };
    let all = [[129, 131, 35], [257, 66, 9], [63, 127, 40], [65, 203, 7], [128, 128, 16]];
    let first = sizes(&[0], &[rung_named("double_buffer")])[0]; // the others have one size of tiles
    for (index, shape) in sizes(&all, &all[..1]).into_iter().enumerate() {
        let wide = [(Wide, Wide), (Wide, WideTransposed), (WideTransposed, WideTransposed)];
        let layouts: Vec<_> = LAYOUTS.into_iter().chain(wide).chain([(Gaps, Gaps)]).collect();
        for layouts in sizes(&layouts, &LAYOUTS) {
            let case = Case::new(1, shape, layouts);
            case.check_from(first, &device, "one schedule");
            for add in sizes(&[!case.add], &[]) {
                Case { eighths: false, add, offset: index, ..case }.check_from(first, &device, "one schedule");
            }
        }
    }
}

#[test]
fn few_rows_and_few_columns() {
    let Some(device) = device() else { return };
    let all = [[1, 70, 300], [70, 1, 129], [8, 65, 131], [66, 5, 260], [3, 33, 64], [1, 1, 1000], [8, 8, 9]];
    let first = sizes(&[0], &[rung_named("few_rows")])[0]; // the other rungs have no kernels for these sizes
    for shape in sizes(&all, &all[..4]) {
        let all = [(Gaps, Gaps), (Wide, WideTransposed)].into_iter().chain(LAYOUTS).collect::<Vec<_>>();
        for layouts in sizes(&all, &all[1..3]) {
            let case = Case::new(1, shape, layouts);
            case.check_from(first, &device, "one schedule");
            if shape[0] * shape[1] > 50 {
                // The error of a single sum is a matter of luck, that of the naive one too.
                Case { eighths: false, offset: 1, ..case }.check_from(first, &device, "one schedule");
            }
            Case { add: !case.add, ..case }.check_from(first, &device, "one schedule");
        }
    }
}

#[test]
fn batches_and_broadcasts() {
    let Some(device) = device() else { return };
    for a in [Plain, Transposed, Gaps, Broadcast, OneRow] {
        for b in [Plain, Transposed, Gaps, Broadcast, OneRow] {
            for (batch, sizes) in [(3, [5, 9, 4]), (2, [1, 17, 8]), (2, [9, 8, 12])] {
                Case::new(batch, sizes, (a, b)).check(&device, "one schedule");
            }
        }
    }
    Case::new(70, [2, 3, 5], (Plain, Broadcast)).check(&device, "one schedule");
}

/// The emulator's device has 4 multiprocessors, so these have too few blocks for it.
#[test]
fn long_sums_are_cut() {
    let Some(device) = device() else { return };
    let first = rung_named("split_k");
    for layouts in sizes(&LAYOUTS, &LAYOUTS[..1]) {
        for (sizes, add) in [([70, 65, 1031], true), ([33, 70, 2048], false)] {
            let case = Case { add, ..Case::new(1, sizes, layouts) };
            case.check_from(first, &device, "one schedule");
            Case { eighths: false, ..case }.check_from(first, &device, "one schedule");
        }
    }
    let case = Case::new(3, [9, 65, 777], (Transposed, Plain));
    device.in_every_schedule(|schedule| case.check_from(first, &device, schedule));
}

#[test]
fn no_steps_give_zeros_and_no_outputs_do_nothing() {
    let Some(device) = device() else { return };
    for sizes in [[3, 70, 0], [70, 70, 0], [0, 5, 3], [5, 0, 3], [0, 0, 0]] {
        for add in [false, true] {
            Case { add, ..Case::new(2, sizes, (Plain, Plain)) }.check(&device, "one schedule");
        }
    }
    Case::new(0, [2, 3, 4], (Plain, Plain)).check(&device, "one schedule");
    let vast = Case { shape: Shape { batch: 1, m: 0, n: usize::MAX, k: 0 }, ..Case::new(1, [0, 0, 0], (Plain, Plain)) };
    let strides = Strides { batch: 5, row: 5, col: 1 };
    for rung in &CUDA_RUNGS {
        assert!(vast.run(&device, rung.run, &[], &[], &[], [strides; 2], AROUND).is_empty());
    }
}

#[test]
fn not_a_number_and_infinity_are_not_lost_and_do_not_spread() {
    let Some(device) = device() else { return };
    for (m, n) in [(9, 50), (4, 50), (70, 90), (90, 7)] {
        let case = Case { add: false, ..Case::new(1, [m, n, 3], (Plain, Plain)) };
        let ([mut a, mut b, c], strides) = case.data();
        a.fill(0.0);
        b.fill(1.0);
        (a[0], a[4]) = (f32::NAN, f32::INFINITY);
        for rung in &CUDA_RUNGS {
            let c = case.run(&device, rung.run, &a, &b, &c, strides, AROUND);
            let name = rung.name;
            assert!(c[..n].iter().all(|x| x.is_nan()) && c[n..2 * n].iter().all(|&x| x == f32::INFINITY), "{name}");
            assert!(c[2 * n..].iter().all(|&x| x == 0.0), "{name}");
        }
    }
}

#[test]
fn the_function_of_the_contract() {
    let Some(device) = device() else { return };
    for sizes in [[1, 33, 40], [40, 50, 60], [60, 2, 70]] {
        let case = Case::new(1, sizes, (Plain, Transposed));
        let ([a, b, c], strides) = case.data();
        let expected = case.expected(&a, &b, &c, strides);
        let run = |gpu: &Gpu, p: Products<'_>| -> Result<()> {
            cuda::forward(gpu, p.shape, p.a, p.a_strides, p.b, p.b_strides, p.c, p.add)
        };
        case.compare("forward", &case.run(&device, run, &a, &b, &c, strides, AROUND), &expected);
    }
}

/// Whether `run` refuses lengths of A, B and C with the words of the contract.
fn refused<B: bytemuck::Pod>(
    run: cuda::Run<B>,
    shape: Shape,
    a: (usize, Strides),
    b: (usize, Strides),
    c: usize,
) -> bool {
    let Some(device) = device() else { return true };
    let (x, y, mut z) = (device.output::<f32>(a.0), device.output::<B>(b.0), device.output::<f32>(c));
    let products = Products {
        shape,
        a: x.slice(0..a.0),
        a_strides: a.1,
        b: y.slice(0..b.0),
        b_strides: b.1,
        c: z.slice_mut(0..c),
        add: false,
    };
    let call = std::panic::AssertUnwindSafe(|| run(&device.gpu, products));
    let message = std::panic::catch_unwind(call).err().and_then(|panic| panic.downcast::<String>().ok());
    message.is_some_and(|message| message.contains("matmul: "))
}

fn refuses_wrong_lengths<B: bytemuck::Pod>(name: &str, run: cuda::Run<B>) {
    let shape = Shape { batch: 2, m: 3, n: 4, k: 5 };
    let (a, b) = (Case::strides(Plain, 2, 3, 5), Case::strides(Transposed, 2, 5, 4));
    let refused = |shape, a: (Strides, usize), b: (Strides, usize), c| refused(run, shape, (a.1, a.0), (b.1, b.0), c);
    assert!(refused(shape, (a.0, a.1 - 1), b, 24), "{name}: A too short");
    assert!(refused(shape, a, (b.0, b.1 - 1), 24), "{name}: B too short");
    assert!(refused(shape, a, b, 23), "{name}: C too short");
    assert!(refused(shape, a, b, 25), "{name}: C too long");
    let far = Strides { batch: usize::MAX / 2, row: usize::MAX / 2, col: usize::MAX / 2 };
    assert!(refused(shape, (far, 100), b, 24), "{name}: the index of the last element of A overflows");
    let vast = Shape { batch: 1, m: 1 << 33, n: 1 << 33, k: 1 };
    let same = Strides { batch: 0, row: 0, col: 0 };
    assert!(refused(vast, (same, 1), (same, 1), 4), "{name}: the number of elements of C overflows");
}

#[test]
fn wrong_lengths_are_refused() {
    if device().is_none() {
        return;
    }
    for rung in &CUDA_RUNGS {
        refuses_wrong_lengths(rung.name, rung.run);
    }
}
