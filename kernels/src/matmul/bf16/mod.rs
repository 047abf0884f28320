//! The matrix product with operands rounded to bf16: half the bytes in caches, twice the multiply-adds a cycle.
//!
//! # What is computed
//! C = round(A)·round(B), or C += …, where [`round`](crate::simd::bf16::round) is to the nearest bf16. The arguments
//! are those of [`super::forward`]: `f32` slices with strides, and C in `f32`. Products of two bf16 numbers are exact in
//! `f32` and the sums are kept in `f32`, so the only loss is that of rounding the operands: at most 2⁻⁹ of each of
//! them. This is what mixed precision means (Micikevicius et al. 2018, section 3; with bf16, Kalamkar et al. 2019).
//!
//! # Why round while packing
//! Packing reads every element once and writes it in the order of the kernel anyway. Rounded there, the panels take half
//! the space, nobody keeps a second copy of weights or activations, and the training code does not know of bf16 at all.
//! The price is that memory is read in `f32`.
//!
//! # The oracle
//! The naive rung rounds its operands and runs the naive product, so the oracle is the naive product in `f64` of the
//! rounded operands, and the rule of [`oracle`](crate::oracle) holds unchanged.
//!
//! # Figures
//! The machine of [`super`]: two cores do 460 GFLOP/s of independent `vdpbf16ps`, measured, and the best rung reaches 80 to
//! 95% of it on all but the narrowest shapes; see [`threads`]. The emulation costs more than the multiply-adds that it is made
//! of, so without the instruction training at bf16 is no faster than at `f32`; it exists so that a result can be had, and
//! tested, everywhere. Where the processor has tiles ([`simd::tiles`](crate::simd::tiles)) they multiply instead, 3 to
//! 12 times as fast as pairs in two reports of one machine (`tiles.rs`).

mod gemv;
mod micro;
pub mod naive;
mod pack;
mod pack_tiles;
pub mod packed;
mod panels;
pub mod stored;
pub mod threads;
#[cfg_attr(not(all(target_arch = "x86_64", target_os = "linux")), allow(dead_code))]
mod tiles;

#[cfg(test)]
mod tests;

pub use stored::{forward as forward_stored, naive as naive_stored};

use super::{Shape, Strides};
use crate::{Bf16Isa, Rung};

/// A rung: the arguments of [`forward`] after the instruction set.
pub type Run = fn(Bf16Isa, Shape, &[f32], Strides, &[f32], Strides, &mut [f32], bool);

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
    threads::run(Bf16Isa::active(), shape, a, a_strides, b, b_strides, c, accumulate);
}
