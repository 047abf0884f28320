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
//!
//! Two steps a turn as in [`super::micro`], with rows of A in a register each, or one for all where they lie side by side:
//! on a Granite Rapids the products of 768 tokens and 128 to 512 channels take 0 to 2% less time where steps of A lie side by side
//! and 0 to 7% where rows do, TN 512×512×512 8% (medians in turn, two threads).

use super::{
    View,
    ahead::{LINE, prefetch},
    micro::{Block, opaque, store_tile},
};
use crate::{Isa, simd::Simd, simd_fn};

/// How far ahead in k lines are fetched that a tile is the first to read: some 400 cycles of a Zen 4, 200 of a Granite Rapids.
/// More would be too many for the places of the first cache that rows 2 KiB apart share.
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
            let at = a.data.as_ptr().wrapping_add(i * a.row);
            let fetch_a = match (a.col, group) {
                (1, 0) => FetchA::NextRows,
                (1, _) => FetchA::Nothing,
                _ => FetchA::LaterSteps,
            };
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
                    fetch_a,
                    // The first rows find a panel of B far away, the others near.
                    fetch_b: i == 0,
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
    fetch_a: FetchA,
    fetch_b: bool,
}

/// What of A is asked for while a tile is multiplied.
#[derive(Clone, Copy, PartialEq)]
enum FetchA {
    Nothing,
    /// Where steps lie side by side: the rows of the next tile.
    NextRows,
    /// Else those steps of this tile that come [`STEPS_AHEAD`] later.
    LaterSteps,
}

/// Where the elements of A's rows lie. Each way has addresses that a processor computes as it loads.
trait Rows: Copy {
    /// Row r at step p.
    fn at(self, r: usize, p: usize) -> *const f32;
}

/// Steps side by side.
#[derive(Clone, Copy)]
struct AlongSteps<const R: usize>([*const f32; R]);

impl<const R: usize> Rows for AlongSteps<R> {
    #[inline(always)]
    fn at(self, r: usize, p: usize) -> *const f32 {
        self.0[r].wrapping_add(p)
    }
}

/// Rows side by side.
#[derive(Clone, Copy)]
struct AlongRows(*const f32, usize);

impl Rows for AlongRows {
    #[inline(always)]
    fn at(self, r: usize, p: usize) -> *const f32 {
        self.0.wrapping_add(p.wrapping_mul(self.1)).wrapping_add(r)
    }
}

/// Neither.
#[derive(Clone, Copy)]
struct Anywhere<const R: usize>([*const f32; R], usize);

impl<const R: usize> Rows for Anywhere<R> {
    #[inline(always)]
    fn at(self, r: usize, p: usize) -> *const f32 {
        self.0[r].wrapping_add(p.wrapping_mul(self.1))
    }
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
    // Rows past the last are the last once more; their sums are not written.
    let mut rows = [tile.a; R];
    for r in 0..R {
        rows[r] = opaque(tile.a.wrapping_add(r.min(tile.rows - 1) * tile.a_row));
    }
    // SAFETY: the caller's.
    unsafe {
        if tile.a_col == 1 {
            multiply_rows::<S, _, R, V>(s, tile, AlongSteps(rows));
        } else if tile.a_row == 1 && tile.rows >= R {
            multiply_rows::<S, _, R, V>(s, tile, AlongRows(tile.a, tile.a_col));
        } else {
            multiply_rows::<S, _, R, V>(s, tile, Anywhere(rows, tile.a_col));
        }
    }
}

/// [`multiply_tile`] with the rows of A where they are.
///
/// # Safety
/// As there, and R elements of `a` may be read at each step.
#[inline(always)]
unsafe fn multiply_rows<S: Simd, A: Rows, const R: usize, const V: usize>(s: S, tile: Tile, a: A) {
    let Tile { k, rows, columns, b, c, c_row, add, .. } = tile;
    let mut sums = [[s.zero(); V]; R];
    // The first step sets the sums: zeroed as an array they would be written to memory before they are registers.
    // SAFETY: step 0, and k > 0.
    unsafe {
        for r in 0..R {
            let a = s.splat(*a.at(r, 0));
            for v in 0..V {
                sums[r][v] = s.mul(a, s.load_ptr(b.add(v * S::N)));
            }
        }
    }
    // Two steps a turn, and asking only for what is far: see `micro::multiply_tile`.
    let turns = (k - 1) / 2;
    let of_c = turns.min(R * V);
    let fetches = tile.fetch_b || tile.fetch_a != FetchA::Nothing;
    // SAFETY: the caller's: 2·turns < k.
    unsafe {
        for t in 0..of_c {
            prefetch(c.wrapping_add((t % R).wrapping_mul(c_row).wrapping_add(t / R % V * S::N)));
            if fetches {
                fetch::<S, R, V>(&tile, t);
            }
            step(s, &tile, a, &mut sums, 2 * t + 1);
            step(s, &tile, a, &mut sums, 2 * t + 2);
        }
        if fetches {
            for t in of_c..turns {
                fetch::<S, R, V>(&tile, t);
                step(s, &tile, a, &mut sums, 2 * t + 1);
                step(s, &tile, a, &mut sums, 2 * t + 2);
            }
        } else {
            for t in of_c..turns {
                step(s, &tile, a, &mut sums, 2 * t + 1);
                step(s, &tile, a, &mut sums, 2 * t + 2);
            }
        }
        if 2 * turns + 1 < k {
            step(s, &tile, a, &mut sums, k - 1);
        }
    }
    // SAFETY: the caller's; V is the number of vectors that these columns need.
    unsafe { store_tile(s, (c, c_row), (rows, columns), sums, add) };
}

/// Asks for what later steps or tiles read, at turn t.
#[inline(always)]
fn fetch<S: Simd, const R: usize, const V: usize>(tile: &Tile, t: usize) {
    match tile.fetch_a {
        FetchA::Nothing => {}
        FetchA::NextRows => {
            let row = tile.a.wrapping_add((R + t % 8).wrapping_mul(tile.a_row));
            prefetch(row.wrapping_add(t / 8 * LINE));
        }
        FetchA::LaterSteps => {
            let step = tile.a.wrapping_add((2 * t + 1 + STEPS_AHEAD).wrapping_mul(tile.a_col));
            prefetch(step);
            prefetch(step.wrapping_add(tile.a_col));
        }
    }
    if tile.fetch_b {
        let step = tile.b.wrapping_add((2 * t + 1 + STEPS_AHEAD).wrapping_mul(tile.b_step));
        for v in 0..V {
            prefetch(step.wrapping_add(v * S::N));
            prefetch(step.wrapping_add(tile.b_step + v * S::N));
        }
    }
}

/// Step p of k: R·V multiply-adds.
///
/// # Safety
/// As for [`multiply_tile`], and p < k.
#[inline(always)]
unsafe fn step<S: Simd, A: Rows, const R: usize, const V: usize>(
    s: S,
    tile: &Tile,
    a: A,
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
            let a = s.splat(*a.at(r, p));
            for v in 0..V {
                sums[r][v] = s.mul_add(a, row[v], sums[r][v]);
            }
        }
    }
}
