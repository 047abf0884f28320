//! The matrix product with operands rounded to bf16: half the bytes in caches, twice the multiply-adds a cycle.
//!
//! # What is computed
//! C = round(A)·round(B), or C += …, where [`round`](crate::simd::bf16::round) is to the nearest bf16. The arguments are
//! those of [`super::forward`]: `f32` slices with strides, and C in `f32`. Products of two bf16 numbers are exact in `f32`,
//! and sums are kept in `f32`, so only the rounding of the operands loses anything: at most 2⁻⁹ of each. This is mixed
//! precision (Micikevicius et al. 2018, section 3; with bf16, Kalamkar et al. 2019).
//!
//! # Why operands are rounded while they are packed
//! Packing reads every element once and writes it in the order of the micro-kernel anyway. Rounded there, panels take half
//! the space, nobody keeps a second copy of weights or activations, and the training code need not know of bf16. The price
//! is that memory is read in `f32`.
//!
//! # How
//! A word of a panel is a pair of steps of k. The loops are those of `f32` ([`super::packed`], [`super::threads`]), and packing
//! and micro-kernels, for pairs and for the tile registers of AMX, are beside those of `f32` in the folder `packed_kernel`.
//! Here are the rungs, matrix times vector (`gemv`) and weights stored in bf16 ([`stored`]). Without an instruction for pairs
//! the result is the same, for tests, at about the speed of `f32`.
//!
//! # The oracle
//! The naive rung rounds its operands and runs the naive product, so the oracle is the naive product in `f64` of rounded
//! operands, and the rule of [`oracle`](crate::oracle) holds unchanged.

mod gemv;
pub mod naive;
pub mod packed;
pub mod stored;
pub mod threads;

#[cfg(test)]
mod tests;

pub use stored::{forward as forward_stored, naive as naive_stored};

use super::{
    Shape, Strides,
    operands::{Operand, Products},
};
use crate::{Bf16Isa, Rung};

/// A rung: the products with an instruction set.
pub type Run = super::Run<Bf16Isa>;

/// The ladder, from the slowest to the fastest. What comes below packing is the ladder of `f32`, for there is nothing
/// about bf16 in it.
pub const RUNGS: &[Rung<Run>] = &[
    Rung {
        name: "naive",
        idea: "the definition: operands rounded to bf16, then the naive product in f32",
        run: naive::run,
        simd: false,
    },
    Rung {
        name: "packed",
        idea: "rounded while packing, two steps of k to a lane; a tile of dot products of pairs",
        run: packed::run,
        simd: true,
    },
    Rung { name: "threads", idea: "blocks of C on every core, over one packed B", run: threads::run, simd: true },
];

/// C\[b\] = round(A\[b\])·round(B\[b\]) for every b of the batch, or C\[b\] += … with `accumulate`, by the best rung.
///
/// ```
/// use gradus_kernels::matmul::{Shape, Strides, bf16::forward};
/// let (a, b) = ([1.001, 2.0], [3.0, 4.0]); // 1.001 becomes 1
/// let mut c = [0.0];
/// let row = Strides { batch: 0, row: 2, col: 1 };
/// let column = Strides { batch: 0, row: 1, col: 1 };
/// forward(Shape { batch: 1, m: 1, n: 1, k: 2 }, &a, row, &b, column, &mut c, false);
/// assert_eq!(c, [11.0]);
/// ```
///
/// # Panics
/// Where `a` or `b` is too short for the shape and its strides, or `c` has not batch·m·n elements.
pub fn forward(
    shape: Shape,
    a: &[f32],
    a_strides: Strides,
    b: &[f32],
    b_strides: Strides,
    c: &mut [f32],
    accumulate: bool,
) {
    let (a, b) = (Operand::new(a, a_strides), Operand::new(b, b_strides));
    threads::run(Bf16Isa::active(), Products { shape, a, b, c, add: accumulate });
}
