//! Operands that can be read in place are not packed, and one parallel region does all of a product.
//!
//! Packing makes one layout of all, and puts what is read together on few pages. But elements of A can be broadcast from
//! anywhere, and rows of B can be loaded where they are rows of memory (NN, TN): operands that are small enough for the
//! caches need no more (`micro_in_place.rs`). Then only B of an NT product is packed, usually a weight, in the first phase
//! of the same parallel region (`two_phases.rs`). Large products go to [`super::threads`], few rows times a transposed B to
//! `dot_tiles.rs`. All products of a training step of 768 tokens, two threads: 18.3 ms, 19.8 with the rung below.

use super::{
    Shape,
    block::{Block, Shared},
    dot_tiles,
    micro_in_place::{self, Panels},
    operands::{Product, Products, View},
    packed_kernel::PackedKernel,
    packed_kernel::pack::{pack, panel_columns},
    packed_kernel::prefetch::costs_more_than_it_gains,
    threads,
    two_phases::{self, Pieces},
};
use crate::{Isa, scratch};

/// The multiply-adds of a task, about 40 µs. A task reads all of its share of B again, and with twice the rows that is
/// half as often.
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
/// Most rows of A or B, a multiple of 4 KiB apart, that are read in place: they share a few sets of the caches.
const CROWD: usize = 512;
/// Rows of B a multiple of 2 KiB apart, and the least of them, that are packed where a core starts two multiply-adds a cycle: there
/// TN 128×768×512 takes 19% less time.
const APART: (usize, usize) = (512, 256);
/// Most columns beyond whole vectors that are dot products, and most columns where that is worth while.
const OVER: (usize, usize) = (2, 256);

/// The rung: see [`super::forward`].
///
/// # Panics
/// As [`super::forward`].
pub fn run(isa: Isa, mut products: Products<'_>) {
    if !products.begin() {
        return;
    }
    let products = products.folded();
    if products.shape.batch > 1 {
        return threads::run(isa, products);
    }
    let one = products.single();
    if dot_tiles::pays(&one) {
        dot_tiles::product(isa, one);
    } else if pays(&one) {
        product(isa, one);
    } else {
        threads::product(isa, PackedKernel::of_f32(isa), one);
    }
}

fn pays(&Product { shape, a, b, .. }: &Product<'_>) -> bool {
    let Shape { m, n, k, .. } = shape;
    let few_rows = m <= MOST_ROWS || columns_over(n, a, b) > 0;
    let sizes = m >= ROWS.0 && few_rows && n > 1 && k <= MOST_STEPS && n.saturating_mul(k) <= LARGEST_B;
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

/// One product with [`pays`].
fn product(isa: Isa, Product { shape, a, b, c, add }: Product<'_>) {
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
            micro_in_place::multiply(isa, steps, a.from(i, p), panels, c, add || p > 0, hardware_prefetches);
        }
        if over > 0 && j + columns == n {
            // SAFETY: as above; only the last task of these rows has the columns over.
            let c = unsafe { c.part(i, n, rows, over) };
            dot_tiles::multiply(isa, k, a.from(i, 0), b.from(0, n).transposed(), c, add);
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
/// not those that share a few sets of the caches ([`APART`]).
fn reads(n: usize, k: usize, b: View<'_>) -> bool {
    let shared = b.row.is_multiple_of(APART.0) && k >= APART.1 && costs_more_than_it_gains();
    b.col == 1 && n.is_multiple_of(16) && !shared
}

/// B, not packed.
fn in_place(isa: Isa, b: View<'_>) -> Panels<'_> {
    Panels { data: b.data, panel: panel_columns(isa), step: b.row }
}
