//! Register tiles: eight queries at a time share each load of a key and of a value.
//!
//! The same kernels as the rung below, with panels of eight rows for [`super::product`], whose tiles then have eight
//! rows: 10 loads for 16 multiply-adds instead of 2 for 1.
//!
//! Measured (configuration of [`super::naive`], one thread, whose multiply-adds peak at 118): AVX-512 forward 2.8 ms,
//! 72 GFLOP/s, backward 7.0 ms, 71; AVX2 65 and 66; portable 27 and 28, for there is no fused multiply-add. At
//! 1×2×2048×64 AVX-512 91 and 97, AVX2 85 and 91. At T = 256 a tenth goes into the diagonal, which is rounded up to
//! whole tiles, and as much into fetching rows from memory. Tried: AVX2 tiles of 4×3, 48 (12 sums and their operands
//! leave no register); AVX-512 tiles of 12×2, 3% slower at T = 256, for they cut the diagonal more coarsely.

use super::{Inputs, Output, Saved, simd, simd_backward};
use crate::Isa;

/// The queries, or keys, that share their loads: the rows of a tile.
pub(super) const PANEL: usize = 8;

/// The forward pass on one thread.
pub(super) fn forward(isa: Isa, inputs: &Inputs<'_>, o: Output<'_>, lse: &mut [f32]) {
    simd::serial(isa, PANEL, inputs, o, lse)
}

/// The backward pass on one thread.
pub(super) fn backward(isa: Isa, inputs: &Inputs<'_>, saved: &Saved<'_>, gradients: [Output<'_>; 3]) {
    simd_backward::serial(isa, PANEL, inputs, saved, gradients)
}
