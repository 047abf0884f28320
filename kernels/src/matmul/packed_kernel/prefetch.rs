//! Which cache lines are prefetched while a tile is multiplied, and in what order.

use super::pack::PANEL_ROWS;
use crate::matmul::operands::View;

/// Elements of a cache line.
pub(in crate::matmul) const LINE: usize = 16;

/// Whether prefetching costs more than it gains: on processors from Sapphire Rapids on, the first with `f16` instructions.
/// Their window of 512 instructions reaches the loads of later steps by itself, and they start two multiply-adds a cycle. A
/// Zen 4 has a window of 320 and starts one.
pub(in crate::matmul) fn costs_more_than_it_gains() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512fp16");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// What is packed after a block was multiplied.
#[derive(Clone, Copy, Default)]
pub(in crate::matmul) struct Next<'a> {
    pub(in crate::matmul) a: Option<View<'a>>,
    /// The block of B that follows, of as many steps.
    pub(in crate::matmul) b: Option<View<'a>>,
}

/// The lines that a tile prefetches: how far apart they are from one to the next and from eight to eight.
#[derive(Clone, Copy)]
pub(in crate::matmul) struct Prefetch {
    first: *const f32,
    one: usize,
    eight: usize,
    pub(in crate::matmul) lines: usize,
}

impl Prefetch {
    /// No lines.
    pub(in crate::matmul) fn nowhere() -> Prefetch {
        Prefetch { first: std::ptr::null(), one: 0, eight: 0, lines: 0 }
    }

    /// So many lines of A while the panel of rows `i` is multiplied: those of its 8 rows, or of columns where these lie
    /// together and a line has the rows of two panels, each of which prefetches half of the columns.
    #[inline(always)]
    pub(in crate::matmul) fn of_a(a: View<'_>, i: usize, lines: usize) -> Prefetch {
        let first = a.data.as_ptr();
        if a.row == 1 {
            let column = if i.is_multiple_of(LINE) { 0 } else { lines };
            let first = first.wrapping_add(i / LINE * LINE).wrapping_add(column.wrapping_mul(a.col));
            Prefetch { first, one: a.col, eight: a.col.wrapping_mul(8), lines }
        } else {
            Prefetch { first: first.wrapping_add(i.wrapping_mul(a.row)), one: a.row, eight: LINE, lines }
        }
    }

    /// Below the panel of B of columns `j`, where the elements of a row of B lie together: each of the first panels of rows `i`
    /// prefetches one line of so many rows, until all `steps` rows are prefetched.
    #[inline(always)]
    pub(in crate::matmul) fn of_b(
        b: View<'_>,
        (i, j): (usize, usize),
        width: usize,
        lines: usize,
        steps: usize,
    ) -> Prefetch {
        let across = width.div_ceil(LINE);
        let (line, row) = (i / PANEL_ROWS % across, i / PANEL_ROWS / across * lines);
        if b.col != 1 || row >= steps {
            return Prefetch::nowhere();
        }
        let first = b.data.as_ptr().wrapping_add(row.wrapping_mul(b.row)).wrapping_add(j + line * LINE);
        Prefetch { first, one: b.row, eight: b.row.wrapping_mul(8), lines }
    }

    /// Of a packed panel that begins at `panel`, of `words`: the share of panel `index` of `panels`, at most so many lines.
    #[inline(always)]
    pub(in crate::matmul) fn of_panel(
        panel: *const f32,
        words: usize,
        (index, panels): (usize, usize),
        most: usize,
    ) -> Prefetch {
        let lines = words.div_ceil(LINE * panels).min(most);
        Prefetch { first: panel.wrapping_add(index * lines * LINE), one: LINE, eight: 8 * LINE, lines }
    }

    /// Line p of them.
    #[inline(always)]
    pub(in crate::matmul) fn at(&self, p: usize) -> *const f32 {
        self.first.wrapping_add((p % 8).wrapping_mul(self.one).wrapping_add((p / 8).wrapping_mul(self.eight)))
    }
}
