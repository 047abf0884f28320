//! The matrix product, batched: C\[b\] = A\[b\]·B\[b\], or C\[b\] += A\[b\]·B\[b\].
//!
//! # Shapes and layouts
//! A\[b\] is M×K, B\[b\] is K×N, C is contiguous \[batch, M, N\]. A and B are read through [`Strides`], so one function
//! serves the three layouts of training: NN, both as they stand; NT, B stored as \[N, K\] (a weight of a linear layer), with
//! `row` and `col` of B swapped; TN, A stored as \[K, M\], with those of A swapped. A stride of 0 broadcasts.
//!
//! # Derivative
//! With dC the gradient of C, dA = dC·Bᵀ and dB = Aᵀ·dC: two more products, with swapped strides. Adding to C accumulates
//! gradients. So there is no separate backward pass.
//!
//! # Cost
//! 2·batch·M·N·K FLOPs on 4·batch·(M·K + K·N + M·N) bytes. At M = N = K = 1024 that is 170 FLOPs for a byte: the product is
//! limited by arithmetic, if operands are used often while they are in registers and near caches. All rungs do the same
//! FLOPs; they differ in how often each element is loaded, and from where. With M = 1 each weight is used once, half a FLOP
//! for a byte, and the product is limited by memory ([`gemv`]).
//!
//! # Files, in reading order
//! 1. [`naive`]: the definition; `operands` holds what a rung takes
//! 2. [`blocked`]: loop order and cache blocks
//! 3. [`simd`]: vectors of columns
//! 4. [`register_tile`]: a tile of C in registers
//! 5. [`packed`]: operands packed into panels and multiplied by a micro-kernel (folder `packed_kernel`), written to a `block` of C
//! 6. [`threads`]: blocks of C on all cores; [`gemv`] for a vector, `split_k` for long sums
//! 7. [`unpacked`]: operands read in place (`micro_in_place`), few rows by `dot_tiles`, packing and products in
//!    `two_phases` of one parallel region
//! 8. [`bf16`]: operands rounded to bf16
//! 9. `cuda`, with the feature of that name: the ladders of a card, in CUDA C
//!
//! From `packed` on, both precisions share the loops around the micro-kernel; `packed_kernel` holds what differs between
//! precisions and instruction sets.
//!
//! # Figures
//! One figure a file, in GFLOP/s of a Zen 4 with AVX-512, whose multiply-adds reach 114 GFLOP/s on one thread and 228 on two.
//! The rest is in docs/performance-notes-rungs.md.
//!
//! # Order of the sums
//! How a sum over K is cut never depends on the number of threads, so results are bitwise the same on any number of
//! threads. Between rungs and instruction sets they differ in the last bits.

#![allow(clippy::needless_range_loop)] // counted loops over the rows and vectors of a tile unroll as they stand

pub mod bf16;
mod block;
pub mod blocked;
#[cfg(feature = "cuda")]
pub mod cuda;
mod dot_tiles;
pub mod gemv;
mod micro_in_place;
pub mod naive;
pub(crate) mod operands;
pub mod packed;
mod packed_kernel;
pub mod register_tile;
pub mod simd;
mod split_k;
pub mod threads;
mod two_phases;
pub mod unpacked;

#[cfg(test)]
mod tests;

pub use operands::{Operand, Products};

use crate::{Isa, Rung};

/// The sizes of a batch of products (M×K)·(K×N) = M×N.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// How many products.
    pub batch: usize,
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A, rows of B: what is summed over.
    pub k: usize,
}

/// Steps in a slice, in elements: element (b, i, j) stands at `b·batch + i·row + j·col`. 0 broadcasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strides {
    /// From one matrix to the next.
    pub batch: usize,
    /// From one row to the next.
    pub row: usize,
    /// From one column to the next.
    pub col: usize,
}

/// A rung: products with an instruction set, of `f32` or with B stored in another type.
pub type Run<I = Isa, B = f32> = for<'a> fn(I, Products<'a, f32, B>);

/// The ladder, from the slowest to the fastest.
pub const RUNGS: &[Rung<Run>] = &[
    Rung { name: "naive", idea: "the definition: one dot product for each element of C", run: naive::run, simd: false },
    Rung {
        name: "blocked",
        idea: "loop order i, k, j: B and C are read along their rows; blocks of B stay in the cache",
        run: blocked::run,
        simd: false,
    },
    Rung { name: "simd", idea: "a vector of C's columns at once, its sum in a register", run: simd::run, simd: true },
    Rung {
        name: "register_tile",
        idea: "a tile of C in registers: each load serves many multiply-adds",
        run: register_tile::run,
        simd: true,
    },
    Rung {
        name: "packed",
        idea: "blocks of A and B copied into the order in which they are read, sized for the caches",
        run: packed::run,
        simd: true,
    },
    Rung {
        name: "threads",
        idea: "blocks of C on every core, over one packed B; matrix times vector and long sums apart",
        run: threads::run,
        simd: true,
    },
    Rung {
        name: "unpacked",
        idea: "operands that can be read where they lie are not packed",
        run: unpacked::run,
        simd: true,
    },
];

/// C\[b\] = A\[b\]·B\[b\] for every b of the batch, or C\[b\] += A\[b\]·B\[b\] with `accumulate`, by the best rung.
///
/// C is contiguous \[batch, m, n\]. With k = 0 the product is zero.
///
/// ```
/// use gradus_kernels::matmul::{Shape, Strides, forward};
/// let a = [1.0, 2.0, 3.0, 4.0];
/// let b = [1.0, 1.0, 0.0, 1.0];
/// let strides = Strides { batch: 0, row: 2, col: 1 };
/// let mut c = [0.0; 4];
/// forward(Shape { batch: 1, m: 2, n: 2, k: 2 }, &a, strides, &b, strides, &mut c, false);
/// assert_eq!(c, [1.0, 3.0, 3.0, 7.0]);
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
    unpacked::run(Isa::active(), Products { shape, a, b, c, add: accumulate });
}
