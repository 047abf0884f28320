//! Threads: the tasks of [`matmul::threads`](crate::matmul::threads), over one B packed in pairs.
//!
//! Blocks of C are tasks that are cut by the shape alone, each element of C is summed by one task in one order, and a
//! small C with a long sum is cut along k into parts of fixed length whose sums are added in order. So the bits do
//! not depend on the number of threads. Tasks have twice the multiply-adds of those in `f32`, for they take as long.
//!
//! In the report, 2 threads with `vdpbf16ps`, GFLOP/s of 473: 512×512×512 NN 429, 1.93 times one thread;
//! 2048×2048×2048 NN 442, NT 441, TN 436. As x·Wᵀ / dy·W / dyᵀ·x of a layer: 16384 tokens, 384→1152 442 / 440 / 402;
//! 384→1536 439 / 438 / 414; 1536→384 451 / 455 / 422; 384→384 434 / 423 / 361; 384→65 315 / 416 / 264; 768 tokens,
//! 384→1536 417 / 416 / 433. The geometric mean over PyTorch's bf16, whose operands are half as many bytes in memory,
//! is 1.06 in 42 workloads. Sums over 16384 positions lose to packing at the pace of memory, 65 columns to panels
//! that they do not fill. Where the report has half of the peak (1024×1024×1024 NN and NT), PyTorch has half as well:
//! the machine gave one core.
//!
//! What it took: in TN the rows ahead are fetched line by line as rows are zipped (all lines of 16 rows at once
//! stalled: 312 for 378 at 384→1152), and a vector goes to two panels of A as two halves (through an array in memory:
//! 245). With 96 rows in a task and not 72 or 80, so that all tasks are alike and begin at a line, dyᵀ·x of 384→1152
//! went from 402 to 425, of 384→1536 from 409 to 429, and with 768 tokens from 410 to 436; the larger operand as A,
//! which is fetched while others are multiplied, 1536→384 from 400 to 423 (all in turn with the code before).
//! Tiles want the larger one as B, and long sums in parts: `panels.rs` says why, `tiles.rs` what it bought.

use super::{pack::Operand, packed, panels::Panels};
use crate::matmul::{
    Shape, Strides, View, begin,
    micro::Block,
    packed::N_BLOCK,
    prefetch::Next,
    split_k,
    threads::{PACKED_B, each_block, each_matrix, each_panels, fold_batch, next_of_a, work},
};
use crate::{Bf16Isa, scratch};
use rayon::prelude::*;

/// How many rows are written at a time where C is transposed: a cache line of columns.
const TOGETHER: usize = 16;

/// The rung: see [`super::forward`].
///
/// # Panics
/// As [`super::forward`].
pub fn run(
    isa: Bf16Isa,
    shape: Shape,
    a: &[f32],
    a_strides: Strides,
    b: &[f32],
    b_strides: Strides,
    c: &mut [f32],
    accumulate: bool,
) {
    if begin(shape, a, a_strides, b, b_strides, c, accumulate) {
        let matrix = |index| Operand::F32(View::of(b, b_strides, index));
        batch(isa, shape, a, a_strides, matrix, b_strides, c, accumulate);
    }
}

/// Every matrix of the batch, B's given by its index; none of the sizes is 0.
pub(super) fn batch<'b>(
    isa: Bf16Isa,
    shape: Shape,
    a: &[f32],
    a_strides: Strides,
    b: impl Fn(usize) -> Operand<'b> + Sync,
    b_strides: Strides,
    c: &mut [f32],
    accumulate: bool,
) {
    let shape = fold_batch(shape, a_strides, b_strides);
    each_matrix(shape, Panels::new(isa, shape).cut.work, c, |index, c| {
        product(isa, shape, View::of(a, a_strides, index), b(index), c, accumulate);
    });
}

/// One matrix of the batch.
fn product(isa: Bf16Isa, shape: Shape, a: View<'_>, b: Operand<'_>, c: &mut [f32], accumulate: bool) {
    let level = Panels::new(isa, shape);
    if work(shape) < 2 * level.cut.work {
        packed::product(isa, shape, a, b, c, accumulate);
    } else if let Operand::F32(b) = b
        && is_better_transposed(level, shape, a, b)
    {
        transposed(shape, c, accumulate, |shape, sum| {
            parts_or_blocks(isa, shape, b.transposed(), Operand::F32(a.transposed()), sum, false);
        });
    } else {
        parts_or_blocks(isa, shape, a, b, c, accumulate);
    }
}

/// Cut along k, or into blocks of C.
fn parts_or_blocks(isa: Bf16Isa, shape: Shape, a: View<'_>, b: Operand<'_>, c: &mut [f32], accumulate: bool) {
    let level = Panels::new(isa, shape);
    if let Some(part) = part_of_sum(level, shape) {
        split_k::sum_of_parts(shape, part, c, accumulate, |first, shape, sum| {
            packed::product(isa, shape, a.from(0, first), b.from(first, 0), sum, false);
        });
    } else {
        output_blocks(level, shape, a, b, c, accumulate);
    }
}

