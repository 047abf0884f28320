//! Threads: blocks of C are tasks, all of which read one packed B.
//!
//! All threads pack B once; then every task packs its own rows of A and multiplies. The shape alone decides how tasks are
//! cut, and each element of C is summed by one task in one order, so the bits do not depend on the number of threads. Work
//! that is too small for a second thread stays on one, and three kinds of products go other ways: matrix times vector
//! ([`super::gemv`]); a small C with a long sum, such as the gradient of a weight over many positions (`split_k.rs`); and a
//! batch of small products, of which a task takes several. 2048×2048×2048, two threads: 209 GFLOP/s.

use super::{
    Shape,
    block::{Block, Shared},
    gemv,
    operands::{Product, Products, Source, View},
    packed,
    packed_kernel::prefetch::Next,
    packed_kernel::{Cut, N_BLOCK, PackedKernel},
    split_k,
};
use crate::{Isa, scratch};
use rayon::prelude::*;

/// The fewest rows of a task, where C has as many.
const M_LEAST: usize = 64;
/// Most words of B that are packed at a time: 8 MiB, a part of the third-level cache.
const PACKED_B: usize = 1 << 21;
/// The least words that are worth packing in a task of their own.
const PACK_TASK: usize = 1 << 15;

/// The rung: see [`super::forward`].
///
/// # Panics
/// As [`super::forward`].
pub fn run(isa: Isa, products: Products<'_>) {
    let kernel = PackedKernel::of_f32(isa);
    for_each_in_tasks(products, kernel.cut.work, |one| product(isa, kernel, one));
}

/// [`Products::for_each`] of [`Products::folded`]: one after the other where they are large enough to be cut themselves, else
/// in tasks of several that are worth `least` multiply-adds.
pub(super) fn for_each_in_tasks<B: Copy + Sync>(
    mut products: Products<'_, f32, B>,
    least: usize,
    one: impl Fn(Product<'_, View<'_, B>>) + Sync,
) {
    if !products.begin() {
        return;
    }
    let Products { shape, a, b, c, add } = products.folded();
    let Shape { batch, m, n, .. } = shape;
    let work = work(shape);
    let group =
        if batch == 1 || work >= 16 * least { batch } else { (least / work).max(batch.div_ceil(64)).clamp(1, batch) };
    let several = |(first, c): (usize, &mut [f32])| {
        for (index, c) in c.chunks_exact_mut(m * n).enumerate() {
            let (a, b) = (a.matrix(first * group + index), b.matrix(first * group + index));
            one(Product { shape: Shape { batch: 1, ..shape }, a, b, c, add });
        }
    };
    if group == batch {
        several((0, c));
    } else {
        c.par_chunks_mut(group * m * n).with_max_len(1).enumerate().for_each(several);
    }
}

/// Multiply-adds of one product.
pub(super) fn work(shape: Shape) -> usize {
    shape.m.saturating_mul(shape.n).saturating_mul(shape.k).max(1)
}

/// One product.
pub(super) fn product(isa: Isa, kernel: PackedKernel, one: Product<'_>) {
    let Product { shape, a, b, c, add } = one;
    if shape.m == 1 {
        gemv::product(isa, b.transposed(), (a.data, a.col), shape.k, c, add);
    } else if shape.n == 1 {
        gemv::product(isa, a, (b.data, b.row), shape.k, c, add);
    } else {
        let one = Product { shape, a, b: Source::F32(b), c, add };
        if work(shape) < 2 * kernel.cut.work {
            packed::product(kernel, one);
        } else if let Some(part) = split_k::part(shape) {
            split_k::sum_of_parts(part, one, |part| packed::product(kernel, part));
        } else {
            output_blocks(kernel, one);
        }
    }
}

/// Packs B, as much of it at a time as [`PACKED_B`] allows, and multiplies, in either precision.
pub(super) fn output_blocks(kernel: PackedKernel, Product { shape, a, b, c, add }: Product<'_, Source<'_>>) {
    let Shape { m, n, k, .. } = shape;
    let mut c = Block::whole(c, n);
    let n_block = n.min(N_BLOCK);
    let k_block = kernel.k_block(k, kernel.most_steps);
    // In TN every row of k is on other pages, and each task touches all of a chunk's: they have to fit the TLB.
    let most = if a.row == 1 { 2 } else { usize::MAX };
    let steps_of_b = PACKED_B * kernel.steps_of_word() / n_block.next_multiple_of(kernel.columns);
    let k_chunk = (steps_of_b / k_block).clamp(1, most) * k_block;
    for j in (0..n).step_by(n_block) {
        let columns = n_block.min(n - j);
        for p in (0..k).step_by(k_chunk) {
            let steps = k_chunk.min(k - p);
            let len = columns.next_multiple_of(kernel.columns) * kernel.words(steps);
            scratch::with(len, |panels: &mut [u32]| {
                pack_b(kernel, b.from(p, j), columns, steps, k_block, panels);
                let shape = Shape { batch: 1, m, n: columns, k: steps };
                let c = c.part(0, j, m, columns);
                multiply_blocks(kernel, shape, a.from(0, p), panels, k_block, c, add || p > 0);
            });
        }
    }
}

