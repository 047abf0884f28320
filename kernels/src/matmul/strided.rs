//! The microkernel for operands where they lie: as [`super::micro`], but A is read through any strides, and rows of B
//! may be any distance apart.
//!
//! A step of k loads V vectors and R elements for R·V multiply-adds, and a core of Zen 4 starts one of these, of one
//! such vector and of one to two such elements each cycle: with 24 multiply-adds for 11 loads it makes no difference to
//! the units whether the loads follow one another in memory. What packing buys is fewer pages and no lines that fall
//! into the same few places of a cache; where the operands are small there is nothing to buy.
//!
//! What has to be done instead is to ask for lines before they are needed, for the processor does not foresee these
//! steps: the next rows of A, the first pass over a panel of B, and C. On one thread, 768×128 times 128×128 from the
//! third-level cache or memory, NN: 82 GFLOP/s without, 99 with the fetches of A and B, 103 with those of C
//! spread over the steps too instead of a whole tile of C at once; packed 97.

use super::{
    View,
    micro::{Block, prefetch, store_tile},
};
use crate::{Isa, simd::Simd, simd_fn};

/// How far ahead in k lines are fetched that a tile is the first to read: some 400 cycles.
const STEPS_AHEAD: usize = 16;

/// Columns of C by k steps, in panels of some vectors: element (p, j) of panel g at `g·panel + p·step + j`.
#[derive(Clone, Copy)]
pub(super) struct Panels<'a> {
    pub(super) data: &'a [f32],
    pub(super) panel: usize,
    pub(super) step: usize,
}

simd_fn! {
    /// C = A·B, or C += A·B with `add`: all tiles of a block.
    pub(super) fn multiply<S>(s: S, k: usize, a: View<'_>, b: Panels<'_>, c: Block<'_>, add: bool) {
        match S::ISA {
            Isa::Avx512 => tiles::<S, 8, 3>(s, k, a, b, c, add),
            Isa::Avx2 => tiles::<S, 4, 3>(s, k, a, b, c, add),
            Isa::Portable => tiles::<S, 4, 1>(s, k, a, b, c, add),
        }
    }
}

#[inline(always)]
fn tiles<S: Simd, const R: usize, const V: usize>(s: S, k: usize, a: View<'_>, b: Panels<'_>, c: Block<'_>, add: bool) {
    let width = V * S::N;
    let (rows, columns) = (c.rows, c.columns);
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(k > 0, "a sum of nothing");
    assert!((rows - 1) * a.row + (k - 1) * a.col < a.data.len(), "rows of A");
    let (last, rest) = ((columns - 1) / width, (columns - 1) % width / S::N + 1);
    assert!(last * b.panel + (k - 1) * b.step + rest * S::N <= b.data.len(), "panels of B");
    assert!(last == 0 || (last - 1) * b.panel + (k - 1) * b.step + width <= b.data.len(), "panels of B");
    for (group, j) in (0..columns).step_by(width).enumerate() {
        let columns = width.min(columns - j);
        for i in (0..rows).step_by(R) {
            // Where steps of A lie side by side the next tile's rows are fetched, a piece each step; else steps of this.
            let at = a.data.as_ptr().wrapping_add(i * a.row);
            let a_ahead = match (a.col, group) {
                (1, 0) => (at.wrapping_add(a.row.wrapping_mul(R)), a.row, 8),
                (1, _) => (at, 0, 0),
                _ => (at.wrapping_add(a.col.wrapping_mul(STEPS_AHEAD)), a.col, a.col.wrapping_mul(8)),
            };
            // The first rows find a panel of B far away, the others near.
            let b_ahead = if i == 0 { b.step.wrapping_mul(STEPS_AHEAD) } else { 0 };
            let fetches = i == 0 || group == 0 || a.col != 1;
            // SAFETY: the assertions.
            unsafe {
                let tile = Tile {
                    k,
                    rows: R.min(rows - i),
                    columns,
                    a: at,
                    a_row: a.row,
                    a_col: a.col,
                    b: b.data.as_ptr().add(group * b.panel),
                    b_step: b.step,
                    c: c.c.add(i * c.stride + j),
                    c_row: c.stride,
                    add,
                    a_ahead,
                    b_ahead,
                    fetches,
                };
                match columns.div_ceil(S::N) {
                    3.. if V >= 3 => some_rows::<S, R, 3>(s, tile),
                    2.. if V >= 2 => some_rows::<S, R, 2>(s, tile),
                    _ => some_rows::<S, R, 1>(s, tile),
                }
            }
        }
    }
}

