//! The microkernel of tiles: 2×2 tiles of C in registers, from two panels of A and two of B.
//!
//! A step is 32 steps of k: two tiles of A and two of B are loaded for four products of 16×16×32, in four chains, each of
//! which begins every 64 cycles, longer than their latency of 52. C has no room for more: four sums and four operands are
//! all eight registers, so the operands of the next step wait until those of this one are used. That is what the rung
//! stands at. On a core of a Granite Rapids, which makes 3.45 TFLOP/s with nothing to load, the four loads alone take 35 cycles from
//! the first-level cache and 84 from the second (48 bytes a cycle), loads and products together 84 and 115, in any order; to
//! ask for the next tiles by hand made it slower by 5 to 25%. With A in the first level and B in the second this function makes 1.8
//! TFLOP/s a core, with both in the second 1.45.
//!
//! The panels are 16 wide and made of whole tiles ([`super::pack_tiles`]), zeros at the edges, so there is one loop for
//! every shape; a tile of C that is not whole goes through memory.
//!
//! What it took, two threads: all columns for two panels of A, then the next two, for then C is written along its rows: with
//! all rows for two panels of B 16384×384×1536 took 20 ms, and this order 12. As many columns at a time as stay in the second
//! level: 2048×2048×2048 13.6 and 10.9 ms. Blocks of 64 whole rows of A where B is small (`panels.rs`), so that A goes by and B
//! stays: 16384×384×1536 13.0 and 9.1 ms, 16384×1536×384 16.2 and 12.3, and long sums in parts whose C stays: 384×16384×1536 19.5 and
//! 14.0, 384×384 5.1 and 3.4. No gain: asking for the next block of A during a product (slower by 20 to 38% when blocks
//! were long), packing it between the tiles of this one, asking for the lines of C (10% slower where C is near), writing
//! C past the caches.

use super::super::micro::Block;
use crate::simd::tiles::{SIDE, Tiles, WORDS};

/// Words of B, 768 KiB, that stay in the second-level cache while all rows of a block go by.
const NEAR_B: usize = 192 << 10;

/// Words of a row of A, 24 KiB of two panels, that stay in the first-level cache while panels of B go by.
const NEAR_A: usize = 192;

/// C = A·B, or C += A·B with `add`: all tiles of a block, from packed panels with `k` words, a multiple of 16.
pub(super) fn multiply<T: Tiles>(tiles: &mut T, k: usize, x: &[u32], y: &[u32], mut c: Block<'_>, add: bool) {
    assert!(k > 0 && k.is_multiple_of(SIDE), "a sum of whole tiles");
    let (rows, columns) = (c.rows, c.columns);
    assert!(x.len() >= rows.next_multiple_of(SIDE) * k, "panels of A");
    assert!(y.len() >= columns.next_multiple_of(SIDE) * k, "panels of B");
    for p in (0..k).step_by(NEAR_A) {
        let steps = NEAR_A.min(k - p);
        let near = (NEAR_B / steps / (2 * SIDE)).max(1) * 2 * SIDE;
        for first in (0..columns).step_by(near) {
            for i in (0..rows).step_by(2 * SIDE) {
                let down = (2 * SIDE).min(rows - i);
                for j in (first..columns.min(first + near)).step_by(2 * SIDE) {
                    let across = (2 * SIDE).min(columns - j);
                    let (x, y) = (&x[i * k + p * SIDE..], &y[j * k + p * SIDE..]);
                    let c = c.part(i, j, down, across);
                    // SAFETY: the assertions: as many panels of k words follow at i·k and j·k as the part of C needs, and
                    // `steps` of them from p on.
                    unsafe {
                        match (down > SIDE, across > SIDE) {
                            (true, true) => block::<T, 2, 2>(tiles, (k, steps), x, y, c, add || p > 0),
                            (true, false) => block::<T, 2, 1>(tiles, (k, steps), x, y, c, add || p > 0),
                            (false, true) => block::<T, 1, 2>(tiles, (k, steps), x, y, c, add || p > 0),
                            (false, false) => block::<T, 1, 1>(tiles, (k, steps), x, y, c, add || p > 0),
                        }
                    }
                }
            }
        }
    }
}

