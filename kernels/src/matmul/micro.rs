//! The microkernel: a tile of C in registers, from one panel of A and one of B.
//!
//! The tile is that of [`super::register_tile`], but both operands are read front to back: a step of k is 8 elements
//! of A's panel and V vectors of B's. On packed tiles it runs at the speed of the multiply-add units.
//!
//! What is needed later is asked for a line at a time: the tile's lines of C, the next panel of B, the next block of B
//! below each panel of this one, and with the last panel the next block of A. With the 24 lines of C all at the start of
//! the tile, which keeps the loads of the panels waiting, and A with the first panel, x·Wᵀ of 16384 tokens 384→1536 made
//! 225 GFLOP/s of 231 and then 229 (two threads of a Zen 4, in turn), and bf16 440 and 452.
//!
//! Two steps a turn, and one question a turn: a Granite Rapids starts two multiply-adds a cycle, in ports that it also
//! counts and computes addresses with. From operands in the second-level cache a thread makes 181 GFLOP/s of 213 with a step a turn,
//! 190 with two, no more with four, 182 with eight. With that and the next panel of B asked for (its third level gives a core 20 GB/s)
//! products of 1024 to 2048 squared take 10% less time and those of 16384 tokens 1 to 10% less (medians in turn, two threads).

use super::{
    Isa,
    prefetch::{Next, Prefetch},
};
use crate::{
    prefetch::{prefetch, prefetch_second},
    simd::Simd,
    simd_fn,
};
use std::{marker::PhantomData, mem::MaybeUninit};

/// Rows of a panel of A.
pub(super) const PANEL_ROWS: usize = 8;

/// Columns of a panel of B: a tile's V vectors.
pub(super) const fn panel_columns(isa: Isa) -> usize {
    match isa {
        Isa::Portable => 8,
        Isa::Avx2 => 24,
        Isa::Avx512 => 48,
    }
}

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

simd_fn! {
    /// C = A·B, or C += A·B with `add`: all tiles of a block, from packed panels with `k` steps. Meanwhile what is
    /// packed next is fetched from memory, about as much of A as this block has.
    pub(super) fn multiply<S>(s: S, k: usize, a: &[f32], b: &[f32], c: Block<'_>, add: bool, next: Next<'_>) {
        match S::ISA {
            Isa::Avx512 => tiles::<S, 8, 3>(s, k, a, b, c, add, next),
            Isa::Avx2 => tiles::<S, 4, 3>(s, k, a, b, c, add, next),
            Isa::Portable => tiles::<S, 4, 1>(s, k, a, b, c, add, next),
        }
    }
}

/// The same pointer, of which the compiler knows nothing: it then stays in a register of its own. Of pointers that are
/// the same distance apart it would compute each from the one before, and for that load first and multiply later.
#[inline(always)]
pub(super) fn opaque(pointer: *const f32) -> *const f32 {
    #[cfg(target_arch = "x86_64")]
    let pointer = {
        let mut unknown = pointer;
        // SAFETY: no instruction at all.
        unsafe { std::arch::asm!("/* {0} */", inout(reg) unknown, options(pure, readonly, nostack, preserves_flags)) };
        unknown
    };
    pointer
}

