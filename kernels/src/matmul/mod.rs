//! The matrix product, batched: C\[b\] = A\[b\]·B\[b\], or C\[b\] += A\[b\]·B\[b\].
//!
//! # Shapes and layouts
//! A\[b\] is M×K, B\[b\] is K×N, C is contiguous \[batch, M, N\]. A and B are read through [`Strides`], so that one
//! function serves the three layouts of training: NN as it stands; NT, B stored as \[N, K\] (a weight of a linear
//! layer), with `row` and `col` of B swapped; TN, A stored as \[K, M\], with those of A swapped. A stride of 0
//! broadcasts.
//!
//! # Derivative
//! With dC the gradient of C, dA = dC·Bᵀ and dB = Aᵀ·dC: two more products, the operands read with swapped strides,
//! and `accumulate` adds to a gradient that is there already. So there is no separate backward.
//!
//! # Cost
//! 2·batch·M·N·K FLOPs on 4·batch·(M·K + K·N + M·N) bytes. At M = N = K = 1024 that is 170 FLOPs for a byte: the
//! product is limited by arithmetic, if the operands are used often enough while they are in registers and near
//! caches. All rungs do the same FLOPs; they differ in how often each element is fetched, and from where. With M = 1
//! each weight is used once, half a FLOP for a byte, and the product is limited by memory ([`gemv`]).
//!
//! # Files, in reading order
//! 1. [`naive`]: the definition
//! 2. [`blocked`]: loop order and cache blocks
//! 3. [`simd`]: vectors of columns
//! 4. [`register_tile`]: a tile of C in registers
//! 5. [`packed`]: operands packed into panels (`pack`), multiplied by a micro-kernel (`micro`)
//! 6. [`threads`]: blocks of C on all cores; [`gemv`] for a vector, `split_k` for long sums
//! 7. [`unpacked`]: operands that are read where they lie (`strided`), few rows by `dot_tiles`, and `two_phases` of tasks
//! 8. [`bf16`]: the same with operands rounded to bf16
//!
//! `prefetch` says which cache lines the micro-kernels prefetch.
//!
//! # Figures
//! The files give GFLOP/s on a 2-core Zen 4 (AVX-512), where independent multiply-adds reach 114 GFLOP/s a core and 228
//! on both, measured in the same run; on one thread at AVX-512 unless said; the 5th percentile of the repetitions, for
//! the machine is shared.
//!
//! # Order of the sums
//! No rung lets the number of threads decide how a sum over K is cut, so the results are bitwise the same on any
//! number of threads. Between rungs and instruction sets they differ in the last bits.

#![allow(clippy::needless_range_loop)] // counted loops over the rows and vectors of a tile unroll as they stand

pub mod bf16;
pub mod blocked;
mod dot_tiles;
pub mod gemv;
mod micro;
pub mod naive;
mod pack;
pub mod packed;
mod prefetch;
pub mod register_tile;
pub mod simd;
mod split_k;
mod strided;
pub mod threads;
mod two_phases;
pub mod unpacked;

#[cfg(test)]
mod tests;

use crate::{Float, Isa, Rung};

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

/// A rung: the arguments of [`forward`] after the instruction set.
pub type Run = fn(Isa, Shape, &[f32], Strides, &[f32], Strides, &mut [f32], bool);

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
    unpacked::run(Isa::active(), shape, a, a_strides, b, b_strides, c, accumulate);
}

/// How many elements a slice needs for `counts` and `strides`; `None` where that is no number.
fn span(counts: [usize; 3], strides: Strides) -> Option<usize> {
    if counts.contains(&0) {
        return Some(0);
    }
    let steps = [strides.batch, strides.row, strides.col];
    counts.iter().zip(steps).try_fold(1_usize, |end, (&count, step)| end.checked_add((count - 1).checked_mul(step)?))
}

/// Checks the slices against the shape, sets C to zero unless it is added to where K = 0, and says whether there is
/// anything left to do.
fn begin<E: Float, W>(
    shape: Shape,
    a: &[E],
    a_strides: Strides,
    b: &[W],
    b_strides: Strides,
    c: &mut [E],
    accumulate: bool,
) -> bool {
    let Shape { batch, m, n, k } = shape;
    let enough = |counts, strides, len| span(counts, strides).is_some_and(|end| end <= len);
    assert!(enough([batch, m, k], a_strides, a.len()), "matmul: A, {} elements, {a_strides:?}: {shape:?}", a.len());
    assert!(enough([batch, k, n], b_strides, b.len()), "matmul: B, {} elements, {b_strides:?}: {shape:?}", b.len());
    let outputs = if c.is_empty() && [batch, m, n].contains(&0) {
        Some(0)
    } else {
        batch.checked_mul(m).and_then(|rows| rows.checked_mul(n))
    };
    assert_eq!(Some(c.len()), outputs, "matmul: elements of C, contiguous: {shape:?}");
    if k == 0 && !accumulate {
        c.fill(E::zero());
    }
    !c.is_empty() && k > 0
}

/// A matrix inside a slice, element (i, j) at `i·row + j·col`.
#[derive(Clone, Copy)]
struct View<'a> {
    data: &'a [f32],
    row: usize,
    col: usize,
}

impl<'a> View<'a> {
    /// Matrix `index` of a batch.
    fn of(data: &'a [f32], strides: Strides, index: usize) -> View<'a> {
        View { data: &data[index * strides.batch..], row: strides.row, col: strides.col }
    }

    /// The matrix from this element on.
    fn from(self, row: usize, col: usize) -> View<'a> {
        View { data: &self.data[row * self.row + col * self.col..], ..self }
    }

    /// Rows and columns swapped.
    fn transposed(self) -> View<'a> {
        View { row: self.col, col: self.row, ..self }
    }
}
