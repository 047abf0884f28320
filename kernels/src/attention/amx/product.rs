//! Products of blocks by tiles: 32 rows of C at a time, from operands that lie wherever their rows are evenly spaced.
//!
//! A load of a tile takes its 16 rows from any addresses with one distance. So a matrix of words is an operand as it
//! lies: rows of A with pairs of steps side by side, pairs of steps of B with columns side by side. Nothing has to be
//! packed to panels for the tiles' sake; [`Side`] says where the next steps are.

use crate::simd::tiles::{SIDE, Tiles};

/// Rows of C, and the steps of a sum that one product of tiles takes.
pub(in crate::attention) const STEP: usize = 2 * SIDE;

/// Two tiles beside each other, for the first 32 steps of a sum: rows of A or columns of B. All distances in words.
#[derive(Clone, Copy)]
pub(in crate::attention) struct Side<'a> {
    pub data: &'a [u32],
    /// From one row of a tile to the next.
    pub row: usize,
    /// From the first tile to the second.
    pub second: usize,
    /// To the tiles of the next 32 steps.
    pub next: usize,
}

impl<'a> Side<'a> {
    /// The operand from word `at` on.
    #[inline(always)]
    pub(in crate::attention) fn from(self, at: usize) -> Side<'a> {
        Side { data: &self.data[at..], ..self }
    }

    #[inline(always)]
    fn assert_holds(&self, steps: usize, tiles: usize) {
        // So that none of the products below can overflow.
        assert!(self.row.max(self.second).max(self.next).max(steps).max(tiles) < 1 << 28, "no operand is that large");
        let last = (steps - 1) * self.next + (tiles - 1) * self.second + (SIDE - 1) * self.row + SIDE;
        assert!(last <= self.data.len(), "an operand of tiles is too short");
    }
}

/// C = A·B, or C += A·B with `add`: 32 rows of `columns` (a multiple of 16), `steps` times 32 steps of the sum.
///
/// 32 columns at a time: `b.second` leads from 16 columns to the next, always.
#[inline(always)]
pub(in crate::attention) fn multiply(
    tiles: &mut impl Tiles,
    [columns, steps]: [usize; 2],
    a: Side<'_>,
    b: Side<'_>,
    (c, row): (&mut [f32], usize),
    add: bool,
) {
    if columns == 0 || steps == 0 {
        return;
    }
    assert!(columns.is_multiple_of(SIDE) && row.max(columns) < 1 << 28, "columns of whole tiles");
    assert!((STEP - 1) * row + columns <= c.len(), "C of tiles is too short");
    a.assert_holds(steps, 2);
    b.assert_holds(steps, columns / SIDE);
    for j in (0..columns).step_by(STEP) {
        let b = b.from(j / SIDE * b.second);
        let c = &mut c[j..];
        // SAFETY: the assertions: two tiles of A, and as many of B and C as there are columns left.
        unsafe {
            if j + STEP <= columns {
                block::<_, 2>(tiles, steps, a, b, c.as_mut_ptr(), row, add);
            } else {
                block::<_, 1>(tiles, steps, a, b, c.as_mut_ptr(), row, add);
            }
        }
    }
}

/// 32 rows and V·16 columns.
///
/// # Safety
/// All tiles of the operands may be read, and 32 rows of V·16 elements of C written, `row` apart.
#[inline(always)]
unsafe fn block<T: Tiles, const V: usize>(
    tiles: &mut T,
    steps: usize,
    a: Side<'_>,
    b: Side<'_>,
    c: *mut f32,
    row: usize,
    add: bool,
) {
    let (x, y, below) = (a.data.as_ptr(), b.data.as_ptr(), SIDE * row);
    // SAFETY: the caller's.
    unsafe {
        if add {
            let c = c.cast_const().cast();
            tiles.load::<0>(c, row);
            tiles.load::<2>(c.add(below), row);
            if V == 2 {
                tiles.load::<1>(c.add(SIDE), row);
                tiles.load::<3>(c.add(below + SIDE), row);
            }
        } else {
            tiles.zero::<0>();
            tiles.zero::<1>();
            tiles.zero::<2>();
            tiles.zero::<3>();
        }
        for step in 0..steps {
            let (x, y) = (x.add(step * a.next), y.add(step * b.next));
            tiles.load::<4>(x, a.row);
            tiles.load::<6>(y, b.row);
            tiles.dot::<0, 4, 6>();
            tiles.load::<5>(x.add(a.second), a.row);
            tiles.dot::<2, 5, 6>();
            if V == 2 {
                tiles.load::<7>(y.add(b.second), b.row);
                tiles.dot::<1, 4, 7>();
                tiles.dot::<3, 5, 7>();
            }
        }
        tiles.store::<0>(c, row);
        tiles.store::<2>(c.add(below), row);
        if V == 2 {
            tiles.store::<1>(c.add(SIDE), row);
            tiles.store::<3>(c.add(below + SIDE), row);
        }
    }
}
