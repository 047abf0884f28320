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
