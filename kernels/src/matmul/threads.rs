//! Threads: blocks of C are tasks, all of which read one packed B.
//!
//! B is packed once, by all threads, and then every task packs its own rows of A and multiplies. The tasks are cut by
//! the shape alone and each element of C is summed by one task in one order, so the bits do not depend on the number
//! of threads. Work that is too small for a second thread stays on the one that has it, and three kinds of product
//! go other ways: matrix times vector ([`super::gemv`]), a C that is not large with a long sum, as the
//! gradient of a weight over many positions (`split_k.rs`), and a batch of small products, where a task takes several of
//! them whole.
//!
//! Measured on 2 threads, GFLOP/s of 228, NN / NT / TN: 512×512×512 210 / 211 / 199; 1024×1024×1024 213 / 214 / 206;
//! 2048×2048×2048 209 / 207 / 207. As x·Wᵀ / dy·W / dyᵀ·x of a layer: 16384 tokens, 384→1152 208 / 211 / 207;
//! 384→1536 211 / 217 / 196; 1536→384 220 / 214 / 192; 384→65 167 / 166 / 137; 768 tokens, 384→1536 199 / 206 / 201;
//! 128→512 214 / 211 / 200. At AVX2 the same within 5%. 65 columns fill 5 vectors of 16 to 81%, which bounds 384→65;
//! there a block of A is used so seldom that memory bandwidth shows as well.
//! What it took in TN, where the columns of A lie together: rows of k on 4 KiB pages of their own made every task miss
//! the TLB, 20% of the time at k = 16384, until a chunk of k was made short enough for its pages to fit.
//! Packing A once for all tasks instead, which touches each page once, was slower on 2 threads, for then nobody
//! multiplies while memory is read.

use super::{
    Shape, Strides, View, begin, gemv,
    micro::{Block, PANEL_ROWS, Shared, multiply, panel_columns},
    pack::pack,
    packed::{self, K_BLOCK, M_BLOCK, N_BLOCK, k_block},
    prefetch::Next,
    split_k,
};
use crate::{Isa, scratch};
use rayon::prelude::*;

/// The least multiply-adds that are worth a task: about 10 µs.
const TASK: usize = 1 << 19;
/// The fewest rows of a task, where C has as many.
const M_LEAST: usize = 64;
/// Most words of B that are packed at a time: 8 MiB, a part of the third-level cache.
pub(super) const PACKED_B: usize = 1 << 21;
/// The least words that are worth packing in a task of their own.
const PACK_TASK: usize = 1 << 15;

/// The rung: see [`super::forward`].
///
/// # Panics
/// As [`super::forward`].
pub fn run(
    isa: Isa,
    shape: Shape,
    a: &[f32],
    a_strides: Strides,
    b: &[f32],
    b_strides: Strides,
    c: &mut [f32],
    accumulate: bool,
) {
    if !begin(shape, a, a_strides, b, b_strides, c, accumulate) {
        return;
    }
    let shape = fold_batch(shape, a_strides, b_strides);
    each_matrix(shape, TASK, c, |index, c| {
        product(isa, shape, View::of(a, a_strides, index), View::of(b, b_strides, index), c, accumulate);
    });
}

