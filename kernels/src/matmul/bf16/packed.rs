//! Rounded while packing, on one thread: the loops of [`matmul::packed`](crate::matmul::packed) with panels of pairs.
//!
//! Blocks have the same bytes as in `f32`, so twice the steps of k: sums stay in registers twice as long. The instruction
//! for pairs multiplies twice as many numbers in a cycle. 512×512×512, NN, one thread: 222.5 GFLOP/s, `f32` 109.5.

use crate::Bf16Isa;
use crate::matmul::{operands::Products, packed::product, packed_kernel::PackedKernel};

/// The rung: see [`super::forward`].
///
/// # Panics
/// As [`super::forward`].
pub fn run(isa: Bf16Isa, products: Products<'_>) {
    products.for_each(|one| product(PackedKernel::of_bf16_on_one_thread(isa), one.of_any_type()));
}
