//! Operands that can be read where they lie are not packed, and one parallel region does all of a product.
//!
//! Packing makes one layout of all, and puts what is read together on few pages. Elements of A can be spread over
//! vectors from wherever they lie, and rows of B loaded where they are rows of memory (NN, TN): if the operands are
//! small enough for the caches, no more than that is needed (`strided.rs`). Then only B of an NT product is packed, a
//! weight as a rule, and that is the first round of the same parallel region (`two_phases.rs`). Large products go the way of
//! [`super::threads`], few rows times a transposed B that of `dot_tiles.rs`.
//!
//! Measured: the 51 products of a training step of 768 tokens (4 layers of 128 channels, 65 in the vocabulary), one after
//! the other with their operands in the third-level cache or memory, in turn with the rung below, medians in one run.
//! On 1 thread 34.4 ms against 38 ms, on 2 threads 18.3 against 19.8 ms: 200 of 228 GFLOP/s against 185. By kind, on 2
//! threads, this rung / the one below: x·Wᵀ 128→384 194 / 178, 512→128 206 / 202, 128→65 164 / 140; dy·W 384→128 211 /
//! 189, 128→128 193 / 184; dyᵀ·x 512×128 215 / 189, 128×512 199 / 170, 128×128 201 / 163, 65×128 206 / 144. 128→512 is
//! slower by 2%, 194 / 197, and so is dy·W there. With 16384 tokens 384→65 190 / 165, where the 65th column is a dot
//! product. With all operands near, a thread reaches 109 to 115 GFLOP/s of 114; what is missing is waiting for memory.
//!
//! What did not pay: reading A unpacked with 16384 rows (no faster, 1% slower in all); the same within parts of a long
//! sum, 65×384 with k = 16384 (150 against 152 GFLOP/s); fetching C for writing (`prefetchw`); blocks of k of 256 steps
//! (4% slower).

use super::{
    Shape, Strides, View, begin, dot_tiles,
    micro::{Block, Shared, panel_columns},
    pack::pack,
    prefetch::costs_more_than_it_gains,
    strided::{self, Panels},
    threads,
    two_phases::{self, Pieces},
};
use crate::{Isa, scratch};

/// The multiply-adds of a task, about 40 µs. A task reads all of its share of B again, and with twice the rows that is
/// half as often: a step of the small preset takes 21.8 ms with 2²¹, 22.1 with 2²⁰, 22.1 with 2²² and 22.2 with 2¹⁹ (25%
/// quantiles of runs in turn).
const TASK: usize = 1 << 21;
/// The least and the most rows of a task: each reads all of its share of B.
const ROWS: (usize, usize) = (16, 80);
/// Most steps of k between two visits of a tile.
const K_BLOCK: usize = 1024;
/// Most elements of B that every task may read whole: half of a second-level cache.
const NEAR_B: usize = 1 << 17;
/// Most rows of A and steps of k, most elements of B: beyond them packing both is as fast or faster.
const MOST_ROWS: usize = 1024;
const MOST_STEPS: usize = 2048;
const LARGEST_B: usize = 1 << 20;
/// Most rows of A or B that may crowd there: NN 1024×1024×1024 makes 216 GFLOP/s packed and 175 where B
/// lies, NT 214 and 187 where A lies (768×1024×512 205 and 186), in turn.
const CROWD: usize = 512;
/// Rows of B a multiple of 2 KiB apart, and the least of them, that are packed where a core starts two multiply-adds a cycle: on a
/// Granite Rapids TN 128×768×512 and 512×512×512 take 19 and 9% less time so, NN 512×512×512 4%. A Zen 4 makes 96% of its
/// peak without.
const APART: (usize, usize) = (512, 256);
/// Most columns beyond whole vectors that are dot products, and most columns where that is worth while.
const OVER: (usize, usize) = (2, 256);

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
    let folded = threads::fold_batch(shape, a_strides, b_strides);
    let (first_a, first_b) = (View::of(a, a_strides, 0), View::of(b, b_strides, 0));
    if folded.batch == 1 && dot_tiles::pays(folded, first_a, first_b) {
        dot_tiles::product(isa, folded, first_a, first_b, c, accumulate);
    } else if folded.batch == 1 && pays(folded, first_a, first_b) {
        product(isa, folded, first_a, first_b, c, accumulate);
    } else {
        threads::run(isa, shape, a, a_strides, b, b_strides, c, accumulate);
    }
}

