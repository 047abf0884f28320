//! Products of small packed blocks, and what the fast rungs do with a block before and after.
//!
//! - `pack`: rows copied into dense buffers, as they are, transposed, or as pairs
//! - `product`: C ← β·C + A·B in register tiles
//! - `head_operands`: the queries and the output gradient of a head as operands; log-sum-exp and δ of its queries
//! - `exp2`: 2ˣ of the softmax
//! - `next_head`: prefetches the rows of the head after this one

pub(super) mod exp2;
pub(super) mod head_operands;
pub(super) mod next_head;
pub(super) mod pack;
pub(super) mod product;