/// Panel of B after panel of B; each stays in the cache while all panels of A go by.
#[inline(always)]
fn tiles<S: Simd, const R: usize, const V: usize>(
    s: S,
    k: usize,
    a: &[f32],
    b: &[f32],
    c: Block<'_>,
    add: bool,
    next: Next<'_>,
) {
    let width = V * S::N;
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
                Next { a: Some(a), .. } if last => Prefetch::of_a(a, i, k / 2),
                Next { b: Some(b), .. } => Prefetch::of_b(b, (i, j), width, k / 2, k),
                _ if last => Prefetch::nowhere(),
                _ => {
                    let (index, panels) = (i / PANEL_ROWS, c.rows.div_ceil(PANEL_ROWS));
                    Prefetch::of_panel(b[(j + width) * k..].as_ptr(), width * k, (index, panels), k / 2)
                }
            };
            // SAFETY: the assertions: panels of k steps follow at i·k and j·k; rows and columns lie in the block.
            unsafe {
                let (a, b) = (a.as_ptr().add(i * k), b.as_ptr().add(j * k));
                let tile = Tile { k, a, b, width, c: c.c.add(i * c.stride + j), stride: c.stride, columns, add, ahead };
                match columns.div_ceil(S::N) {
                    3.. if V >= 3 => panel::<S, R, 3>(s, rows, tile),
                    2.. if V >= 2 => panel::<S, R, 2>(s, rows, tile),
                    _ => panel::<S, R, 1>(s, rows, tile),
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
    a: *const f32,
    b: *const f32,
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
unsafe fn panel<S: Simd, const R: usize, const V: usize>(s: S, rows: usize, mut tile: Tile) {
    let mut left = rows;
    while left > 0 {
        // SAFETY: the caller's; a tile of R > `left` rows reads the panel's zeros and writes `left` rows.
        let done = unsafe {
            if left > 4 && R == 8 {
                multiply_tile::<S, 8, V>(s, left, tile)
            } else if left > 1 {
                multiply_tile::<S, 4, V>(s, left, tile)
            } else {
                multiply_tile::<S, 1, V>(s, left, tile)
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
unsafe fn multiply_tile<S: Simd, const R: usize, const V: usize>(s: S, rows: usize, tile: Tile) -> usize {
    let mut sums = [[s.zero(); V]; R];
    let Tile { k, mut a, mut b, width, ahead, .. } = tile;
    // The first step sets the sums: zeroed as an array they would be written to memory before they are registers.
    // SAFETY: step 0 of both panels, and k > 0.
    unsafe {
        for r in 0..R {
            let a = s.splat(*a.add(r));
            for v in 0..V {
                sums[r][v] = s.mul(a, s.load_ptr(b.add(v * S::N)));
            }
        }
        a = a.add(PANEL_ROWS);
        b = b.add(width);
    }
    // Two steps a turn, and what is asked for a line each turn: counting and asking take the ports of multiply-adds
    // where integers share them, and all of C at once would keep the loads of the panels waiting.
    let turns = (k - 1) / 2;
    let (of_c, asked) = (turns.min(R * V), ahead.lines.min(turns));
    // SAFETY: two steps of both panels each turn: there are 2·turns + 1 at least, and one is done.
    unsafe {
        for t in 0..of_c {
            prefetch(tile.c.wrapping_add((t % R) * tile.stride + t / R % V * S::N));
            prefetch_second(ahead.at(t));
            (a, b) = two_steps(s, a, b, width, &mut sums);
        }
        for t in of_c..asked {
            prefetch_second(ahead.at(t));
            (a, b) = two_steps(s, a, b, width, &mut sums);
        }
        for _ in asked.max(of_c)..turns {
            (a, b) = two_steps(s, a, b, width, &mut sums);
        }
    }
    if 2 * turns + 1 < k {
        // SAFETY: the last step of both panels.
        unsafe { step(s, a, b, &mut sums) };
    }
    // SAFETY: the caller's; V is the number of vectors that these columns need.
    unsafe { store_tile(s, (tile.c, tile.stride), (rows.min(R), tile.columns), sums, tile.add) };
    R
}

/// Two steps of k, and where the next ones are.
///
/// # Safety
/// Two steps of both panels, `width` apart in B's, may be read.
#[inline(always)]
unsafe fn two_steps<S: Simd, const R: usize, const V: usize>(
    s: S,
    a: *const f32,
    b: *const f32,
    width: usize,
    sums: &mut [[S::F32; V]; R],
) -> (*const f32, *const f32) {
    // SAFETY: the caller's.
    unsafe {
        step(s, a, b, sums);
        step(s, a.add(PANEL_ROWS), b.add(width), sums);
        (a.add(2 * PANEL_ROWS), b.add(2 * width))
    }
}

/// A step of k: R·V multiply-adds.
///
/// # Safety
/// R elements of A and V vectors of B may be read.
#[inline(always)]
unsafe fn step<S: Simd, const R: usize, const V: usize>(
    s: S,
    a: *const f32,
    b: *const f32,
    sums: &mut [[S::F32; V]; R],
) {
    // SAFETY: the caller's.
    unsafe {
        let mut row = [s.zero(); V];
        for v in 0..V {
            row[v] = s.load_ptr(b.add(v * S::N));
        }
        for r in 0..R {
            let a = s.splat(*a.add(r));
            for v in 0..V {
                sums[r][v] = s.mul_add(a, row[v], sums[r][v]);
            }
        }
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
