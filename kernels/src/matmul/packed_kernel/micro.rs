//! The micro-kernel of `f32`: a tile of C in registers, from one packed panel of A and one of B.
//!
//! The tile is that of [`super::register_tile`], but both operands are read front to back: a step of k is 8 elements of A's
//! panel and V vectors of B's.
//!
//! What is needed later is prefetched one line at a time: the tile's lines of C, with the last panel of B the next block
//! of A, below the other panels the next block of B, or the next panel of B. All lines at the start of a tile would delay
//! its own loads. Two steps are a turn of the loop, because counting and prefetching use the ports of multiply-adds on some
//! processors: 10% for squares of 1024 to 2048 on a Granite Rapids.
//!
//! Pairs of bf16 have a micro-kernel of their own (`bf16/micro.rs`). Compiled from one generic source, the loop of pairs
//! spilled more registers at AVX2 and took 7 to 16% longer.

use super::{
    pack::PANEL_ROWS,
    prefetch::{Next, Prefetch},
};
use crate::{
    Isa,
    matmul::block::{Block, store_tile},
    prefetch::{prefetch, prefetch_second},
    simd::Simd,
    simd_fn,
};

simd_fn! {
    /// C = A·B, or C += A·B with `add`: all tiles of a block, from packed panels with `k` steps. Meanwhile what is
    /// packed next is prefetched, about as much of A as this block has.
    pub(in crate::matmul) fn multiply<S>(s: S, k: usize, a: &[f32], b: &[f32], c: Block<'_>, add: bool, next: Next<'_>) {
        match S::ISA {
            Isa::Avx512 => tiles::<S, 8, 3>(s, k, a, b, c, add, next),
            Isa::Avx2 => tiles::<S, 4, 3>(s, k, a, b, c, add, next),
            Isa::Portable => tiles::<S, 4, 1>(s, k, a, b, c, add, next),
        }
    }
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
    let turns = (k - 1) / 2;
    let (of_c, lines) = (turns.min(R * V), ahead.lines.min(turns));
    // SAFETY: two steps of both panels each turn: there are 2·turns + 1 at least, and one is done.
    unsafe {
        for t in 0..of_c {
            prefetch(tile.c.wrapping_add((t % R) * tile.stride + t / R % V * S::N));
            prefetch_second(ahead.at(t));
            (a, b) = two_steps(s, a, b, width, &mut sums);
        }
        for t in of_c..lines {
            prefetch_second(ahead.at(t));
            (a, b) = two_steps(s, a, b, width, &mut sums);
        }
        for _ in lines.max(of_c)..turns {
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
