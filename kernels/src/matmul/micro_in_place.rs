//! The micro-kernel for operands in place: as [`micro`](super::packed_kernel::micro), but A is read through any strides, and rows of B may be any
//! distance apart.
//!
//! A step of k has the same loads and multiply-adds whether operands are packed or not. Packing buys fewer pages, and lines
//! that do not share a few sets of a cache; small operands do not need it. What replaces it is prefetching, because the
//! hardware does not prefetch steps this long: the next rows of A, the first pass over a panel of B, and C. 768×128 times
//! 128×128, one thread: 82 GFLOP/s without prefetches, 103 with them.
//!
//! Processors that prefetch the rows of A themselves lose by every prefetch
//! ([`super::packed_kernel::prefetch::costs_more_than_it_gains`]); there none is issued where steps of A lie side by side. As in
//! [`micro`](super::packed_kernel::micro) two steps are a turn of the loop.

use super::{
    block::{Block, store_tile},
    operands::View,
    packed_kernel::prefetch::LINE,
};
use crate::{Isa, prefetch::prefetch, simd::Simd, simd_fn};

/// How many steps of k ahead lines are prefetched that a tile is the first to read: some 400 cycles of a Zen 4. More would be
/// too many for the sets of the first-level cache that rows 2 KiB apart share.
const STEPS_AHEAD: usize = 16;

/// Columns of C by k steps, in panels of some vectors: element (p, j) of panel g at `g·panel + p·step + j`.
#[derive(Clone, Copy)]
pub(super) struct Panels<'a> {
    pub(super) data: &'a [f32],
    pub(super) panel: usize,
    pub(super) step: usize,
}

simd_fn! {
    /// C = A·B, or C += A·B with `add`: all tiles of a block. With `hardware_prefetches`
    /// none is prefetched where steps of A lie side by side.
    pub(super) fn multiply<S>(
        s: S,
        k: usize,
        a: View<'_>,
        b: Panels<'_>,
        c: Block<'_>,
        add: bool,
        hardware_prefetches: bool,
    ) {
        let prefetched = hardware_prefetches && a.col == 1;
        match S::ISA {
            Isa::Avx512 => tiles::<S, 8, 3>(s, k, a, b, c, add, prefetched),
            Isa::Avx2 => tiles::<S, 4, 3>(s, k, a, b, c, add, prefetched),
            Isa::Portable => tiles::<S, 4, 1>(s, k, a, b, c, add, prefetched),
        }
    }
}

#[inline(always)]
fn tiles<S: Simd, const R: usize, const V: usize>(
    s: S,
    k: usize,
    a: View<'_>,
    b: Panels<'_>,
    c: Block<'_>,
    add: bool,
    prefetched: bool,
) {
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
            let prefetches =
                if prefetched { None } else { Prefetches::new::<R>(at, k, (a.row, a.col), b.step, (i, group)) };
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
                    prefetches,
                    prefetch_c: !prefetched,
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
    /// What of A and B is prefetched in every turn.
    prefetches: Option<Prefetches>,
    /// Whether C is prefetched.
    prefetch_c: bool,
}

/// What of A and B is prefetched in every turn of a tile: two lines of A, without need where they are in the cache, and of a B
/// that is not the lines of two steps. A tile that needs neither has a loop without prefetches, which use ports too.
#[derive(Clone, Copy)]
struct Prefetches {
    a: *const f32,
    /// From one line of A to the next.
    gap: usize,
    /// How far ahead of those that are multiplied steps of B are, in elements.
    ahead_b: usize,
}

impl Prefetches {
    /// Those of the tile whose A begins at `at`, in rows `i` of panel `group`: where steps of A lie side by side the rows of the next
    /// tile, if they follow, else those steps of this one that come [`STEPS_AHEAD`] later. Only the
    /// first rows find a panel of B outside of the cache.
    #[inline(always)]
    fn new<const R: usize>(
        at: *const f32,
        k: usize,
        (a_row, a_col): (usize, usize),
        b_step: usize,
        (i, group): (usize, usize),
    ) -> Option<Prefetches> {
        let (a, gap) = match (a_col, group) {
            (1, 0) if a_row == k => (at.wrapping_add(R * a_row), LINE / 2),
            (1, _) => (at, 0),
            _ => (at.wrapping_add((1 + STEPS_AHEAD).wrapping_mul(a_col)), a_col),
        };
        let ahead_b = if i == 0 { b_step.wrapping_mul(STEPS_AHEAD) } else { 0 };
        (gap > 0 || ahead_b > 0).then_some(Prefetches { a, gap, ahead_b })
    }

