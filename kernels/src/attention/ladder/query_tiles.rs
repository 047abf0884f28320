//! Register tiles: eight queries share each load of a key and of a value.
//!
//! The kernels of the rung below with panels of eight rows, so that the tiles of the block product have eight rows as well:
//! 10 loads for 16 multiply-adds instead of 2 for 1.
//!
//! Measured (configuration of [`super::naive`]): AVX-512 forward 2.8 ms, 72 GFLOP/s; the rung below 4.1 ms.

use crate::Isa;
use crate::attention::{
    Inputs, Output, Saved,
    ladder::{simd, simd_backward},
};

/// The queries, or keys, that share their loads: the rows of a tile.
pub(in crate::attention) const PANEL: usize = 8;

/// The forward pass on one thread.
pub(in crate::attention) fn forward(isa: Isa, inputs: &Inputs<'_>, o: Output<'_>, lse: &mut [f32]) {
    simd::serial(isa, PANEL, inputs, o, lse)
}

/// The backward pass on one thread.
pub(in crate::attention) fn backward(isa: Isa, inputs: &Inputs<'_>, saved: &Saved<'_>, gradients: [Output<'_>; 3]) {
    simd_backward::serial(isa, PANEL, inputs, saved, gradients)
}