fn pays(shape: Shape, a: View<'_>, b: View<'_>) -> bool {
    let Shape { m, n, k, .. } = shape;
    let few_rows = m <= MOST_ROWS || columns_over(n, a, b) > 0;
    let sizes = m >= ROWS.0 && few_rows && n > 1 && k <= MOST_STEPS && n.saturating_mul(k) <= LARGEST_B;
    // Rows a multiple of 4 KiB apart fall into the same few places of the caches.
    let crowds =
        |operand: View<'_>, rows: usize| operand.col == 1 && operand.row.is_multiple_of(1 << 10) && rows >= CROWD;
    sizes && !crowds(a, m) && !crowds(b, k)
}

/// How many columns at the end stand over whole vectors of 16 and are better done as dot products.
fn columns_over(n: usize, a: View<'_>, b: View<'_>) -> usize {
    let (over, worth) = (n % 16, (17..=OVER.1).contains(&n));
    if worth && over <= OVER.0 && a.col == 1 && b.row == 1 { over } else { 0 }
}

/// How C is cut: (rows, columns) of a task.
fn task_size(shape: Shape, width: usize) -> (usize, usize) {
    let Shape { m, n, k, .. } = shape;
    let columns = if n * k <= NEAR_B || m > MOST_ROWS { n } else { width };
    ((TASK / columns / k).next_multiple_of(ROWS.0).clamp(ROWS.0, ROWS.1), columns)
}

/// One product; none of the sizes is 0.
fn product(isa: Isa, shape: Shape, a: View<'_>, b: View<'_>, c: &mut [f32], accumulate: bool) {
    let Shape { m, n, k, .. } = shape;
    let width = panel_columns(isa);
    let c = Block::whole(c, n);
    let c = Shared(&c);
    let over = columns_over(n, a, b);
    let shape = Shape { n: n - over, ..shape };
    let n = n - over;
    let (task_rows, task_columns) = task_size(shape, width);
    let down = m.div_ceil(task_rows);
    let tasks = down * n.div_ceil(task_columns);
    let k_block = k.div_ceil(k.div_ceil(K_BLOCK));
    let hardware_prefetches = costs_more_than_it_gains();
    let task = |index: usize, panels: Panels<'_>| {
        let (i, j) = (index % down * task_rows, index / down * task_columns);
        let (rows, columns) = (task_rows.min(m - i), task_columns.min(n - j));
        for p in (0..k).step_by(k_block) {
            let steps = k_block.min(k - p);
            let panels = Panels { data: &panels.data[j / width * panels.panel + p * panels.step..], ..panels };
            // SAFETY: no two tasks have the same rows and columns.
            let c = unsafe { c.part(i, j, rows, columns) };
            strided::multiply(isa, steps, a.from(i, p), panels, c, accumulate || p > 0, hardware_prefetches);
        }
        if over > 0 && j + columns == n {
            // SAFETY: as above; only the last task of these rows has the columns over.
            let c = unsafe { c.part(i, n, rows, over) };
            dot_tiles::multiply(isa, k, a.from(i, 0), b.from(0, n).transposed(), c, accumulate);
        }
    };
    if over == 0 && reads(n, k, b) && m <= MOST_ROWS {
        let b = in_place(isa, b);
        return two_phases::run(0, |_| (), tasks, |index| task(index, b));
    }
    scratch::with(n.next_multiple_of(width) * k, |panels: &mut [f32]| {
        let panels = Pieces::new(panels, width * k);
        let pack_one = |g: usize| {
            let (first, columns) = (g * width, width.min(n - g * width));
            // SAFETY: no two tasks have the same piece, and none reads all of them in this round.
            pack(isa, b.from(0, first).transposed(), columns, k, width, unsafe { panels.piece(g) });
        };
        let multiply = |index: usize| {
            // SAFETY: the pieces are written in the first round.
            task(index, Panels { data: unsafe { panels.all() }, panel: width * k, step: width });
        };
        two_phases::run(panels.count(), pack_one, tasks, multiply);
    });
}

/// Whether B is read where it lies: rows of whole vectors, at any instruction set; and where two multiply-adds start in a cycle
/// not those that share a few places of the caches ([`APART`]).
fn reads(n: usize, k: usize, b: View<'_>) -> bool {
    let shared = b.row.is_multiple_of(APART.0) && k >= APART.1 && costs_more_than_it_gains();
    b.col == 1 && n.is_multiple_of(16) && !shared
}

/// B, not packed.
fn in_place(isa: Isa, b: View<'_>) -> Panels<'_> {
    Panels { data: b.data, panel: panel_columns(isa), step: b.row }
}
