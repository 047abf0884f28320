//! Threads: the tasks of [`matmul::threads`](crate::matmul::threads), over one B packed in pairs.
//!
//! Blocks of C are tasks that are cut by the shape alone, each element of C is summed by one task in one order, and a
//! small C with a long sum is cut along k into parts of fixed length whose sums are added in order. So the bits do not
//! depend on the number of threads. Tasks have twice the multiply-adds of those in `f32`, for they take as long.
//!
//! Measured on 2 threads with `vdpbf16ps`, medians, GFLOP/s of 460: 512×512×512 NN 384, 1024×1024×1024 391,
//! 2048×2048×2048 394. As x·Wᵀ / dy·W / dyᵀ·x of a layer: 16384 tokens, 384→1152 408 / 432 / 381; 384→1536 414 / 439 /
//! 376; 1536→384 437 / 432 / 361; 384→65 307 / 344 / 263; 768 tokens, 384→1536 414 / 426 / 389; 128→512 291 / 306 / 366.
//! The geometric mean of these 21 is 375; PyTorch's bf16, whose operands are half as many bytes in memory, made 368 an hour
//! before. What it took: in TN the rows ahead are fetched line by line as rows are zipped (all lines of 16 rows at once
//! stalled: 312 for 378 at 384→1152), and a vector goes to two panels of A as two halves (through an array in memory: 245).

use super::{
    micro::multiply,
    pack::{Operand, pack},
    packed::{self, k_block},
};
use crate::matmul::{
    Shape, Strides, View, begin,
    micro::{Block, PANEL_ROWS, Shared, panel_columns},
    packed::{M_BLOCK, N_BLOCK},
};
use crate::{Bf16Isa, parallel, scratch};
use rayon::prelude::*;

/// The least multiply-adds that are worth a task: about 10 µs.
const TASK: usize = 1 << 20;
/// The fewest rows of a task, where C has as many.
const M_LEAST: usize = 64;
/// Most pairs of B that are packed at a time: 8 MiB, a part of the third-level cache.
const PACKED_B: usize = 1 << 21;
/// The least pairs that are worth packing in a task of their own.
const PACK_TASK: usize = 1 << 15;

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
    // A batch that shares B, its A one below the other, is one product with more rows.
    let below = shape.m.checked_mul(a_strides.row) == Some(a_strides.batch);
    let fold = b_strides.batch == 0 && below;
    let shape = if fold { Shape { batch: 1, m: shape.batch * shape.m, ..shape } } else { shape };
    let Shape { batch, m, n, .. } = shape;
    let work = work(shape);
    let one = |index: usize, c: &mut [f32]| {
        product(isa, shape, View::of(a, a_strides, index), b(index), c, accumulate);
    };
    if batch == 1 || work >= 16 * TASK {
        c.chunks_exact_mut(m * n).enumerate().for_each(|(index, c)| one(index, c));
        return;
    }
    let group = (TASK / work).max(batch.div_ceil(64)).clamp(1, batch);
    let several = |(first, c): (usize, &mut [f32])| {
        for (index, c) in c.chunks_exact_mut(m * n).enumerate() {
            one(first * group + index, c);
        }
    };
    if group == batch {
        several((0, c));
    } else {
        c.par_chunks_mut(group * m * n).with_max_len(1).enumerate().for_each(several);
    }
}

/// Multiply-adds of one matrix of the batch.
fn work(shape: Shape) -> usize {
    shape.m.saturating_mul(shape.n).saturating_mul(shape.k).max(1)
}

/// One matrix of the batch.
fn product(isa: Bf16Isa, shape: Shape, a: View<'_>, b: Operand<'_>, c: &mut [f32], accumulate: bool) {
    if work(shape) < 2 * TASK {
        packed::product(isa, shape, a, b, c, accumulate);
    } else if let Some(part) = part_of_sum(shape) {
        parts_of_sum(isa, shape, part, a, b, c, accumulate);
    } else {
        output_blocks(isa, shape, a, b, c, accumulate);
    }
}

/// How long the parts of the sum are, where k is long enough and C small enough to cut it: an even number of parts, so
/// that two cores get equal shares, at most 16, which bounds the memory for their sums.
fn part_of_sum(shape: Shape) -> Option<usize> {
    const PART: usize = 256;
    let Shape { m, n, k, .. } = shape;
    let pays = m * n <= 1 << 16 && k >= 3 * PART && k / 4 >= m.min(n);
    pays.then(|| k.div_ceil((k / PART).clamp(2, 16) / 2 * 2).next_multiple_of(16))
}

fn parts_of_sum(isa: Bf16Isa, shape: Shape, part: usize, a: View<'_>, b: Operand<'_>, c: &mut [f32], accumulate: bool) {
    let Shape { m, n, k, .. } = shape;
    let outputs = m * n;
    scratch::with(k.div_ceil(part) * outputs, |sums: &mut [f32]| {
        sums.par_chunks_mut(outputs).with_max_len(1).enumerate().for_each(|(index, sum)| {
            let first = index * part;
            let shape = Shape { k: part.min(k - first), ..shape };
            packed::product(isa, shape, a.from(0, first), b.from(first, 0), sum, false);
        });
        let sums = &*sums;
        let add = |(first, c): (usize, &mut [f32])| {
            if !accumulate {
                c.fill(0.0);
            }
            for sum in sums.chunks_exact(outputs) {
                for (c, sum) in c.iter_mut().zip(&sum[first..]) {
                    *c += sum;
                }
            }
        };
        let items = parallel::items_per_task(outputs, sums.len() / outputs);
        if items == outputs {
            add((0, c));
        } else {
            c.par_chunks_mut(items).enumerate().for_each(|(index, c)| add((index * items, c)));
        }
    });
}