/// A tile: its operands, their steps, and its place in C.
#[derive(Clone, Copy)]
struct Tile {
    k: usize,
    rows: usize,
    columns: usize,
    a: *const f32,
    a_row: usize,
    a_col: usize,
    b: *const f32,
    b_step: usize,
    c: *mut f32,
    c_row: usize,
    add: bool,
    /// Where to fetch from A for later, and how far on from step to step and from eight to eight.
    a_ahead: (*const f32, usize, usize),
    /// How far behind the step that is multiplied B is fetched.
    b_ahead: usize,
    /// Whether either is to be fetched.
    fetches: bool,
}

/// Up to R rows, in the smallest kind of tile that has them.
///
/// # Safety
/// As [`multiply_tile`].
#[inline(always)]
unsafe fn some_rows<S: Simd, const R: usize, const V: usize>(s: S, tile: Tile) {
    // SAFETY: the caller's.
    unsafe {
        match tile.rows {
            1 => multiply_tile::<S, 1, V>(s, tile),
            2..=4 => multiply_tile::<S, 4, V>(s, tile),
            _ => multiply_tile::<S, R, V>(s, tile),
        }
    }
}

/// R rows and V vectors of C, of which `rows` and `columns` are written.
///
/// # Safety
/// So many rows and columns of A, B and C, k steps of them, may be read, and those of C written.
#[inline(always)]
unsafe fn multiply_tile<S: Simd, const R: usize, const V: usize>(s: S, tile: Tile) {
    let Tile { k, rows, columns, a, a_row, b, c, c_row, add, .. } = tile;
    // Rows past the last are the last once more; their sums are not written.
    let mut rows_of_a = [a; R];
    for r in 0..R {
        rows_of_a[r] = a.wrapping_add(r.min(rows - 1) * a_row);
    }
    let mut sums = [[s.zero(); V]; R];
    // The first step sets the sums: zeroed as an array they would be written to memory before they are registers.
    // SAFETY: step 0, and k > 0.
    unsafe {
        for r in 0..R {
            let a = s.splat(*rows_of_a[r]);
            for v in 0..V {
                sums[r][v] = s.mul(a, s.load_ptr(b.add(v * S::N)));
            }
        }
    }
    let lines = k.min(R * V + 1);
    for p in 1..lines {
        prefetch(c.wrapping_add((p % R).wrapping_mul(c_row).wrapping_add(p / R % V * S::N)));
        if tile.fetches {
            fetch::<S, V>(&tile, p);
        }
        // SAFETY: p < k.
        unsafe { step(s, &tile, &rows_of_a, &mut sums, p) };
    }
    // Two loops: to ask for what is near already holds up a processor that starts two multiply-adds a cycle.
    if tile.fetches {
        for p in lines..k {
            fetch::<S, V>(&tile, p);
            // SAFETY: p < k.
            unsafe { step(s, &tile, &rows_of_a, &mut sums, p) };
        }
    } else {
        for p in lines..k {
            // SAFETY: p < k.
            unsafe { step(s, &tile, &rows_of_a, &mut sums, p) };
        }
    }
    // SAFETY: the caller's; V is the number of vectors that these columns need.
    unsafe { store_tile(s, (c, c_row), (rows, columns), sums, add) };
}

/// Asks for what later steps or tiles read, at step p of k.
#[inline(always)]
fn fetch<S: Simd, const V: usize>(tile: &Tile, p: usize) {
    let (start, one, eight) = tile.a_ahead;
    prefetch(start.wrapping_add((p % 8).wrapping_mul(one).wrapping_add((p / 8).wrapping_mul(eight))));
    let b = tile.b.wrapping_add(p.wrapping_mul(tile.b_step)).wrapping_add(tile.b_ahead);
    for v in 0..V {
        prefetch(b.wrapping_add(v * S::N));
    }
}

/// Step p of k: R·V multiply-adds.
///
/// # Safety
/// As for [`multiply_tile`], and p < k.
#[inline(always)]
unsafe fn step<S: Simd, const R: usize, const V: usize>(
    s: S,
    tile: &Tile,
    rows_of_a: &[*const f32; R],
    sums: &mut [[S::F32; V]; R],
    p: usize,
) {
    let b = tile.b.wrapping_add(p.wrapping_mul(tile.b_step));
    // SAFETY: the caller's.
    unsafe {
        let mut row = [s.zero(); V];
        for v in 0..V {
            row[v] = s.load_ptr(b.add(v * S::N));
        }
        for r in 0..R {
            let a = s.splat(*rows_of_a[r].wrapping_add(p.wrapping_mul(tile.a_col)));
            for v in 0..V {
                sums[r][v] = s.mul_add(a, row[v], sums[r][v]);
            }
        }
    }
}
