//! The product with a B that is stored in bf16: the weights of a model that only generates text.
//!
//! C = round(A)·B: A is `f32` and is rounded, B is bf16 already, so this is the product of [`super`] with half the memory for
//! B. With one row, a token, every weight is read once and used once, and half the bytes take half the time (`gemv.rs`):
//! 1×768×3072 30.0 µs, 54.2 with weights in `f32`. With more rows B is moved into the panels of the other rungs.

use super::{gemv, threads};
use crate::matmul::{
    Shape, Strides,
    operands::{Operand, Products},
    packed,
    packed_kernel::PackedKernel,
    threads::for_each_in_tasks,
};
use crate::{Bf16Isa, Float, Rung, simd::bf16::round};
use half::bf16;

/// A rung: the products with an instruction set.
pub type Run = crate::matmul::Run<Bf16Isa, bf16>;

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
        run: pairs,
        simd: true,
    },
    Rung { name: "threads", idea: "a task for each 128 KiB of weights, on every core", run, simd: true },
];

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
    let (a, b) = (Operand::new(a, a_strides), Operand::new(b, b_strides));
    run(Bf16Isa::active(), Products { shape, a, b, c, add: accumulate });
}

/// [`forward`] at a level.
///
/// # Panics
/// As [`forward`].
pub fn run(isa: Bf16Isa, products: Products<'_, f32, bf16>) {
    if is_one_row(&products) {
        return products.for_each(|one| gemv::product(isa, one, gemv::TASKS));
    }
    for_each_in_tasks(products, threads::least_work(isa), |one| threads::product(isa, one.of_any_type()));
}

/// The same on one core.
fn pairs(isa: Bf16Isa, products: Products<'_, f32, bf16>) {
    let one_row = is_one_row(&products);
    products.for_each(|one| {
        if one_row {
            gemv::product(isa, one, 1);
        } else {
            packed::product(PackedKernel::of_bf16_on_one_thread(isa), one.of_any_type());
        }
    });
}

/// Whether these are products of one row with weights whose steps lie side by side.
fn is_one_row(products: &Products<'_, f32, bf16>) -> bool {
    products.shape.m == 1 && products.b.strides.row == 1
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

/// The definition as a rung.
fn naive_run(_: Bf16Isa, Products { shape, a, b, c, add }: Products<'_, f32, bf16>) {
    naive(shape, a.data, a.strides, b.data, b.strides, c, add);
}