/// Packs B, as much of it at a time as [`PACKED_B`] allows, and multiplies.
fn output_blocks(isa: Bf16Isa, shape: Shape, a: View<'_>, b: Operand<'_>, c: &mut [f32], accumulate: bool) {
    let Shape { m, n, k, .. } = shape;
    let mut c = Block::whole(c, n);
    let width = panel_columns(isa.isa());
    let n_block = n.min(N_BLOCK);
    let k_block = k_block(k);
    // In TN every row of k is on other pages, and each task touches all of a chunk's: they have to fit the TLB.
    let most = if a.row == 1 { 2 } else { usize::MAX };
    let k_chunk = (2 * PACKED_B / n_block.next_multiple_of(width) / k_block).clamp(1, most) * k_block;
    for j in (0..n).step_by(n_block) {
        let columns = n_block.min(n - j);
        for p in (0..k).step_by(k_chunk) {
            let steps = k_chunk.min(k - p);
            scratch::with(columns.next_multiple_of(width) * steps.div_ceil(2), |panels: &mut [u32]| {
                pack_b(isa, b.from(p, j), columns, steps, k_block, panels);
                let shape = Shape { batch: 1, m, n: columns, k: steps };
                let c = c.part(0, j, m, columns);
                multiply_blocks(isa, shape, a.from(0, p), panels, k_block, c, accumulate || p > 0);
            });
        }
    }
}

/// Packs all of `panels`: block of k after block of k, each with the panels of all columns.
fn pack_b(isa: Bf16Isa, b: Operand<'_>, columns: usize, k: usize, k_block: usize, panels: &mut [u32]) {
    let width = panel_columns(isa.isa());
    let padded = columns.next_multiple_of(width);
    let parallel = panels.len() >= 2 * PACK_TASK;
    let block = |(q, panels): (usize, &mut [u32])| {
        let steps = k_block.min(k - q * k_block);
        let pairs = steps.div_ceil(2);
        let group = PACK_TASK.div_ceil(width * pairs);
        let part = |(g, panels): (usize, &mut [u32])| {
            let first = g * group * width;
            let source = b.from(q * k_block, first).transposed();
            source.pack(isa, (group * width).min(columns - first), steps, width, panels);
        };
        if parallel {
            panels.par_chunks_mut(group * width * pairs).with_max_len(1).enumerate().for_each(part);
        } else {
            panels.chunks_mut(group * width * pairs).enumerate().for_each(part);
        }
    };
    if parallel {
        panels.par_chunks_mut(k_block / 2 * padded).with_max_len(1).enumerate().for_each(block);
    } else {
        panels.chunks_mut(k_block / 2 * padded).enumerate().for_each(block);
    }
}

/// How C is cut: (rows, columns) of a task; see [`matmul::threads`](crate::matmul::threads).
fn task_size(shape: Shape, width: usize) -> (usize, usize) {
    let Shape { m, n, .. } = shape;
    let tasks = (work(shape) / TASK).clamp(1, 8);
    let down = tasks.min(m.div_ceil(M_LEAST)).max(m.div_ceil(M_BLOCK));
    let down = if down > 4 { down.next_multiple_of(4) } else { down };
    let rows = m.div_ceil(down).next_multiple_of(PANEL_ROWS);
    let across = tasks.div_ceil(m.div_ceil(rows));
    (rows, n.div_ceil(across).next_multiple_of(width))
}

/// Multiplies with packed B (blocks of `k_block` steps), a task for each block of C.
fn multiply_blocks(isa: Bf16Isa, shape: Shape, a: View<'_>, b: &[u32], k_block: usize, c: Block<'_>, add: bool) {
    let Shape { m, n, k, .. } = shape;
    let width = panel_columns(isa.isa());
    let padded = n.next_multiple_of(width);
    let (task_rows, task_columns) = task_size(shape, width);
    let across = n.div_ceil(task_columns);
    let c = Shared(&c);
    let task = |index: usize| {
        let (i, j) = (index / across * task_rows, index % across * task_columns);
        let (rows, columns) = (task_rows.min(m - i), task_columns.min(n - j));
        let padded_rows = rows.next_multiple_of(PANEL_ROWS);
        scratch::with(padded_rows * k_block.min(k).div_ceil(2), |panels: &mut [u32]| {
            for p in (0..k).step_by(k_block) {
                let steps = k_block.min(k - p);
                let pairs = steps.div_ceil(2);
                // This task's next block of A, or the first one of the task that this thread will likely take next.
                let next = if p + steps < k { Some((i, p + steps)) } else { (i + rows < m).then_some((i + rows, 0)) };
                let next = next.map(|(i, p)| a.from(i, p));
                let a_panels = &mut panels[..padded_rows * pairs];
                pack(isa, a.from(i, p), rows, steps, PANEL_ROWS, a_panels);
                let b_panels = &b[p / 2 * padded + j * pairs..][..columns.next_multiple_of(width) * pairs];
                // SAFETY: no two tasks have the same rows and columns.
                let c = unsafe { c.part(i, j, rows, columns) };
                multiply(isa, pairs, a_panels, b_panels, c, add || p > 0, next);
            }
        });
    };
    let tasks = m.div_ceil(task_rows) * across;
    if tasks == 1 {
        task(0);
    } else {
        (0..tasks).into_par_iter().with_max_len(1).for_each(task);
    }
}
