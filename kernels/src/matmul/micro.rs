//! The micro-kernel: a tile of C in registers, from one packed panel of A and one of B.
//!
//! The tile is that of [`super::register_tile`], but both operands are read front to back: a step is 8 words of A's panel
//! and V vectors of B's. A word is an `f32`, or a pair of bf16 numbers, two steps of k, whose products one instruction
//! adds up where the processor has it.
//!
//! What is needed later is prefetched one line at a time: the tile's lines of C, with the last panel of B the next block
//! of A, below the other panels the next block of B, or the next panel of B. All lines at the start of a tile would delay
//! its own loads. `f32` takes two steps in a turn, because counting and prefetching use the ports of multiply-adds on
//! some processors: 10% for squares of 1024 to 2048 on a Granite Rapids.

use super::{
    block::{Block, store_tile},
    pack::PANEL_ROWS,
    prefetch::{Next, Prefetch},
};
use crate::{
    Isa,
    prefetch::{prefetch, prefetch_second},
    simd::{
        Simd,
        operand_kind::{F32, OperandKind, Vector, kind_fn},
    },
};

kind_fn! {
    /// C = A·B, or C += A·B with `add`: all tiles of a block, from packed panels with `k` words. Meanwhile what is
    /// packed next is prefetched, about as much of A as this block has.
    pub(super) fn multiply<W>(w: W, k: usize, a: &[u32], b: &[u32], c: Block<'_>, add: bool, next: Next<'_>) {
        match W::S::ISA {
            Isa::Avx512 => tiles::<W, 8, 3>(w, k, a, b, c, add, next),
            Isa::Avx2 => tiles::<W, 4, 3>(w, k, a, b, c, add, next),
            Isa::Portable => tiles::<W, 4, 1>(w, k, a, b, c, add, next),
        }
    }
}

/// Panel of B after panel of B; each stays in the cache while all panels of A go by.
#[inline(always)]
fn tiles<W: OperandKind, const R: usize, const V: usize>(
    w: W,
    k: usize,
    a: &[u32],
    b: &[u32],
    c: Block<'_>,
    add: bool,
    next: Next<'_>,
) {
    let width = V * W::S::N;
    let lines = k / steps_a_turn::<W>();
    assert!(k > 0, "a sum of nothing");
    assert!(a.len() >= c.rows.next_multiple_of(PANEL_ROWS) * k, "panels of A");
    assert!(b.len() >= c.columns.next_multiple_of(width) * k, "panels of B");
    let mut j = 0;
    while j < c.columns {
        let columns = width.min(c.columns - j);
        let mut i = 0;
        while i < c.rows {
            let rows = PANEL_ROWS.min(c.rows - i);
            // A with the last panel of B, lest it is gone again when it is packed.
            let last = j + width >= c.columns;
            let ahead = match next {
                Next { a: Some(a), .. } if last => Prefetch::of_a(a, i, lines),
                Next { b: Some(b), .. } => Prefetch::of_b(b, (i, j), width, lines, k * W::STEPS),
                _ if last || const { W::STEPS > 1 } => Prefetch::nowhere(),
                _ => {
                    let (index, panels) = (i / PANEL_ROWS, c.rows.div_ceil(PANEL_ROWS));
                    Prefetch::of_panel(b[(j + width) * k..].as_ptr().cast(), width * k, (index, panels), lines)
                }
            };
            // SAFETY: the assertions: panels of k steps follow at i·k and j·k; rows and columns lie in the block.
            unsafe {
                let (a, b) = (a.as_ptr().add(i * k), b.as_ptr().add(j * k));
                let tile = Tile { k, a, b, width, c: c.c.add(i * c.stride + j), stride: c.stride, columns, add, ahead };
                match columns.div_ceil(W::S::N) {
                    3.. if V >= 3 => panel::<W, R, 3>(w, rows, tile),
                    2.. if V >= 2 => panel::<W, R, 2>(w, rows, tile),
                    _ => panel::<W, R, 1>(w, rows, tile),
                }
            }
            i += PANEL_ROWS;
        }
        j += width;
    }
}

/// What the tiles of a panel have in common.
#[derive(Clone, Copy)]
struct Tile {
    k: usize,
    a: *const u32,
    b: *const u32,
    width: usize,
    c: *mut f32,
    stride: usize,
    columns: usize,
    add: bool,
    ahead: Prefetch,
}

/// The rows of a panel, R, 4 or 1 at a time.
///
/// # Safety
/// `a` and `b` are panels of `k` steps; `rows`×`columns` of C may be read and written.
#[inline(always)]
unsafe fn panel<W: OperandKind, const R: usize, const V: usize>(w: W, rows: usize, mut tile: Tile) {
    let mut left = rows;
    while left > 0 {
        // SAFETY: the caller's; a tile of R > `left` rows reads the panel's zeros and writes `left` rows.
        let done = unsafe {
            if left > 4 && R == 8 {
                multiply_tile::<W, 8, V>(w, left, tile)
            } else if left > 1 {
                multiply_tile::<W, 4, V>(w, left, tile)
            } else {
                multiply_tile::<W, 1, V>(w, left, tile)
            }
        };
        if done >= left {
            break;
        }
        left -= done;
        // SAFETY: there is another row in the panel and in C.
        unsafe {
            tile.a = tile.a.add(done);
            tile.c = tile.c.add(done * tile.stride);
        }
    }
}

