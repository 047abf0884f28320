//! Attention in bf16 on the tile registers of AMX, written for the trait [`Tiles`](crate::simd::tiles::Tiles), so that
//! tests run it on every machine.
//!
//! - `product`: products of blocks by tiles
//! - `pack`: rows rounded, joined in pairs, or transposed for tiles
//! - `hidden_keys`: masks and dropout as one bit for each key
//! - `forward`, `backward`: the two passes

pub(super) mod backward;
pub(super) mod forward;
mod hidden_keys;
mod pack;
mod product;

use super::Inputs;
use crate::{Bf16Isa, simd::operand_kind::Level};

/// Whether heads go to the tile registers: there is something to compute, and a window that is not empty.
pub(super) fn fits(level: Level, inputs: &Inputs<'_>) -> bool {
    let (shape, options) = (inputs.shape, inputs.options);
    level == Level::Bf16(Bf16Isa::Amx) && shape.tq > 0 && shape.tk > 0 && shape.d > 0 && options.window != Some(0)
}

/// The tile registers of this thread.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(super) fn registers() -> crate::simd::tiles::Amx {
    crate::simd::tiles::Amx::configured().expect("this machine has no AMX")
}