/// Whether the other operand of a long sum over rows of both (TN) should be the larger one: B in the parts of a sum on
/// tiles, A in blocks of C on vectors.
fn is_better_transposed(level: Panels, shape: Shape, a: View<'_>, b: View<'_>) -> bool {
    let Shape { m, n, k, .. } = shape;
    let (larger, smaller) = if level.larger_is_b { (m, n) } else { (n, m) };
    let over_rows = a.row == 1 && b.col == 1;
    let has_parts = part_of_sum(level, shape).is_some();
    over_rows && larger >= 2 * smaller && k >= 4 * larger && has_parts == level.larger_is_b
}

/// `product(shape, sum)` makes Cᵀ = Bᵀ·Aᵀ, and from there it goes to C.
fn transposed(shape: Shape, c: &mut [f32], accumulate: bool, product: impl FnOnce(Shape, &mut [f32])) {
    let Shape { m, n, .. } = shape;
    scratch::with(m * n, |sum: &mut [f32]| {
        product(Shape { m: n, n: m, ..shape }, sum);
        let sum = &*sum;
        c.par_chunks_mut(TOGETHER * n).enumerate().for_each(|(index, c)| {
            let i = index * TOGETHER;
            for (j, column) in sum.chunks_exact(m).enumerate() {
                for (row, &sum) in c.chunks_exact_mut(n).zip(&column[i..]) {
                    row[j] = if accumulate { row[j] + sum } else { sum };
                }
            }
        });
    });
}

/// How long the parts of the sum are, where k is long enough and C small enough to cut it: an even number of parts, so
/// that two cores get equal shares, at most 16, or 8 where C is not small, which bounds the memory for their sums.
fn part_of_sum(level: Panels, shape: Shape) -> Option<usize> {
    const PART: usize = 256;
    const SMALL: usize = 1 << 16;
    let Shape { m, n, k, .. } = shape;
    let (most, side) = if m * n <= SMALL { (16, m.min(n)) } else { (8, m.max(n)) };
    let pays = m * n <= level.largest_of_parts && k >= 3 * PART && k / 4 >= side;
    pays.then(|| k.div_ceil((k / PART).clamp(2, most) / 2 * 2).next_multiple_of(32))
}

/// Packs B, as much of it at a time as [`PACKED_B`] allows, and multiplies.
fn output_blocks(level: Panels, shape: Shape, a: View<'_>, b: Operand<'_>, c: &mut [f32], accumulate: bool) {
    let Shape { m, n, k, .. } = shape;
    let mut c = Block::whole(c, n);
    let n_block = n.min(N_BLOCK);
    let k_block = level.k_block(k, level.most_steps);
    // In TN every row of k is on other pages, and each task touches all of a chunk's: they have to fit the TLB.
    let most = if a.row == 1 { 2 } else { usize::MAX };
    let k_chunk = (2 * PACKED_B / n_block.next_multiple_of(level.columns) / k_block).clamp(1, most) * k_block;
    for j in (0..n).step_by(n_block) {
        let columns = n_block.min(n - j);
        for p in (0..k).step_by(k_chunk) {
            let steps = k_chunk.min(k - p);
            scratch::with(columns.next_multiple_of(level.columns) * level.words(steps), |panels: &mut [u32]| {
                pack_b(level, b.from(p, j), columns, steps, k_block, panels);
                let shape = Shape { batch: 1, m, n: columns, k: steps };
                let c = c.part(0, j, m, columns);
                multiply_blocks(level, shape, a.from(0, p), panels, k_block, c, accumulate || p > 0);
            });
        }
    }
}

/// Packs all of `panels`: block of k after block of k, each with the panels of all columns.
fn pack_b(level: Panels, b: Operand<'_>, columns: usize, k: usize, k_block: usize, panels: &mut [u32]) {
    each_panels(panels, columns, level.columns, k_block / 2, |q, first, count, _, panels| {
        level.pack_b(b.from(q * k_block, first), count, k_block.min(k - q * k_block), panels);
    });
}

/// Multiplies with packed B (blocks of `k_block` steps), a task for each block of C.
fn multiply_blocks(level: Panels, shape: Shape, a: View<'_>, b: &[u32], k_block: usize, c: Block<'_>, add: bool) {
    let Shape { m, n, k, .. } = shape;
    let padded = n.next_multiple_of(level.columns);
    each_block(shape, level.cut, c, |i, j, mut c| {
        let (rows, columns) = (c.rows, c.columns);
        let padded_rows = rows.next_multiple_of(level.rows);
        scratch::with(padded_rows * level.words(k_block.min(k)), |panels: &mut [u32]| {
            for p in (0..k).step_by(k_block) {
                let steps = k_block.min(k - p);
                let words = level.words(steps);
                let next = Next { a: next_of_a(a, (i, rows, m), (p, steps, k)), b: None };
                let a_panels = &mut panels[..padded_rows * words];
                level.pack_a(a.from(i, p), rows, steps, a_panels);
                let b_panels = &b[p / 2 * padded + j * words..][..columns.next_multiple_of(level.columns) * words];
                level.multiply(words, a_panels, b_panels, c.part(0, 0, rows, columns), add || p > 0, next);
            }
        });
    });
}
