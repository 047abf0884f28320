//! The micro-kernel of pairs: the tile of [`micro`](super::micro) with dot products of pairs.
//!
//! A step is two steps of k: 8 pairs of A's panel and V vectors of pairs of B's, and R·V instructions of twice the work. On a
//! Zen 4 `vdpbf16ps` has the throughput of a multiply-add and a latency of 6, so the 24 chains of an 8×3 tile are enough.
//! Without the instruction both operands are widened in the tile, and the speed is at best that of `f32`.

use super::{
    pack::PANEL_ROWS,
    prefetch::{Next, Prefetch},
};
use crate::matmul::block::{Block, store_tile};
use crate::prefetch::prefetch;
use crate::simd::Simd;
use crate::simd::bf16::Bf16;
use crate::{Bf16Isa, bf16_fn};

bf16_fn! {
    /// C = A·B, or C += A·B with `add`: all tiles of a block, from packed panels with `k` steps of pairs. Meanwhile what
    /// is packed next is prefetched, about as much of A as this block has.
    pub(in crate::matmul) fn multiply<B>(b: B, k: usize, x: &[u32], y: &[u32], c: Block<'_>, add: bool, next: Next<'_>) {
        match B::ISA {
            Bf16Isa::Amx | Bf16Isa::Avx512Bf16 | Bf16Isa::Avx512 => tiles::<B, 8, 3>(b, k, x, y, c, add, next),
            Bf16Isa::Avx2 => tiles::<B, 4, 3>(b, k, x, y, c, add, next),
            Bf16Isa::Portable => tiles::<B, 4, 1>(b, k, x, y, c, add, next),
        }
    }
}

/// Panel of B after panel of B; each stays in the cache while all panels of A go by.
#[inline(always)]
fn tiles<B: Bf16, const R: usize, const V: usize>(
    b: B,
    k: usize,
    x: &[u32],
    y: &[u32],
    c: Block<'_>,
    add: bool,
    next: Next<'_>,
) {
    let n = B::S::N;
    let width = V * n;
    assert!(k > 0, "a sum of nothing");
    assert!(x.len() >= c.rows.next_multiple_of(PANEL_ROWS) * k, "panels of A");
    assert!(y.len() >= c.columns.next_multiple_of(width) * k, "panels of B");
    for j in (0..c.columns).step_by(width) {
        let columns = width.min(c.columns - j);
        for i in (0..c.rows).step_by(PANEL_ROWS) {
            let rows = PANEL_ROWS.min(c.rows - i);
            let ahead = match (next.a.filter(|_| j + width >= c.columns), next.b) {
                (Some(a), _) => Prefetch::of_a(a, i, k),
                (None, Some(b)) => Prefetch::of_b(b, (i, j), width, k, 2 * k),
                (None, None) => Prefetch::nowhere(),
            };
            // SAFETY: the assertions: panels of k steps follow at i·k and j·k; rows and columns lie in the block.
            unsafe {
                let (x, y) = (x.as_ptr().add(i * k), y.as_ptr().add(j * k));
                let tile = Tile { k, x, y, width, c: c.c.add(i * c.stride + j), stride: c.stride, columns, add, ahead };
                match columns.div_ceil(n) {
                    3.. if V >= 3 => panel::<B, R, 3>(b, rows, tile),
                    2.. if V >= 2 => panel::<B, R, 2>(b, rows, tile),
                    _ => panel::<B, R, 1>(b, rows, tile),
                }
            }
        }
    }
}

/// What the tiles of a panel have in common.
#[derive(Clone, Copy)]
struct Tile {
    k: usize,
    x: *const u32,
    y: *const u32,
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
/// `x` and `y` are panels of `k` steps; `rows`×`columns` of C may be read and written.
#[inline(always)]
unsafe fn panel<B: Bf16, const R: usize, const V: usize>(b: B, rows: usize, mut tile: Tile) {
    let mut left = rows;
    loop {
        // SAFETY: the caller's; a tile of R > `left` rows reads the panel's zeros and writes `left` rows.
        let done = unsafe {
            if left > 4 && R == 8 {
                multiply_tile::<B, 8, V>(b, left, tile)
            } else if left > 1 {
                multiply_tile::<B, 4, V>(b, left, tile)
            } else {
                multiply_tile::<B, 1, V>(b, left, tile)
            }
        };
        if done >= left {
            break;
        }
        left -= done;
        // SAFETY: there is another row in the panel and in C.
        unsafe {
            tile.x = tile.x.add(done);
            tile.c = tile.c.add(done * tile.stride);
        }
    }
}

/// At most R rows and V vectors of C; returns R.
///
/// # Safety
/// As for [`panel`].
#[inline(always)]
unsafe fn multiply_tile<B: Bf16, const R: usize, const V: usize>(b: B, rows: usize, tile: Tile) -> usize {
    let s = b.simd();
    let n = B::S::N;
    let mut sums = [[s.zero(); V]; R];
    let Tile { k, mut x, mut y, width, ahead, .. } = tile;
    // A line of C each step: all at once, they would keep the loads of the panels waiting.
    let lines = k.min(R * V);
    for p in 0..lines {
        prefetch(tile.c.wrapping_add((p % R) * tile.stride + p / R * n));
        prefetch(ahead.at(p));
        // SAFETY: step p of both panels, p < k.
        unsafe {
            step(b, x, y, &mut sums);
            x = x.add(PANEL_ROWS);
            y = y.add(width);
        }
    }
    for p in lines..k {
        prefetch(ahead.at(p));
        // SAFETY: step p of both panels, p < k.
        unsafe {
            step(b, x, y, &mut sums);
            x = x.add(PANEL_ROWS);
            y = y.add(width);
        }
    }
    // SAFETY: the caller's; V is the number of vectors that these columns need.
    unsafe { store_tile(s, (tile.c, tile.stride), (rows.min(R), tile.columns), sums, tile.add) };
    R
}

/// A step of k: R·V dot products of pairs.
///
/// # Safety
/// R pairs of A and V vectors of pairs of B may be read.
#[inline(always)]
unsafe fn step<B: Bf16, const R: usize, const V: usize>(
    b: B,
    x: *const u32,
    y: *const u32,
    sums: &mut [[<B::S as Simd>::F32; V]; R],
) {
    let s = b.simd();
    // SAFETY: the caller's.
    unsafe {
        let mut row = [s.splat_u32(0); V];
        for v in 0..V {
            row[v] = b.load_ptr(y.add(v * B::S::N));
        }
        for r in 0..R {
            let x = s.splat_u32(*x.add(r));
            for v in 0..V {
                sums[r][v] = b.dot(x, row[v], sums[r][v]);
            }
        }
    }
}