    /// Prefetches, where two steps of B begin at `b`.
    #[inline(always)]
    fn turn<S: Simd, const V: usize>(&mut self, b: *const f32, b_step: usize) {
        prefetch(self.a);
        prefetch(self.a.wrapping_add(self.gap));
        self.a = self.a.wrapping_add(self.gap).wrapping_add(self.gap);
        if self.ahead_b > 0 {
            for v in 0..V {
                prefetch(b.wrapping_add(self.ahead_b).wrapping_add(v * S::N));
                prefetch(b.wrapping_add(b_step).wrapping_add(self.ahead_b).wrapping_add(v * S::N));
            }
        }
    }
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

/// The same pointer, of which the compiler knows nothing: it then stays in a register of its own. The compiler would compute
/// pointers that are the same distance apart each from the one before, and for that load first and multiply later.
#[inline(always)]
fn opaque(pointer: *const f32) -> *const f32 {
    #[cfg(target_arch = "x86_64")]
    let pointer = {
        let mut unknown = pointer;
        // SAFETY: no instruction at all.
        unsafe { std::arch::asm!("/* {0} */", inout(reg) unknown, options(pure, readonly, nostack, preserves_flags)) };
        unknown
    };
    pointer
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
    let Tile { k, rows, columns, mut b, b_step, c, c_row, add, .. } = tile;
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
    b = b.wrapping_add(b_step);
    // Two steps a turn: see `micro::multiply_tile`. A row of C is prefetched in each of the first turns.
    let turns = (k - 1) / 2;
    let of_c = if tile.prefetch_c { turns.min(R) } else { 0 };
    let mut row = c.cast_const();
    // SAFETY: the caller's: 2·turns < k.
    unsafe {
        if let Some(mut prefetches) = tile.prefetches {
            for t in 0..turns {
                if t < of_c {
                    row = prefetch_row::<S, V>(row, c_row);
                }
                prefetches.turn::<S, V>(b, b_step);
                b = two_steps(s, a, (b, b_step), &mut sums, 2 * t + 1);
            }
        } else {
            for t in 0..of_c {
                row = prefetch_row::<S, V>(row, c_row);
                b = two_steps(s, a, (b, b_step), &mut sums, 2 * t + 1);
            }
            for t in of_c..turns {
                b = two_steps(s, a, (b, b_step), &mut sums, 2 * t + 1);
            }
        }
        if 2 * turns + 1 < k {
            step(s, a, b, &mut sums, k - 1);
        }
    }
    // SAFETY: the caller's; V is the number of vectors that these columns need.
    unsafe { store_tile(s, (c, c_row), (rows, columns), sums, add) };
}

/// Prefetches V vectors of a row of C; where the next row is.
#[inline(always)]
fn prefetch_row<S: Simd, const V: usize>(row: *const f32, c_row: usize) -> *const f32 {
    for v in 0..V {
        prefetch(row.wrapping_add(v * S::N));
    }
    row.wrapping_add(c_row)
}

/// Steps p and p + 1 of k; where the next one of B is.
///
/// # Safety
/// As for [`multiply_tile`], and p + 1 < k; step p of B begins at `b`.
#[inline(always)]
unsafe fn two_steps<S: Simd, A: Rows, const R: usize, const V: usize>(
    s: S,
    a: A,
    (b, b_step): (*const f32, usize),
    sums: &mut [[S::F32; V]; R],
    p: usize,
) -> *const f32 {
    // SAFETY: the caller's.
    unsafe {
        step(s, a, b, sums, p);
        step(s, a, b.wrapping_add(b_step), sums, p + 1);
    }
    b.wrapping_add(b_step).wrapping_add(b_step)
}

/// Step p of k: R·V multiply-adds.
///
/// # Safety
/// As for [`multiply_tile`], and p < k; it begins at `b` in B.
#[inline(always)]
unsafe fn step<S: Simd, A: Rows, const R: usize, const V: usize>(
    s: S,
    a: A,
    b: *const f32,
    sums: &mut [[S::F32; V]; R],
    p: usize,
) {
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

#[cfg(test)]
mod tests;