/// Packs all of `panels`: block of k after block of k, each with the panels of all columns.
fn pack_b(kernel: PackedKernel, b: Source<'_>, columns: usize, k: usize, k_block: usize, panels: &mut [u32]) {
    let block = k_block / kernel.steps_of_word();
    each_panels(panels, columns, kernel.columns, block, |q, first, count, panels| {
        kernel.pack_b(b.from(q * k_block, first), count, k_block.min(k - q * k_block), panels);
    });
}

/// Fills `panels`, block of k after block of k, in tasks where there is work for them: `pack(q, first, count, panels)` fills
/// those of block `q` and of `count` columns from `first` on, `width` columns by `block` words, or fewer in the last block.
fn each_panels(
    panels: &mut [u32],
    columns: usize,
    width: usize,
    block: usize,
    pack: impl Fn(usize, usize, usize, &mut [u32]) + Sync,
) {
    let padded = columns.next_multiple_of(width);
    let parallel = panels.len() >= 2 * PACK_TASK;
    let one = |(q, panels): (usize, &mut [u32])| {
        let height = panels.len() / padded;
        let group = PACK_TASK.div_ceil(width * height);
        let part = |(g, panels): (usize, &mut [u32])| {
            let first = g * group * width;
            pack(q, first, (group * width).min(columns - first), panels);
        };
        if parallel {
            panels.par_chunks_mut(group * width * height).with_max_len(1).enumerate().for_each(part);
        } else {
            panels.chunks_mut(group * width * height).enumerate().for_each(part);
        }
    };
    if parallel {
        panels.par_chunks_mut(block * padded).with_max_len(1).enumerate().for_each(one);
    } else {
        panels.chunks_mut(block * padded).enumerate().for_each(one);
    }
}

/// How C is cut: (rows, columns) of a task. There are 8 tasks where the work is enough for them, more where blocks of
/// A bound the rows; few rows are not cut below [`M_LEAST`] but the columns are, so that a panel of B is used often.
/// Somewhat smaller blocks are better where all of them are then alike, and no core waits for the other: whole lines of
/// rows too, for A may be stored transposed.
fn task_size(shape: Shape, cut: Cut) -> (usize, usize) {
    const LINE: usize = 16;
    let Shape { m, n, .. } = shape;
    let tasks = (work(shape) / cut.work).clamp(1, 8);
    let down = tasks.min(m.div_ceil(M_LEAST)).max(m.div_ceil(cut.most_rows));
    let down = if down > 4 { down.next_multiple_of(4) } else { down };
    let mut somewhat_smaller = (down..=down + 8).step_by(4);
    let down = somewhat_smaller.find(|&down| m.is_multiple_of(LINE * down)).unwrap_or(down);
    let rows = m.div_ceil(down).next_multiple_of(cut.rows);
    let across = tasks.div_ceil(m.div_ceil(rows));
    (rows, n.div_ceil(across).next_multiple_of(cut.columns))
}

/// `one(i, j, c)` for every block of C, where it begins and itself: a task for each.
fn each_block(shape: Shape, cut: Cut, c: Block<'_>, one: impl Fn(usize, usize, Block<'_>) + Sync) {
    let Shape { m, n, .. } = shape;
    let (rows, columns) = task_size(shape, cut);
    let across = n.div_ceil(columns);
    let c = Shared(&c);
    let task = |index: usize| {
        let (i, j) = (index / across * rows, index % across * columns);
        // SAFETY: no two tasks have the same rows and columns.
        one(i, j, unsafe { c.part(i, j, rows.min(m - i), columns.min(n - j)) });
    };
    let tasks = m.div_ceil(rows) * across;
    if tasks == 1 {
        task(0);
    } else {
        (0..tasks).into_par_iter().with_max_len(1).for_each(task);
    }
}

/// Multiplies with packed B (blocks of `k_block` steps), a task for each block of C.
fn multiply_blocks(
    kernel: PackedKernel,
    shape: Shape,
    a: View<'_>,
    b: &[u32],
    k_block: usize,
    c: Block<'_>,
    add: bool,
) {
    let Shape { m, n, k, .. } = shape;
    let padded = n.next_multiple_of(kernel.columns);
    each_block(shape, kernel.cut, c, |i, j, mut c| {
        let (rows, columns) = (c.rows, c.columns);
        let padded_rows = rows.next_multiple_of(kernel.rows);
        scratch::with(padded_rows * kernel.words(k_block.min(k)), |panels: &mut [u32]| {
            for p in (0..k).step_by(k_block) {
                let steps = k_block.min(k - p);
                let words = kernel.words(steps);
                let next = Next { a: next_of_a(a, (i, rows, m), (p, steps, k)), b: None };
                let a_panels = &mut panels[..padded_rows * words];
                kernel.pack_a(a.from(i, p), rows, steps, a_panels);
                let first = p / kernel.steps_of_word() * padded + j * words;
                let b_panels = &b[first..][..columns.next_multiple_of(kernel.columns) * words];
                kernel.multiply(words, a_panels, b_panels, c.part(0, 0, rows, columns), add || p > 0, next);
            }
        });
    });
}

/// The block of A after rows `i..i + rows` of `m` and steps `p..p + steps` of `k`: this task's next one, or the first
/// one of the task that this thread will likely take next.
fn next_of_a<'a>(
    a: View<'a>,
    (i, rows, m): (usize, usize, usize),
    (p, steps, k): (usize, usize, usize),
) -> Option<View<'a>> {
    if p + steps < k { Some(a.from(i, p + steps)) } else { (i + rows < m).then(|| a.from(i + rows, 0)) }
}