/// At most R rows and V vectors of C; returns R.
///
/// # Safety
/// As for [`panel`].
#[inline(always)]
unsafe fn multiply_tile<W: OperandKind, const R: usize, const V: usize>(w: W, rows: usize, tile: Tile) -> usize {
    let s = w.simd();
    let mut sums = [[s.zero(); V]; R];
    // SAFETY: the caller's; V is the number of vectors that these columns need.
    unsafe {
        if const { steps_a_turn::<W>() == 2 } {
            add_two_steps_a_turn(w, tile, &mut sums);
        } else {
            add_a_step_a_turn(w, tile, &mut sums);
        }
        store_tile(s, (tile.c, tile.stride), (rows.min(R), tile.columns), sums, tile.add);
    }
    R
}

/// How many words of a panel are multiplied in a turn of the loop.
const fn steps_a_turn<W: OperandKind>() -> usize {
    if W::STEPS == 1 { 2 } else { 1 }
}

/// Where a step of both panels begins, and how many words there are between two steps of B's.
#[derive(Clone, Copy)]
struct Steps {
    a: *const u32,
    b: *const u32,
    width: usize,
}

impl Steps {
    #[inline(always)]
    fn next(self) -> Steps {
        Steps { a: self.a.wrapping_add(PANEL_ROWS), b: self.b.wrapping_add(self.width), ..self }
    }
}

/// All steps of k, with a prefetch in each turn of two: a line of C as long as there are any, and one of what is packed next.
///
/// # Safety
/// As for [`panel`].
#[inline(always)]
unsafe fn add_two_steps_a_turn<W: OperandKind, const R: usize, const V: usize>(
    w: W,
    tile: Tile,
    sums: &mut [[F32<W>; V]; R],
) {
    let Tile { k, a, b, width, ahead, .. } = tile;
    let mut at = Steps { a, b, width };
    // The first step sets the sums: zeroed as an array they would be written to memory before they are registers.
    // SAFETY: step 0 of both panels, and k > 0.
    unsafe {
        for r in 0..R {
            let a = w.broadcast(a.add(r));
            for v in 0..V {
                sums[r][v] = w.first_dot(a, w.load_ptr(b.add(v * W::S::N)));
            }
        }
    }
    at = at.next();
    let turns = (k - 1) / 2;
    let (of_c, lines) = (turns.min(R * V), ahead.lines.min(turns));
    // SAFETY: two steps of both panels each turn: there are 2·turns + 1 at least, and one is done.
    unsafe {
        for t in 0..of_c {
            prefetch(tile.c.wrapping_add((t % R) * tile.stride + t / R % V * W::S::N));
            prefetch_second(ahead.at(t));
            at = two_steps(w, at, sums);
        }
        for t in of_c..lines {
            prefetch_second(ahead.at(t));
            at = two_steps(w, at, sums);
        }
        for _ in lines.max(of_c)..turns {
            at = two_steps(w, at, sums);
        }
        if 2 * turns + 1 < k {
            step(w, at, sums); // the last one
        }
    }
}

/// All steps of k, with a prefetch in each of them.
///
/// # Safety
/// As for [`panel`].
#[inline(always)]
unsafe fn add_a_step_a_turn<W: OperandKind, const R: usize, const V: usize>(
    w: W,
    tile: Tile,
    sums: &mut [[F32<W>; V]; R],
) {
    let Tile { k, a, b, width, ahead, .. } = tile;
    let mut at = Steps { a, b, width };
    let lines = k.min(R * V);
    // SAFETY: step p of both panels, p < k.
    unsafe {
        for p in 0..lines {
            prefetch(tile.c.wrapping_add((p % R) * tile.stride + p / R * W::S::N));
            prefetch(ahead.at(p));
            step(w, at, sums);
            at = at.next();
        }
        for p in lines..k {
            prefetch(ahead.at(p));
            step(w, at, sums);
            at = at.next();
        }
    }
}

/// Two steps, and where the next one is.
///
/// # Safety
/// Two steps of both panels may be read.
#[inline(always)]
unsafe fn two_steps<W: OperandKind, const R: usize, const V: usize>(
    w: W,
    at: Steps,
    sums: &mut [[F32<W>; V]; R],
) -> Steps {
    // SAFETY: the caller's.
    unsafe {
        step(w, at, sums);
        step(w, at.next(), sums);
    }
    at.next().next()
}

/// A step: R·V multiply-adds, of `f32` or of pairs.
///
/// # Safety
/// R words of A and V vectors of B may be read.
#[inline(always)]
unsafe fn step<W: OperandKind, const R: usize, const V: usize>(w: W, at: Steps, sums: &mut [[F32<W>; V]; R]) {
    let s = w.simd();
    // SAFETY: the caller's.
    unsafe {
        let mut row: [Vector<W>; V] = [s.splat_u32(0); V];
        for v in 0..V {
            row[v] = w.load_ptr(at.b.add(v * W::S::N));
        }
        for r in 0..R {
            let a = w.broadcast(at.a.add(r));
            for v in 0..V {
                sums[r][v] = w.dot(a, row[v], sums[r][v]);
            }
        }
    }
}
