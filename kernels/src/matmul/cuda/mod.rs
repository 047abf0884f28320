//! The matrix product on CUDA: the ladder, and the functions of the contract by its best rung.
//!
//! # Shares of the library's speed, as others have published them
//! The ladder of f32 follows the one that CUTLASS's documentation describes (block, warp and thread tiles) and many have walked since.
//! Two who measured theirs against cuBLAS, each at one large size on a card of their own: learn-cuda (lesson 02a) has 8.5, 10, 12, 53, 54, 83
//! and 92% from its first step to its last; S. Boehm's worklog (2022) ends at 94% with tiles for warps. They say what such ideas are worth
//! there, and nothing about the kernels here.
//!
//! # Files, in reading order
//! 1. `naive`, `coalesced`, `shared_tile`, `register_tile`, `vector_loads`, `warp_tile`, `double_buffer`: the tiles, each file with one idea
//!    more; `tiles.rs` launches them, and kernels/src/cuda/matmul.cuh holds what they share
//! 2. `split_k`: long sums with few blocks of C
//! 3. `few_rows`: a matrix and some vectors
//! 4. [`bf16`]: operands rounded to bf16, on tensor cores where the card has them

pub mod bf16;
mod few_rows;
mod tiles;

use super::{Shape, Strides, operands::expect};
use crate::cuda::{Capability, CudaRung, Gpu, Module, Result, Slice, SliceMut, narrow};

/// The files of kernels.
pub(crate) const MODULES: &[&Module] = &[
    &tiles::NAIVE,
    &tiles::COALESCED,
    &tiles::SHARED_TILE,
    &tiles::REGISTER_TILE,
    &tiles::VECTOR_LOADS,
    &tiles::WARP_TILE,
    &tiles::DOUBLE_BUFFER,
    &tiles::SPLIT_K,
    &few_rows::FEW_ROWS,
    &bf16::NAIVE,
    &bf16::ROUNDED,
    &bf16::MMA,
    &bf16::CP_ASYNC,
    &bf16::PADDED,
    &bf16::SWIZZLED,
    &bf16::LDMATRIX,
    &bf16::TWO_STAGES,
    &bf16::THREE_STAGES,
];

/// A batch of products, the argument of a rung: C\[b\] = A\[b\]·B\[b\], or C\[b\] += A\[b\]·B\[b\] with `add`.
#[derive(Debug)]
pub struct Products<'a, B = f32> {
    /// The sizes.
    pub shape: Shape,
    /// A: batch matrices of m×k.
    pub a: Slice<'a, f32>,
    /// The steps in A.
    pub a_strides: Strides,
    /// B: batch matrices of k×n, maybe stored in another type.
    pub b: Slice<'a, B>,
    /// The steps in B.
    pub b_strides: Strides,
    /// C: batch matrices of m×n, contiguous.
    pub c: SliceMut<'a, f32>,
    /// Whether the products are added to C.
    pub add: bool,
}

/// A rung: products of `f32`, or with B stored in another type.
pub type Run<B = f32> = fn(&Gpu, Products<'_, B>) -> Result<()>;

/// The ladder, from the slowest to the fastest.
pub static CUDA_RUNGS: [CudaRung<Run>; 9] = [
    rung("naive", "one thread an element of C, neighbouring threads along a column", tiles::naive),
    rung("coalesced", "neighbouring threads along a row: they read and write neighbouring elements", tiles::coalesced),
    rung("shared_tile", "tiles of A and B in shared memory: each load serves 32 multiply-adds", tiles::shared_tile),
    rung(
        "register_tile",
        "8×8 elements of C in a thread's registers: 16 shared loads for 64 multiply-adds",
        tiles::register_tile,
    ),
    rung("vector_loads", "loads of 16 bytes; operands transposed on the way into shared memory", tiles::vector_loads),
    rung("warp_tile", "a tile of C for each warp: its lanes read fewer different numbers", tiles::warp_tile),
    rung("double_buffer", "the next tile is loaded while this one is multiplied", tiles::double_buffer),
    rung(
        "split_k",
        "long sums with few blocks of C are cut into parts, which are added in a fixed order",
        tiles::split_k,
    ),
    rung("few_rows", "few rows or columns: a warp a column, B read once and straight into registers", few_rows::run),
];

const fn rung<F: Copy>(name: &'static str, idea: &'static str, run: F) -> CudaRung<F> {
    CudaRung { name, idea, run, needs: Capability::SM_75 }
}

/// [`crate::matmul::forward`] on a device.
///
/// # Errors
/// Where a size is larger than the kernels count, or the device fails.
///
/// # Panics
/// As there.
pub fn forward(
    gpu: &Gpu,
    shape: Shape,
    a: Slice<'_, f32>,
    a_strides: Strides,
    b: Slice<'_, f32>,
    b_strides: Strides,
    c: SliceMut<'_, f32>,
    accumulate: bool,
) -> Result<()> {
    few_rows::run(gpu, Products { shape, a, a_strides, b, b_strides, c, add: accumulate })
}

impl<B> Products<'_, B> {
    /// Checks the slices against the shape, and says whether C has any elements. Where k = 0 the kernels add up nothing.
    fn begin(&self) -> bool {
        expect(self.shape, (self.a.len(), self.a_strides), (self.b.len(), self.b_strides), self.c.len());
        !self.c.is_empty()
    }

    /// A batch that shares B, its A one below the other, as one product with more rows.
    fn folded(self) -> Self {
        let Shape { batch, m, .. } = self.shape;
        let below = m.checked_mul(self.a_strides.row) == Some(self.a_strides.batch);
        if batch == 1 || self.b_strides.batch != 0 || !below {
            return self;
        }
        Products { shape: Shape { batch: 1, m: batch * m, ..self.shape }, ..self }
    }

    /// The sizes as the kernels take them.
    fn sizes(&self) -> Result<[u32; 4]> {
        let Shape { batch, m, n, k } = self.shape;
        Ok([narrow("the batch", batch)?, narrow("m", m)?, narrow("n", n)?, narrow("k", k)?])
    }
}

/// Steps as the kernels take them.
fn steps(strides: Strides) -> [u64; 3] {
    [strides.batch as u64, strides.row as u64, strides.col as u64]
}

/// Whether k is the direction in which an operand lies side by side, with this stride along k and that across it.
fn along_k(k: usize, across: usize) -> bool {
    // A stride of 0, an operand that is broadcast, is no direction.
    k == 1 || (across != 1 && k != 0 && k < across)
}
