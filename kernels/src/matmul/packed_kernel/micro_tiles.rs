//! The micro-kernel of tile registers: 2×2 tiles of C, from two panels of A and two of B.
//!
//! A step is 32 steps of k: two tiles of A and two of B are loaded for four products of 16×16×32, which are independent. Four
//! sums and four operands fill all eight registers, so the operands of the next step wait until those of this one are used,
//! and loads limit the loop to 53% of the peak. Panels are 16 wide and made of whole tiles ([`super::pack_tiles`]), with
//! zeros at the edges, so one loop serves every shape; a tile of C that is not whole goes through memory.
//!
//! The loops go along the rows of C, over as many columns as the second-level cache has room for panels of B: so C, which is
//! `f32`, is written along its rows, and A stays in the first-level cache.

use crate::matmul::block::Block;
use crate::simd::tiles::{SIDE, Tiles, WORDS};

/// Words of B, 768 KiB, that stay in the second-level cache while all rows of a block go by.
const NEAR_B: usize = 192 << 10;

/// Words of a row of A, 24 KiB of two panels, that stay in the first-level cache while panels of B go by.
const NEAR_A: usize = 192;

/// C = A·B, or C += A·B with `add`: all tiles of a block, from packed panels with `k` words, a multiple of 16.
pub(in crate::matmul) fn multiply<T: Tiles>(
    tiles: &mut T,
    k: usize,
    x: &[u32],
    y: &[u32],
    mut c: Block<'_>,
    add: bool,
) {
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