/// `one(index, c)` for every matrix of the batch: one after the other where they are large enough to be cut
/// themselves, else tasks of several that are worth `least` multiply-adds.
pub(super) fn each_matrix(shape: Shape, least: usize, c: &mut [f32], one: impl Fn(usize, &mut [f32]) + Sync) {
    let Shape { batch, m, n, .. } = shape;
    let work = work(shape);
    if batch == 1 || work >= 16 * least {
        c.chunks_exact_mut(m * n).enumerate().for_each(|(index, c)| one(index, c));
        return;
    }
    let group = (least / work).max(batch.div_ceil(64)).clamp(1, batch);
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

/// A batch that shares B, its A one below the other, is one product with more rows.
pub(super) fn fold_batch(shape: Shape, a: Strides, b: Strides) -> Shape {
    let Shape { batch, m, .. } = shape;
    let below = m.checked_mul(a.row) == Some(a.batch);
    if b.batch == 0 && below { Shape { batch: 1, m: batch * m, ..shape } } else { shape }
}

/// Multiply-adds of one matrix of the batch.
pub(super) fn work(shape: Shape) -> usize {
    shape.m.saturating_mul(shape.n).saturating_mul(shape.k).max(1)
}

/// One matrix of the batch; none of the sizes is 0.
fn product(isa: Isa, shape: Shape, a: View<'_>, b: View<'_>, c: &mut [f32], accumulate: bool) {
    let Shape { m, n, k, .. } = shape;
    if m == 1 {
        gemv::product(isa, b.transposed(), (a.data, a.col), k, c, accumulate);
    } else if n == 1 {
        gemv::product(isa, a, (b.data, b.row), k, c, accumulate);
    } else if work(shape) < 2 * TASK {
        packed::product(isa, shape, a, b, c, accumulate);
    } else if split_k::pays(shape) {
        split_k::product(isa, shape, a, b, c, accumulate);
    } else {
        output_blocks(isa, shape, a, b, c, accumulate);
    }
}

/// Packs B, as much of it at a time as [`PACKED_B`] allows, and multiplies.
fn output_blocks(isa: Isa, shape: Shape, a: View<'_>, b: View<'_>, c: &mut [f32], accumulate: bool) {
    let Shape { m, n, k, .. } = shape;
    let mut c = Block::whole(c, n);
    let width = panel_columns(isa);
    let n_block = n.min(N_BLOCK);
    let padded = n_block.next_multiple_of(width);
    let k_block = k_block(k, K_BLOCK);
    // In TN every row of k is on other pages, and each task touches all of a chunk's: they have to fit the TLB.
    let most = if a.row == 1 { 2 } else { usize::MAX };
    let k_chunk = (PACKED_B / padded / k_block).clamp(1, most) * k_block;
    for j in (0..n).step_by(n_block) {
        let columns = n_block.min(n - j);
        for p in (0..k).step_by(k_chunk) {
            let steps = k_chunk.min(k - p);
            let len = columns.next_multiple_of(width) * steps;
            scratch::with(len, |panels: &mut [f32]| {
                pack_b(isa, b.from(p, j), columns, k_block, panels);
                let shape = Shape { batch: 1, m, n: columns, k: steps };
                multiply_blocks(
                    isa,
                    shape,
                    a.from(0, p),
                    panels,
                    k_block,
                    c.part(0, j, m, columns),
                    accumulate || p > 0,
                );
            });
        }
    }
}

/// Packs all of `panels`: block of k after block of k, each with the panels of all columns.
fn pack_b(isa: Isa, b: View<'_>, columns: usize, k_block: usize, panels: &mut [f32]) {
    let width = panel_columns(isa);
    each_panels(panels, columns, width, k_block, |q, first, count, steps, panels| {
        pack(isa, b.from(q * k_block, first).transposed(), count, steps, width, panels);
    });
}

/// Fills `panels`, block of k after block of k, in tasks where there is work for them: `pack(q, first, count, height,
/// panels)` fills those of block `q` and of `count` columns from `first` on, `width` columns by `height` words, which is
/// `block` but for the last.
pub(super) fn each_panels<W: Send>(
    panels: &mut [W],
    columns: usize,
    width: usize,
    block: usize,
    pack: impl Fn(usize, usize, usize, usize, &mut [W]) + Sync,
) {
    let padded = columns.next_multiple_of(width);
    let parallel = panels.len() >= 2 * PACK_TASK;
    let one = |(q, panels): (usize, &mut [W])| {
        let height = panels.len() / padded;
        let group = PACK_TASK.div_ceil(width * height);
        let part = |(g, panels): (usize, &mut [W])| {
            let first = g * group * width;
            pack(q, first, (group * width).min(columns - first), height, panels);
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

/// What the cuts of C into tasks keep to.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    /// What the rows of a task are a multiple of.
    pub(super) rows: usize,
    /// What its columns are a multiple of.
    pub(super) columns: usize,
    /// Its most rows.
    pub(super) most_rows: usize,
    /// The least multiply-adds that are worth a task.
    pub(super) work: usize,
}

impl Cut {
    pub(super) fn new(isa: Isa) -> Cut {
        Cut { rows: PANEL_ROWS, columns: panel_columns(isa), most_rows: M_BLOCK, work: TASK }
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
pub(super) fn each_block(shape: Shape, cut: Cut, c: Block<'_>, one: impl Fn(usize, usize, Block<'_>) + Sync) {
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
fn multiply_blocks(isa: Isa, shape: Shape, a: View<'_>, b: &[f32], k_block: usize, c: Block<'_>, add: bool) {
    let Shape { m, n, k, .. } = shape;
    let width = panel_columns(isa);
    let padded = n.next_multiple_of(width);
    each_block(shape, Cut::new(isa), c, |i, j, mut c| {
        let (rows, columns) = (c.rows, c.columns);
        let padded_rows = rows.next_multiple_of(PANEL_ROWS);
        scratch::with(padded_rows * k_block.min(k), |panels: &mut [f32]| {
            for p in (0..k).step_by(k_block) {
                let steps = k_block.min(k - p);
                let next = Next { a: next_of_a(a, (i, rows, m), (p, steps, k)), b: None };
                let a_panels = &mut panels[..padded_rows * steps];
                pack(isa, a.from(i, p), rows, steps, PANEL_ROWS, a_panels);
                let b_panels = &b[p * padded + j * steps..][..columns.next_multiple_of(width) * steps];
                multiply(isa, steps, a_panels, b_panels, c.part(0, 0, rows, columns), add || p > 0, next);
            }
        });
    });
}

/// The block of A after rows `i..i + rows` of `m` and steps `p..p + steps` of `k`: this task's next one, or the first
/// one of the task that this thread will likely take next.
pub(super) fn next_of_a<'a>(
    a: View<'a>,
    (i, rows, m): (usize, usize, usize),
    (p, steps, k): (usize, usize, usize),
) -> Option<View<'a>> {
    if p + steps < k { Some(a.from(i, p + steps)) } else { (i + rows < m).then(|| a.from(i + rows, 0)) }
}
