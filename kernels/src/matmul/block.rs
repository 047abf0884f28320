//! A block of C that a task writes, and how a tile of sums is written to it.

use crate::simd::Simd;
use std::{marker::PhantomData, mem::MaybeUninit};

/// A block of C that one task writes.
pub(super) struct Block<'a> {
    pub(super) c: *mut f32,
    pub(super) stride: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    lifetime: PhantomData<&'a mut [f32]>,
}

impl<'a> Block<'a> {
    /// All of a contiguous matrix.
    pub(super) fn whole(c: &'a mut [f32], columns: usize) -> Block<'a> {
        let rows = c.len() / columns;
        Block { c: c.as_mut_ptr(), stride: columns, rows, columns, lifetime: PhantomData }
    }

    /// A part of it.
    pub(super) fn part(&mut self, row: usize, column: usize, rows: usize, columns: usize) -> Block<'_> {
        // SAFETY: `self` is borrowed while the part lives.
        unsafe { Shared(self).part(row, column, rows, columns) }
    }
}

/// A block of C that several tasks write, each a part of its own.
pub(super) struct Shared<'a>(pub(super) &'a Block<'a>);

// SAFETY: `part` makes its caller answer for parts that do not overlap.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    /// A part of the block.
    ///
    /// # Safety
    /// While it lives nobody else touches these rows and columns.
    pub(super) unsafe fn part(&self, row: usize, column: usize, rows: usize, columns: usize) -> Block<'a> {
        let block = self.0;
        assert!(row <= block.rows && rows <= block.rows - row, "rows of the block");
        assert!(column <= block.columns && columns <= block.columns - column, "columns of the block");
        // SAFETY: within the block, or at the end of it.
        let c = unsafe { block.c.add(if rows == 0 { 0 } else { row * block.stride + column }) };
        Block { c, stride: block.stride, rows, columns, lifetime: PhantomData }
    }
}

/// Writes or adds a tile: the first `rows` of R and `columns` of V·N sums.
///
/// A whole tile goes from the registers to C. The others are counted out row by row from a copy in memory: a loop over
/// the sums themselves that may end early would keep them there, and with them those of every tile.
///
/// # Safety
/// So many rows and columns from `c` on, `stride` apart, may be read and written; V is the number of vectors they need.
#[inline(always)]
pub(super) unsafe fn store_tile<S: Simd, const R: usize, const V: usize>(
    s: S,
    (c, stride): (*mut f32, usize),
    (rows, columns): (usize, usize),
    sums: [[S::F32; V]; R],
    add: bool,
) {
    let at = |r: usize, v: usize| c.wrapping_add(r * stride + v * S::N);
    // SAFETY: the caller's, in all of C: row r < `rows`, and whole vectors but for the last of a tile that is not whole.
    // The copy has room for R·V vectors, and all of them are written before any is read.
    unsafe {
        match (rows == R && columns >= V * S::N, add) {
            (true, false) => {
                for r in 0..R {
                    for v in 0..V {
                        s.store_ptr(at(r, v), sums[r][v]);
                    }
                }
            }
            (true, true) => {
                for r in 0..R {
                    for v in 0..V {
                        s.store_ptr(at(r, v), s.add(s.load_ptr(at(r, v)), sums[r][v]));
                    }
                }
            }
            (false, _) => {
                let mut copy = MaybeUninit::<[[S::F32; V]; R]>::uninit();
                let of_copy = copy.as_mut_ptr().cast::<f32>();
                for r in 0..R {
                    for v in 0..V {
                        s.store_ptr(of_copy.add((r * V + v) * S::N), sums[r][v]);
                    }
                }
                for r in 0..rows {
                    for v in 0..V {
                        store(s, at(r, v), columns - v * S::N, s.load_ptr(of_copy.add((r * V + v) * S::N)), add);
                    }
                }
            }
        }
    }
}

/// Writes or adds the first `count` lanes, at most N.
///
/// # Safety
/// So many elements at `c` may be read and written.
#[inline(always)]
unsafe fn store<S: Simd>(s: S, c: *mut f32, count: usize, sum: S::F32, add: bool) {
    // SAFETY: the caller's.
    unsafe {
        if count >= S::N {
            s.store_ptr(c, if add { s.add(s.load_ptr(c), sum) } else { sum });
        } else {
            let c = std::slice::from_raw_parts_mut(c, count);
            s.store_partial(c, if add { s.add(s.load_partial(c), sum) } else { sum });
        }
    }
}
