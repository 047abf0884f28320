//! The product with a B that is stored in bf16: the weights of a model that only writes text.
//!
//! C = round(A)·B: A is `f32` and is rounded, B is bf16 already, so this is the product of [`super`] with half the
//! memory for B. With one row, a token, every weight is read once and used once, and half the bytes are half the time
//! (`gemv.rs`); with more rows B is moved into the panels of the other rungs. The definition writes all of B to
//! memory as `f32` first, and reads it again.
//!
//! In the report, 2 threads, one row: 1×768×3072 from the third cache 30.0 µs, and 54.2 µs with weights in `f32`,
//! 1.81 times as fast, for handing out the tasks is not halved. 1×768×50257 from memory 1.11 ms, 95% of what probes
//! beside it made, and 4.62 ms in `f32`, 91%: more than twice, because the memory was slower in that stretch of the
//! run. The definition takes 106 ms. On a Granite Rapids, 1×768×50257: 92.6 ms, pairs on one core 4.52, on two 1.54 (and
//! its four streams lie 300 KB apart in a task, not 19 MB).

use super::{
    gemv,
    pack::{Operand, Stored},
    packed, threads,
};
use crate::matmul::{Shape, Strides, View, begin};
use crate::{Bf16Isa, Float, Rung, simd::bf16::round};
use half::bf16;

/// A rung: the arguments of [`forward`] after the instruction set.
pub type Run = fn(Bf16Isa, Shape, &[f32], Strides, &[bf16], Strides, &mut [f32], bool);

/// The ladder: the definition, and what is run.
pub const RUNGS: &[Rung<Run>] = &[
    Rung {
        name: "naive",
        idea: "the definition: the row rounded to bf16, then the naive product in f32",
        run: naive_run,
        simd: false,
    },
    Rung {
        name: "pairs",
        idea: "pairs of weights as they lie there; more rows than one go through the panels",
        run: |isa, shape, a, a_strides, b, b_strides, c, accumulate| {
            product(isa, shape, a, a_strides, b, b_strides, c, accumulate, false)
        },
        simd: true,
    },
    Rung { name: "threads", idea: "a task for each 128 KiB of weights, on every core", run, simd: true },
];

fn naive_run(
    _: Bf16Isa,
    shape: Shape,
    a: &[f32],
    a_strides: Strides,
    b: &[bf16],
    b_strides: Strides,
    c: &mut [f32],
    accumulate: bool,
) {
    naive(shape, a, a_strides, b, b_strides, c, accumulate);
}

/// C\[b\] = round(A\[b\])·B\[b\], or C\[b\] += …: [`super::forward`] with B stored in bf16.
///
/// ```
/// use gradus_kernels::matmul::{Shape, Strides, bf16::forward_stored};
/// use gradus_kernels::simd::bf16::round;
/// let weight = [1.0, 2.0, 3.0, 4.0].map(round); // 2 outputs of 2 inputs
/// let transposed = Strides { batch: 0, row: 1, col: 2 };
/// let mut y = [0.0; 2];
/// let shape = Shape { batch: 1, m: 1, n: 2, k: 2 };
/// forward_stored(shape, &[1.0, 10.0], Strides { batch: 0, row: 2, col: 1 }, &weight, transposed, &mut y, false);
/// assert_eq!(y, [21.0, 43.0]);
/// ```
///
/// # Panics
/// Where `a` or `b` is too short for the shape and its strides, or `c` has not batch·m·n elements.
pub fn forward(
    shape: Shape,
    a: &[f32],
    a_strides: Strides,
    b: &[bf16],
    b_strides: Strides,
    c: &mut [f32],
    accumulate: bool,
) {
    run(Bf16Isa::active(), shape, a, a_strides, b, b_strides, c, accumulate);
}

/// [`forward`] at a level.
///
/// # Panics
/// As [`forward`].
pub fn run(
    isa: Bf16Isa,
    shape: Shape,
    a: &[f32],
    a_strides: Strides,
    b: &[bf16],
    b_strides: Strides,
    c: &mut [f32],
    accumulate: bool,
) {
    product(isa, shape, a, a_strides, b, b_strides, c, accumulate, true);
}

/// [`run`], or the same on one core.
fn product(
    isa: Bf16Isa,
    shape: Shape,
    a: &[f32],
    a_strides: Strides,
    b: &[bf16],
    b_strides: Strides,
    c: &mut [f32],
    accumulate: bool,
    parallel: bool,
) {
    if !begin(shape, a, a_strides, b, b_strides, c, accumulate) {
        return;
    }
    let matrix = |index: usize| Stored { data: &b[index * b_strides.batch..], row: b_strides.row, col: b_strides.col };
    if shape.m == 1 && b_strides.row == 1 {
        for (index, y) in c.chunks_exact_mut(shape.n).enumerate() {
            let x = (&a[index * a_strides.batch..], a_strides.col);
            gemv::product(
                isa,
                matrix(index).data,
                b_strides.col,
                x,
                shape.k,
                y,
                accumulate,
                if parallel { gemv::TASKS } else { 1 },
            );
        }
        return;
    }
    if parallel {
        return threads::batch(
            isa,
            shape,
            a,
            a_strides,
            |index| Operand::Bf16(matrix(index)),
            b_strides,
            c,
            accumulate,
        );
    }
    for (index, c) in c.chunks_exact_mut(shape.m * shape.n).enumerate() {
        let (a, b) = (View::of(a, a_strides, index), Operand::Bf16(matrix(index)));
        packed::product(isa, shape, a, b, c, accumulate);
    }
}

/// The definition, and in `f64` the oracle.
///
/// # Panics
/// As [`forward`].
pub fn naive<E: Float>(
    shape: Shape,
    a: &[f32],
    a_strides: Strides,
    b: &[bf16],
    b_strides: Strides,
    c: &mut [E],
    accumulate: bool,
) {
    let a: Vec<E> = a.iter().map(|&x| E::from(round(x).to_f32()).expect("a number")).collect();
    let b: Vec<E> = b.iter().map(|x| E::from(x.to_f32()).expect("a number")).collect();
    crate::matmul::naive::forward(shape, &a, a_strides, &b, b_strides, c, accumulate);
}