/// R×V tiles of C, from `steps` words of panels that have `k`.
///
/// # Safety
/// So many words of R panels of A and V of B may be read, each panel 16·k words after the one before.
#[inline(always)]
unsafe fn block<T: Tiles, const R: usize, const V: usize>(
    tiles: &mut T,
    (k, steps): (usize, usize),
    x: &[u32],
    y: &[u32],
    c: Block<'_>,
    add: bool,
) {
    let whole = c.rows == R * SIDE && c.columns == V * SIDE;
    // SAFETY: the caller's; all of C where it is whole, else memory of its own.
    unsafe {
        if whole && add {
            load::<T, R, V>(tiles, c.c, c.stride);
        } else {
            zero(tiles);
        }
        for at in (0..steps / SIDE).map(|step| step * WORDS) {
            step::<T, R, V>(tiles, x.as_ptr().add(at), y.as_ptr().add(at), k * SIDE);
        }
        if whole {
            store::<T, R, V>(tiles, c.c, c.stride);
        } else {
            let mut sums = [0.0; 4 * WORDS];
            store::<T, R, V>(tiles, sums.as_mut_ptr(), 2 * SIDE);
            write(&sums, c, add);
        }
    }
}

fn zero<T: Tiles>(tiles: &mut T) {
    tiles.zero::<0>();
    tiles.zero::<1>();
    tiles.zero::<2>();
    tiles.zero::<3>();
}

/// 32 steps of k for all tiles; panels are `panel` words apart.
///
/// # Safety
/// A tile of each of R panels of A and V of B may be read.
#[inline(always)]
unsafe fn step<T: Tiles, const R: usize, const V: usize>(tiles: &mut T, x: *const u32, y: *const u32, panel: usize) {
    // SAFETY: the caller's.
    unsafe {
        tiles.load::<4>(x, SIDE);
        tiles.load::<6>(y, SIDE);
        tiles.dot::<0, 4, 6>();
        if V == 2 {
            tiles.load::<7>(y.add(panel), SIDE);
            tiles.dot::<1, 4, 7>();
        }
        if R == 2 {
            tiles.load::<5>(x.add(panel), SIDE);
            tiles.dot::<2, 5, 6>();
        }
        if R == 2 && V == 2 {
            tiles.dot::<3, 5, 7>();
        }
    }
}

/// The sums so far, from C.
///
/// # Safety
/// R·16 rows of V·16 elements may be read, `stride` apart.
#[inline(always)]
unsafe fn load<T: Tiles, const R: usize, const V: usize>(tiles: &mut T, c: *const f32, stride: usize) {
    let c = c.cast::<u32>();
    // SAFETY: the caller's.
    unsafe {
        tiles.load::<0>(c, stride);
        if V == 2 {
            tiles.load::<1>(c.add(SIDE), stride);
        }
        if R == 2 {
            tiles.load::<2>(c.add(SIDE * stride), stride);
        }
        if R == 2 && V == 2 {
            tiles.load::<3>(c.add(SIDE * stride + SIDE), stride);
        }
    }
}

/// The sums to C.
///
/// # Safety
/// R·16 rows of V·16 elements may be written, `stride` apart.
#[inline(always)]
unsafe fn store<T: Tiles, const R: usize, const V: usize>(tiles: &mut T, c: *mut f32, stride: usize) {
    // SAFETY: the caller's.
    unsafe {
        tiles.store::<0>(c, stride);
        if V == 2 {
            tiles.store::<1>(c.add(SIDE), stride);
        }
        if R == 2 {
            tiles.store::<2>(c.add(SIDE * stride), stride);
        }
        if R == 2 && V == 2 {
            tiles.store::<3>(c.add(SIDE * stride + SIDE), stride);
        }
    }
}

/// A block of C that is not whole, from rows of 32 sums.
fn write(sums: &[f32], c: Block<'_>, add: bool) {
    for (i, sums) in sums.chunks_exact(2 * SIDE).enumerate().take(c.rows) {
        // SAFETY: row i of the block, which nobody else touches.
        let row = unsafe { std::slice::from_raw_parts_mut(c.c.add(i * c.stride), c.columns) };
        for (c, &sum) in row.iter_mut().zip(sums) {
            *c = if add { *c + sum } else { sum };
        }
    }
}
